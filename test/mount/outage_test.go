package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// program prepares a child process that works on a mount.
func program(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = "/"
	return cmd
}

// outage mounts a bucket, looks at directory d of it, and has the service answer nothing from then on.
func outage(t *testing.T, o mounttest.Options) (v *mounttest.Volume, listing []byte) {
	t.Helper()
	o.FS.MetaTTL = time.Hour
	v = mounttest.New(t, o)
	for i := range 20 {
		put(t, v.Bucket, fmt.Sprintf("d/f%02d", i), []byte("x"))
	}
	put(t, v.Bucket, "cold/f", noise(1, 1<<20))
	listing, err := program(t, "ls", "-lR", v.Dir).Output()
	must(t, err)
	v.Skew(time.Minute) // the listings are older than absence is believed for
	t.Cleanup(v.Server.AddRule(cosserver.Rule{Action: cosserver.Stall}))
	v.Abandon(t)
	return v, listing
}

// needy are programs that need an answer, and change nothing: what does is not interrupted.
func needy(v *mounttest.Volume) map[string][]string {
	return map[string][]string{
		"a read":        {"cat", v.Path("cold", "f")},
		"a new name":    {"ls", v.Path("d", "new")},
		"a new listing": {"ls", v.Path("unknown")},
		"an open":       {"tail", "-c1", v.Path("d", "f00")},
	}
}

// TestUnansweredRequests holds promise P8 while the service takes requests and answers none: what is cached
// works, and what waits ends by a signal, long before the client gives up.
func TestUnansweredRequests(t *testing.T) {
	v, listing := outage(t, mounttest.Options{})
	for what, args := range needy(v) {
		t.Run(what, func(t *testing.T) {
			cmd := program(t, args[0], args[1:]...)
			v.Server.ResetStats()
			must(t, cmd.Start())
			for v.Server.Stats().Requests() == 0 {
				runtime.Gosched()
			}
			got, err := program(t, "ls", "-l", v.Path("d")).Output()
			if err != nil || !bytes.Contains(listing, got) {
				t.Errorf("ls of a cached directory: error %v, %d bytes", err, len(got))
			}
			if said, err := program(t, "df", v.Dir).CombinedOutput(); err != nil {
				t.Errorf("df: %v: %s", err, said)
			}
			must(t, cmd.Process.Signal(os.Interrupt))
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// TestUnansweredRequestsEnd has nobody interrupt what waits: it fails once the client has given up.
func TestUnansweredRequestsEnd(t *testing.T) {
	v, _ := outage(t, mounttest.Options{Stall: 300 * time.Millisecond})
	var g errgroup.Group
	for what, args := range needy(v) {
		g.Go(func() error {
			said, err := program(t, args[0], args[1:]...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !bytes.Contains(said, []byte("Input/output error")) && !bytes.Contains(said, []byte("timed out")) {
				return fmt.Errorf("%s: %w: %s", what, err, said)
			}
			return nil
		})
	}
	must(t, g.Wait())
}
