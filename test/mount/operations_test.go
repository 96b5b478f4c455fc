package mount

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/test/internal/mounttest"
)

// TestEveryOperationNamesItsTest holds the table of operations to what it is there for: what an operation does,
// what it costs, and the test that says so. That the tests exist is a rule of test/lint.
func TestEveryOperationNamesItsTest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "fs", "SEMANTICS.md"))
	must(t, err)
	_, section, _ := strings.Cut(string(text), "\n## Operations\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, table, ok := strings.Cut(section, "|---|---|---|---|\n")
	if !ok {
		t.Fatal("there is no table of operations")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	test := regexp.MustCompile("`(Test|Fuzz)[A-Za-z]+`")
	for row := range strings.Lines(table + "\n") {
		cells := strings.Split(strings.Trim(row, "|\n"), "|")
		switch {
		case len(cells) != 4:
			t.Errorf("%d cells, want 4: %.60s", len(cells), row)
		case strings.TrimSpace(cells[1]) == "" || strings.TrimSpace(cells[2]) == "":
			t.Errorf("not said what it does or costs: %.60s", row)
		case !test.MatchString(row):
			t.Errorf("no test is named: %.60s", row)
		}
	}
	for _, name := range []string{
		"lookup", "`stat`", "`statx`", "`access`", "`readdir`", "`open`", "`open(O_CREAT)`", "`open(O_TRUNC)`", "`O_DIRECT`", "`read`", "`write`",
		"`mmap`", "`lseek`", "`close`", "`fsync`", "`sync`", "`truncate`", "`fallocate`", "`chmod`", "`chown`", "`utimensat`", "`mkdir`", "`rmdir`",
		"`unlink`", "`rename`", "`symlink`", "`readlink`", "`mknod`", "`link`", "`O_TMPFILE`", "`getxattr`", "`listxattr`", "`setxattr`", "`removexattr`",
		"`statfs`", "`flock`", "`fcntl`", "`copy_file_range`", "`ioctl`", "`poll`", "`inotify`",
	} {
		if !strings.Contains(table, name) {
			t.Errorf("the table of operations lacks %s", name)
		}
	}
}

// TestSizesBeyondTheService are refused when they are asked for, not at close.
func TestSizesBeyondTheService(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	f, err := os.Create(v.Path("f"))
	must(t, err)
	_, err = f.WriteAt([]byte("x"), cos.MaxObjectBytes)
	wantErrno(t, "write", err, syscall.EFBIG)
	wantErrno(t, "close after a failed write", f.Close(), syscall.EIO)
	f, err = os.Create(v.Path("g"))
	must(t, err)
	wantErrno(t, "ftruncate", f.Truncate(cos.MaxObjectBytes+1), syscall.EFBIG)
	wantErrno(t, "fallocate", unix.Fallocate(int(f.Fd()), 0, 0, cos.MaxObjectBytes+1), syscall.EFBIG)
	wantErrno(t, "collapse", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096), syscall.EOPNOTSUPP)
	must(t, f.Close())
	wantErrno(t, "truncate", os.Truncate(v.Path("g"), cos.MaxObjectBytes+1), syscall.EFBIG)
}

// TestSeek finds one extent of data, and the hole at the end.
func TestSeek(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), []byte("hello"))
	f, err := os.Open(v.Path("f"))
	must(t, err)
	for _, tt := range []struct {
		off    int64
		whence int
		want   int64
		errno  syscall.Errno
	}{
		{1, unix.SEEK_DATA, 1, 0}, {1, unix.SEEK_HOLE, 5, 0}, {5, unix.SEEK_DATA, 0, syscall.ENXIO}, {6, unix.SEEK_HOLE, 0, syscall.ENXIO},
		{-1, io.SeekEnd, 4, 0},
	} {
		got, err := unix.Seek(int(f.Fd()), tt.off, tt.whence)
		wantErrno(t, "lseek", err, tt.errno)
		if err == nil && got != tt.want {
			t.Errorf("lseek %d, whence %d: %d, want %d", tt.off, tt.whence, got, tt.want)
		}
	}
	must(t, f.Close())
}

// TestFsync sends what is not in COS, once; of a directory its marker and what is new in it.
func TestFsync(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	must(t, os.Mkdir(v.Path("d"), 0o755))
	wantErrno(t, "mkdir again", os.Mkdir(v.Path("d"), 0o755), syscall.EEXIST)
	f, err := os.Create(v.Path("d", "empty"))
	must(t, err)
	must(t, f.Sync())
	d, err := os.Open(v.Path("d"))
	must(t, err)
	must(t, d.Sync())
	wantKeys(t, v.Bucket, "d/", "d/empty")
	v.Server.ResetStats()
	must(t, f.Sync())
	must(t, unix.Fdatasync(int(f.Fd())))
	must(t, d.Sync())
	if n := v.Mutations(); n != 0 {
		t.Errorf("%d changes, want none: all is there", n)
	}
	_, err = f.WriteString("x")
	must(t, err)
	must(t, unix.Syncfs(int(d.Fd())))
	if got, _ := object(t, v.Bucket, "d/empty"); len(got) != 0 {
		t.Error("syncfs sent a file; FUSE does not tell us of it")
	}
	must(t, d.Close())
	must(t, f.Close())
}

// TestStatfs tells of room for everything, and asks nobody.
func TestStatfs(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	v.Server.ResetStats()
	var st unix.Statfs_t
	must(t, unix.Statfs(v.Dir, &st))
	if total := st.Blocks * uint64(st.Bsize); total != 1<<50 || st.Bavail != st.Blocks || st.Ffree == 0 || st.Namelen != 255 {
		t.Errorf("%+v", st)
	}
	if len(v.Server.Stats()) != 0 {
		t.Errorf("statfs asked: %v", v.Server.Stats())
	}
}

// TestIoctlsAreRefused by number, so that programs take the way around.
func TestIoctlsAreRefused(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("src"), []byte("x"))
	src, dst := open2(t, v, "src", "dst")
	_, err := unix.IoctlGetUint32(int(src.Fd()), unix.FS_IOC_GETFLAGS)
	wantErrno(t, "FS_IOC_GETFLAGS", err, syscall.ENOTTY)
	wantErrno(t, "FICLONE", unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())), syscall.EOPNOTSUPP)
	must(t, src.Close())
	must(t, dst.Close())
}

// TestDirectIO reads and writes around the kernel's pages.
func TestDirectIO(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	content := noise(1, 3*4096+10)
	fd, err := unix.Open(v.Path("f"), unix.O_RDWR|unix.O_CREAT|unix.O_DIRECT, 0o644)
	must(t, err)
	f := os.NewFile(uintptr(fd), "f")
	_, err = f.WriteAt(content, 0)
	must(t, err)
	got := make([]byte, len(content))
	_, err = f.ReadAt(got, 0)
	must(t, err)
	must(t, f.Close())
	if string(got) != string(content) {
		t.Error("read something else than was written")
	}
	v.Remount(t)
	wantFile(t, v.Path("f"), content)
}

// TestLinks keeps where a symbolic link leads, for one request each.
func TestLinks(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	v.Server.ResetStats()
	must(t, os.Symlink("no/where", v.Path("l")))
	if v.Mutations() != 1 {
		t.Errorf("%v, want one put", v.Server.Stats())
	}
	wantErrno(t, "symlink again", os.Symlink("x", v.Path("l")), syscall.EEXIST)
	v.Remount(t)
	for range 2 {
		if got, err := os.Readlink(v.Path("l")); got != "no/where" || err != nil {
			t.Errorf("the link leads to %q, %v", got, err)
		}
	}
	if n := v.Count("GetObject"); n > 1 {
		t.Errorf("%d GETs, want one at most", n)
	}
}
