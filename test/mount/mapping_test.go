package mount

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/test/internal/mounttest"
)

// mappedFile names the file that TestMappingProcess works on.
const mappedFile = "COSFUSE_TEST_MAPPED_FILE"

// TestMapping changes a file through a shared mapping, in a process of its own: a fault in a mapping of our own
// mount would stop the runtime that is to serve it.
func TestMapping(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	want := noise(1, 3<<20+5)
	put(t, v.Bucket, "f", want)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMappingProcess$")
	cmd.Env = append(os.Environ(), mappedFile+"="+v.Path("f"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	copy(want[1<<20+7:], "through a mapping")
	copy(want[len(want)-5:], "after")
	v.Remount(t)
	wantFile(t, v.Path("f"), want)
}

// TestMappingProcess is the other process of TestMapping.
func TestMappingProcess(t *testing.T) {
	path := os.Getenv(mappedFile)
	if path == "" {
		t.Skip("TestMapping runs it")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	p, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(p[1<<20+7:], "through a mapping")
	must(t, unix.Msync(p, unix.MS_SYNC))
	got := make([]byte, 17)
	_, err = f.ReadAt(got, 1<<20+7)
	must(t, err)
	if !bytes.Equal(got, []byte("through a mapping")) {
		t.Errorf("a read sees %q", got)
	}
	must(t, f.Close())
	copy(p[len(p)-5:], "after")
	must(t, unix.Munmap(p))
}

// TestWatches tells of what is done through this mount.
func TestWatches(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	watch := os.NewFile(uintptr(fd), "inotify")
	defer watch.Close()
	_, err = unix.InotifyAddWatch(fd, v.Dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_DELETE)
	must(t, err)
	put(t, v.Bucket, "theirs", []byte("x"))
	write(t, v.Path("ours"), []byte("x"))
	must(t, os.Rename(v.Path("ours"), v.Path("moved")))
	must(t, os.Remove(v.Path("moved")))
	buf := make([]byte, 4096)
	n, err := watch.Read(buf)
	must(t, err)
	events := string(buf[:n])
	if !strings.Contains(events, "ours") || strings.Count(events, "moved") != 2 || strings.Contains(events, "theirs") {
		t.Errorf("events %q", events)
	}
}
