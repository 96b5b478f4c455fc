package mount

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// dropPages makes the kernel forget the pages of a file, so that the next read reaches the mount.
func dropPages(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	must(t, f.Close())
}

// wantNoData reads a file and checks that its bytes were here already.
func wantNoData(t testing.TB, v *mounttest.Volume, name string, want []byte) {
	t.Helper()
	v.Server.ResetStats()
	wantFile(t, v.Path(name), want)
	if got := v.Count("GetObject"); got != 0 {
		t.Errorf("reading %s again: %d GETs, want none", name, got)
	}
}

func TestSecondReadAsksForNoData(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 256 << 20})
	files := map[string][]byte{"large": noise(1, 9<<20+4321), "small": noise(2, 16<<10), "empty": nil}
	for name, content := range files {
		put(t, v.Bucket, name, content)
		wantFile(t, v.Path(name), content)
		dropPages(t, v.Path(name))
		wantNoData(t, v, name, content)
	}
	v.Remount(t)
	for name, content := range files {
		wantNoData(t, v, name, content)
	}
}

func TestReplacedObjectIsNotReadFromDisk(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 256 << 20})
	for seed := range uint64(3) {
		content := noise(seed, 1<<20)
		put(t, v.Bucket, "f", content)
		v.Remount(t)
		wantFile(t, v.Path("f"), content)
	}
}

func TestDamagedBlocksAreFetchedAgain(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 256 << 20})
	content := noise(1, 5<<20)
	put(t, v.Bucket, "f", content)
	wantFile(t, v.Path("f"), content)
	v.Stop(t)
	damage(t, v.Kept)
	v.Remount(t)
	v.Server.ResetStats()
	wantFile(t, v.Path("f"), content)
	if v.Count("GetObject") == 0 {
		t.Error("nothing was fetched again: the test damaged nothing")
	}
	dropPages(t, v.Path("f"))
	wantNoData(t, v, "f", content)
}

// damage flips a bit in every 4 KiB of every file in dir.
func damage(t testing.TB, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(t, err)
		for i := 2048; i < len(text); i += 4096 {
			text[i] ^= 0x10
		}
		must(t, os.WriteFile(path, text, 0o600))
	}
}

// TestWrongContentIsAnError checks that a whole read compares the object's checksum, also if it comes in
// pieces none of which tells that it was damaged, and that the next read gets none of the wrong bytes.
func TestWrongContentIsAnError(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 256 << 20})
	content := noise(1, 9<<20)
	put(t, v.Bucket, "f", content)
	defer v.Server.AddRule(cosserver.Rule{Op: "GetObject", Key: "f", Action: cosserver.Corrupt, Limit: 1})()
	_, err := os.ReadFile(v.Path("f"))
	wantErrno(t, "reading what was damaged on its way", err, syscall.EIO)
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() { // the kernel is told a moment later
		if got, err := os.ReadFile(v.Path("f")); err == nil && bytes.Equal(got, content) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("reading again: %d bytes, error %v", len(got), err)
		}
	}
}
