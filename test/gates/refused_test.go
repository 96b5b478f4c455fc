package gates

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// TestRefused has the service refuse what a close is to commit: the writer hears of it, the object stays
// what it was, and the bytes are committed once the service lets them in.
func TestRefused(t *testing.T) {
	const threshold, large = 4 * mib, 9 * mib // goes up in two parts
	tests := []struct {
		name, op string
		size     int
	}{
		{"a put", "PutObject", 1000},
		{"the begin of an upload", "InitiateMultipart", large},
		{"a part", "UploadPart", large},
		{"the end of an upload", "CompleteMultipart", large},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{Store: writeback.Options{MultipartThreshold: threshold}}) // not one that logs: it has errors to tell
			old, content := noise(1, 3000), noise(2, tt.size)
			src := noiseFile(t, 2, tt.size)
			for _, key := range []string{"program", "cp"} {
				put(t, v.Bucket, key, old)
			}
			allow := v.Server.AddRule(cosserver.Rule{Op: tt.op, Action: cosserver.Fail, Status: 403})
			f, err := os.OpenFile(v.Path("program"), os.O_WRONLY|os.O_TRUNC, 0)
			must(t, err)
			_, err = f.Write(content)
			must(t, err)
			if err := f.Close(); !errors.Is(err, syscall.EACCES) {
				t.Errorf("close: %v, want %v", err, syscall.EACCES)
			}
			code, out := shellStatus(t, `cp "$SRC" "$MNT/cp"`, mnt(v), "SRC="+src)
			if code != 1 || !strings.Contains(out, "Permission denied") {
				t.Errorf("cp: exit code %d, %q, want 1 and the reason", code, out)
			}
			for _, key := range []string{"program", "cp"} {
				if string(object(t, v.Bucket, key)) != string(old) {
					t.Errorf("%s: the object is not what it was before", key)
				}
				shell(t, `cmp "$SRC" "$MNT/$F"`, mnt(v), "SRC="+src, "F="+key)
			}
			allow()
			must(t, v.Store.Sync(t.Context(), ""))
			for _, key := range []string{"program", "cp"} {
				if string(object(t, v.Bucket, key)) != string(content) {
					t.Errorf("%s: the object is not what was written", key)
				}
			}
		})
	}
}
