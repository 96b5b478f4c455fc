package mount

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// daemon is the command itself, built without the race detector, which would take memory of its own, and
// mounted in a process of its own.
type daemon struct {
	dir string
	cmd *exec.Cmd
}

// startDaemon builds the command and mounts the bucket with it for the time of the test.
func startDaemon(t *testing.T, b *mounttest.Bucket, args ...string) *daemon {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "cosfuse")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "cosfuse/cmd/cosfuse").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, said)
	}
	d := &daemon{dir: filepath.Join(t.TempDir(), "mnt")}
	must(t, os.Mkdir(d.dir, 0o755))
	args = append([]string{"mount", "-f", "--anonymous", "--endpoint", b.URL, "--region", b.Server.Region(),
		"--cache-dir", filepath.Join(t.TempDir(), "cache")}, args...)
	d.cmd = exec.Command(binary, append(args, b.Server.Bucket(), d.dir)...)
	out, err := d.cmd.StderrPipe()
	must(t, err)
	must(t, d.cmd.Start())
	var log bytes.Buffer
	mounted, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for seen := false; lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if !seen && strings.Contains(lines.Text(), "msg=mounted") {
				seen = true
				close(mounted)
			}
		}
	}()
	t.Cleanup(func() {
		must(t, d.cmd.Process.Signal(syscall.SIGTERM))
		<-read
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("the mount ended with %v: %s", err, log.String())
		}
	})
	select {
	case <-mounted:
	case <-read:
		t.Fatalf("not mounted: %s", log.String())
	}
	return d
}

// peak is the most memory that the process had at once, in bytes.
func (d *daemon) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// crowded makes listings of the prefix "many/" show n objects.
func crowded(n int) func(url.Values, []byte) []byte {
	return func(q url.Values, xml []byte) []byte {
		if q.Get("prefix") != "many/" || q.Get("delimiter") == "" {
			return xml
		}
		var first int
		_, _ = fmt.Sscanf(q.Get("marker"), "many/object-%08d.parquet", &first) // none: the first page
		var b bytes.Buffer
		last := min(first+1000, n)
		fmt.Fprintf(&b, "<ListBucketResult><Name>b</Name><Prefix>many/</Prefix><Marker>%s</Marker><MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><IsTruncated>%v</IsTruncated>",
			q.Get("marker"), last < n)
		if last < n {
			fmt.Fprintf(&b, "<NextMarker>many/object-%08d.parquet</NextMarker>", last)
		}
		for i := first + 1; i <= last; i++ {
			fmt.Fprintf(&b, `<Contents><Key>many/object-%08d.parquet</Key><LastModified>2020-12-10T03:37:30.000Z</LastModified><ETag>&quot;%032x&quot;</ETag>`+
				`<Size>%d</Size><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>`, i, i, i)
		}
		b.WriteString("</ListBucketResult>")
		return b.Bytes()
	}
}

// TestMemory holds the daemon to its budget, and what it may use beside it, while 16 readers stream and a
// directory with as many names as anybody has is listed.
func TestMemory(t *testing.T) {
	const (
		readers, size  = 16, 12 << 20
		names          = 100_000
		budget, beside = 64 << 20, 150 << 20
	)
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("go is not installed")
	}
	b := mounttest.NewBucket(t, cosserver.Options{})
	put(t, b, "many/object-00000001.parquet", []byte("x"))
	for i := range readers {
		put(t, b, fmt.Sprintf("r%02d", i), noise(uint64(i), size))
	}
	d := startDaemon(t, between(t, b, nil, crowded(names)), "--memory", fmt.Sprint(budget))
	start := d.peak(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var g errgroup.Group
	for i := range readers {
		g.Go(func() error {
			out, err := exec.CommandContext(ctx, "sh", "-c", `cat "$1" | wc -c`, "sh", filepath.Join(d.dir, fmt.Sprintf("r%02d", i))).CombinedOutput()
			if got := strings.TrimSpace(string(out)); got != fmt.Sprint(size) {
				err = errors.Join(err, fmt.Errorf("reader %d: %q", i, got))
			}
			return err
		})
	}
	g.Go(func() error {
		for range 3 {
			out, err := exec.CommandContext(ctx, "sh", "-c", `ls -f "$1" | wc -l`, "sh", filepath.Join(d.dir, "many")).CombinedOutput()
			if got := strings.TrimSpace(string(out)); got != fmt.Sprint(names) && got != fmt.Sprint(names+2) { // with . and ..
				return errors.Join(err, fmt.Errorf("ls of %d names: %q", names, got))
			}
		}
		return nil
	})
	must(t, g.Wait())
	peak := d.peak(t)
	t.Logf("%d MiB when it started, %d MiB at most; %d MiB allowed", start>>20, peak>>20, (budget+beside)>>20)
	if peak > budget+beside {
		t.Errorf("the mount took %d MiB, want at most %d", peak>>20, (budget+beside)>>20)
	}
}
