package gates

import (
	"testing"

	"cosfuse/test/internal/mounttest"
)

// TestServerSideCopy copies files with cp inside a mount: COS copies them, and no byte passes through this host,
// even if the source is gone right after.
func TestServerSideCopy(t *testing.T) {
	const large = 256 << 20
	v := newStoppedVolume(t, mounttest.Options{})
	put(t, v.Bucket, "large", noise(1, large))
	put(t, v.Bucket, "small", noise(2, 16<<10))
	shell(t, `ls -la "$MNT"`, mnt(v))
	tests := []struct {
		name, script string
		want         map[string]int64
	}{
		{"16 KiB", `cp small small2`, map[string]int64{"CopyObject": 1}},
		{"256 MiB", `cp large large2`, map[string]int64{"CopyObject": 1}},
		{"a copy of a copy", `cp large2 large3`, map[string]int64{"CopyObject": 1}},
		{"with its mode and time", `cp -p large2 large4`, map[string]int64{"CopyObject": 1}},
		{"and the source is removed", `cp small2 small3; rm small2`, map[string]int64{"CopyObject": 1, "DeleteObject": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := v.Measure(t, func() { shell(t, `cd "$MNT"; `+tt.script, mnt(v)) })
			logOps(t, u)
			var in, out int64
			for _, s := range u.Stats {
				in, out = in+s.BytesIn, out+s.BytesOut
			}
			wantAtMost(t, "bytes to and fro", in+out, 4<<10)
			wantAtMost(t, "HEADs", u.Count("HeadObject"), 2)
			delete(u.Stats, "HeadObject")
			wantOps(t, u, tt.want)
		})
	}
	v.Remount(t)
	shell(t, `cd "$MNT"; cmp large large2; cmp large large3; cmp large large4; cmp small small3; ! test -e small2`, mnt(v))
}
