package mount

import (
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/test/internal/mounttest"
)

// TestDirectoryTimes changes names in a directory: its times follow, and cost nothing.
func TestDirectoryTimes(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	dir, other := v.Path("d"), v.Path("other")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Mkdir(other, 0o755))
	long := time.Unix(1234567890, 0)
	steps := []struct {
		name string
		do   func() error
		both bool // the other directory changes, too
	}{
		{"create", func() error { return os.WriteFile(dir+"/f", nil, 0o644) }, false},
		{"mkdir", func() error { return os.Mkdir(dir+"/sub", 0o755) }, false},
		{"symlink", func() error { return os.Symlink("f", dir+"/l") }, false},
		{"mkfifo", func() error { return unix.Mkfifo(dir+"/p", 0o600) }, false},
		{"rename within", func() error { return os.Rename(dir+"/f", dir+"/g") }, false},
		{"rename away", func() error { return os.Rename(dir+"/g", other+"/g") }, true},
		{"rmdir", func() error { return os.Remove(dir + "/sub") }, false},
		{"unlink", func() error { return os.Remove(dir + "/l") }, false},
	}
	for _, s := range steps {
		must(t, os.Chtimes(dir, long, long))
		must(t, os.Chtimes(other, long, long))
		if got := stat(t, dir); got.Mtim.Sec != long.Unix() {
			t.Fatalf("%s: the time was set and is %v", s.name, got.Mtim)
		}
		must(t, s.do())
		if got := stat(t, dir); got.Mtim.Sec == long.Unix() || got.Ctim.Nano() < got.Mtim.Nano() {
			t.Errorf("%s: mtime of the directory is %v, ctime %v", s.name, got.Mtim, got.Ctim)
		}
		if got := stat(t, other); (got.Mtim.Sec != long.Unix()) != s.both {
			t.Errorf("%s: mtime of the other directory is %v", s.name, got.Mtim)
		}
	}
	must(t, os.Chtimes(dir, long, long))
	v.Remount(t)
	if got := stat(t, dir); got.Mtim.Sec != long.Unix() {
		t.Errorf("after a remount: the time was set and is %v", got.Mtim)
	}
}

// TestAccessTime sets access times, which nothing else changes.
func TestAccessTime(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	atime, mtime := time.Unix(1600000000, 123456789), time.Unix(1234567890, 1)
	write(t, v.Path("f"), []byte("x"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	for _, name := range []string{"f", "d"} {
		must(t, os.Chtimes(v.Path(name), atime, mtime))
	}
	write(t, v.Path("only"), []byte("x"))
	before := stat(t, v.Path("only"))
	must(t, os.Chtimes(v.Path("only"), atime, time.Time{}))
	for range 2 {
		wantFile(t, v.Path("f"), []byte("x"))
		for _, name := range []string{"f", "d"} {
			if got := stat(t, v.Path(name)); got.Atim.Nano() != atime.UnixNano() || got.Mtim.Nano() != mtime.UnixNano() {
				t.Errorf("%s: atime %v, mtime %v, want %v and %v", name, got.Atim, got.Mtim, atime, mtime)
			}
		}
		if got := stat(t, v.Path("only")); got.Atim.Nano() != atime.UnixNano() || got.Mtim != before.Mtim {
			t.Errorf("atime alone: atime %v, mtime %v, want %v and %v", got.Atim, got.Mtim, atime, before.Mtim)
		}
		v.Remount(t)
	}
}

// TestChangeTimeStays looks at files while what was done to them reaches the service: tar takes a ctime that
// moves for a file that changes under its hands.
func TestChangeTimeStays(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	must(t, os.Mkdir(v.Path("d"), 0o755))
	write(t, v.Path("f"), []byte("x"))
	for _, name := range []string{"d", "f"} {
		was := stat(t, v.Path(name)).Ctim
		must(t, os.Chmod(v.Path(name), 0o700))
		now := stat(t, v.Path(name)).Ctim
		if now.Nano() <= was.Nano() {
			t.Errorf("%s: ctime is %v after chmod, was %v", name, now, was)
		}
		must(t, v.Store.Sync(t.Context(), ""))
		v.Skew(2 * time.Minute) // nothing is believed any more: the service is asked
		names(t, v.Dir)
		f, err := os.Open(v.Path(name))
		must(t, err)
		var st syscall.Stat_t
		must(t, syscall.Fstat(int(f.Fd()), &st))
		must(t, f.Close())
		if st.Ctim != now {
			t.Errorf("%s: ctime is %v, was %v before the change was sent", name, st.Ctim, now)
		}
	}
}

// TestDevices makes device nodes, which keep their number and which nobody can open.
func TestDevices(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	for name, mode := range map[string]uint32{"c": syscall.S_IFCHR | 0o600, "b": syscall.S_IFBLK | 0o640} {
		must(t, unix.Mknod(v.Path(name), mode, int(unix.Mkdev(4000, 1000000))))
	}
	for range 2 {
		for name, mode := range map[string]uint32{"c": syscall.S_IFCHR | 0o600, "b": syscall.S_IFBLK | 0o640} {
			st := stat(t, v.Path(name))
			if st.Mode != mode || unix.Major(st.Rdev) != 4000 || unix.Minor(st.Rdev) != 1000000 {
				t.Errorf("%s: mode %o, device %d:%d", name, st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev))
			}
			_, err := os.Open(v.Path(name))
			wantErrno(t, "open of a device", err, syscall.EACCES)
		}
		must(t, os.Rename(v.Path("c"), v.Path("moved")))
		must(t, os.Rename(v.Path("moved"), v.Path("c")))
		v.Remount(t)
	}
}

// TestInodeNumbers keeps numbers out of the range that programs with signed numbers print as negative, and
// one to each file, whatever is done to it.
func TestInodeNumbers(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	path := v.Path("f")
	write(t, path, []byte("x"))
	first := stat(t, path).Ino
	if first < 2 || first > 1000 {
		t.Errorf("the first inode number is %d", first)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"chmod", func() error { return os.Chmod(path, 0o600) }},
		{"chown", func() error { return os.Chown(path, 5, 5) }},
		{"utimensat", func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) }},
		{"truncate", func() error { return os.Truncate(path, 0) }},
	}
	for _, s := range steps {
		must(t, s.do())
		if got := stat(t, path).Ino; got != first {
			t.Errorf("after %s the inode number is %d, was %d", s.name, got, first)
		}
	}
}
