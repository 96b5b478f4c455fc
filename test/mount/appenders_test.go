package mount

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// TestTwoMountsAppendLines has a shell on each of two mounts append lines to one file, one open for each line.
// Every line is there once, whole, and the lines of each are in order.
func TestTwoMountsAppendLines(t *testing.T) {
	const lines = 25
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprint("background ", background), func(t *testing.T) {
			a, b := pair(t, mounttest.Options{Store: writeback.Options{Background: background}})
			var g errgroup.Group
			var want [2][]string
			for i, v := range []*mounttest.Volume{a, b} {
				for n := range lines {
					want[i] = append(want[i], fmt.Sprintf("mount %d line %d", i, n+1))
				}
				g.Go(func() error {
					script := fmt.Sprintf(`for n in $(seq %d); do echo "mount %d line $n" >>"$0" || exit; done`, lines, i)
					out, err := exec.Command("sh", "-c", script, v.Path("log")).CombinedOutput()
					if err != nil {
						return fmt.Errorf("mount %d: %w: %s", i, err, out)
					}
					return nil
				})
			}
			must(t, g.Wait())
			a.Drain(t)
			b.Drain(t)
			got, info := object(t, a.Bucket, "log")
			all := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
			for i := range want {
				mine := slices.DeleteFunc(slices.Clone(all), func(l string) bool { return !slices.Contains(want[i], l) })
				if !slices.Equal(mine, want[i]) {
					t.Errorf("lines of mount %d: %q, want %q", i, mine, want[i])
				}
			}
			if len(all) != 2*lines || !info.Appendable {
				t.Errorf("%d lines (appendable: %t), want %d: %q", len(all), info.Appendable, 2*lines, got)
			}
		})
	}
}

// TestTailFollowsAnotherMount has tail -f read a log that another mount appends to: it goes on, line by line.
func TestTailFollowsAnotherMount(t *testing.T) {
	a, b := pair(t, mounttest.Options{FS: fs.Options{MetaTTL: 20 * time.Millisecond}})
	appendTo := func(text string) {
		t.Helper()
		f, err := os.OpenFile(a.Path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		must(t, err)
		_, err = io.WriteString(f, text)
		must(t, err)
		must(t, f.Close())
	}
	appendTo("line 0\n")
	tail := exec.Command("tail", "-n", "+1", "-f", "---disable-inotify", "-s", "0.02", b.Path("log"))
	out, err := tail.StdoutPipe()
	must(t, err)
	must(t, tail.Start())
	stop := time.AfterFunc(time.Minute, func() { _ = tail.Process.Kill() }) // the read below then ends
	defer stop.Stop()
	r := bufio.NewReader(out)
	for i := range 5 {
		if i > 0 {
			appendTo(fmt.Sprintf("line %d\n", i))
		}
		line, err := r.ReadString('\n')
		if want := fmt.Sprintf("line %d\n", i); err != nil || line != want {
			t.Fatalf("tail said %q, %v, want %q", line, err, want)
		}
	}
	must(t, tail.Process.Kill())
	if err := tail.Wait(); err == nil {
		t.Error("tail ended by itself")
	}
}
