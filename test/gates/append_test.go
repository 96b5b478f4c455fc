package gates

import (
	"fmt"
	"strings"
	"testing"

	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// appendLines is a loop that opens the file anew for each line.
func appendLines(t *testing.T, v *mounttest.Volume, lines int) {
	t.Helper()
	shell(t, fmt.Sprintf(`cd "$MNT"; for i in $(seq %d); do echo line $i >>log; done`, lines), mnt(v))
}

// linesTo is what appendLines writes.
func linesTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

// wantLog checks what another client and, after a remount, a reader find.
func wantLog(t *testing.T, v *mounttest.Volume, want string) {
	t.Helper()
	if got := string(object(t, v.Bucket, "log")); got != want {
		t.Errorf("the object is %d bytes, %.60q..., want %d bytes", len(got), got, len(want))
	}
	v.Remount(t)
	if got := shell(t, `cat "$MNT/log"`, mnt(v)); got != want {
		t.Errorf("the file is %d bytes, %.60q..., want %d bytes", len(got), got, len(want))
	}
}

// TestAppend appends lines, each with an open and a close of its own, to a new file.
func TestAppend(t *testing.T) {
	for _, lines := range []int{50, 200} {
		t.Run(fmt.Sprint(lines), func(t *testing.T) {
			v := newStoppedVolume(t, mounttest.Options{})
			shell(t, `ls -la "$MNT"`, mnt(v))
			u := v.Measure(t, func() { appendLines(t, v, lines) })
			logOps(t, u)
			// To open it the kernel wants attributes, and only the service knows the time of an append.
			wantAtMost(t, "HEADs", u.Count("HeadObject"), int64(lines))
			delete(u.Stats, "HeadObject")
			wantOps(t, u, map[string]int64{"AppendObject": int64(lines)})
			if got, want := u.Sent(), int64(len(linesTo(lines))); got != want {
				t.Errorf("%d bytes sent, want %d", got, want)
			}
			wantLog(t, v, linesTo(lines))
		})
	}
}

// TestAppendBackground appends in a burst that the commits need not follow one by one.
func TestAppendBackground(t *testing.T) {
	const lines = 50
	v := newVolume(t, mounttest.Options{Store: writeback.Options{Background: true}})
	shell(t, `ls -la "$MNT"`, mnt(v))
	u := v.Measure(t, func() { appendLines(t, v, lines) })
	logOps(t, u)
	wantAtMost(t, "appends", u.Count("AppendObject"), 10)
	wantOps(t, u, map[string]int64{"AppendObject": u.Count("AppendObject")})
	if got, want := u.Sent(), int64(len(linesTo(lines))); got != want {
		t.Errorf("%d bytes sent, want %d", got, want)
	}
	wantLog(t, v, linesTo(lines))
}

// TestAppendFaults is TestAppend on a service that fails: no line is lost, doubled or torn, and nothing
// else is sent in their place.
func TestAppendFaults(t *testing.T) {
	const lines = 200
	v := newVolume(t, faultOptions())
	shell(t, `ls -la "$MNT"`, mnt(v))
	faulty(t, v.Bucket, 3)
	u := v.Measure(t, func() { appendLines(t, v, lines) })
	logOps(t, u)
	wantFaults(t, u)
	wantAtMost(t, "PUTs and parts", u.Count("PutObject")+u.Count("UploadPart"), 0)
	v.Server.SetRules(nil)
	wantLog(t, v, linesTo(lines))
}
