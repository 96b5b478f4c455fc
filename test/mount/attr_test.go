package mount

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

func TestAttributesSurviveRemount(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	mtime := time.Unix(1234567890, 123456789)
	write(t, v.Path("f"), []byte("x"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	must(t, os.Symlink("a target that is not there", v.Path("l")))
	must(t, unix.Mkfifo(v.Path("p"), 0o600))
	for _, name := range []string{"f", "d"} {
		must(t, os.Chmod(v.Path(name), 0o751|os.ModeSetgid))
		must(t, os.Chown(v.Path(name), 123, 456))
		must(t, os.Chmod(v.Path(name), 0o751|os.ModeSetgid))
		must(t, os.Chtimes(v.Path(name), time.Time{}, mtime))
	}
	must(t, os.Lchown(v.Path("l"), 123, 456))
	for range 2 {
		for name, mode := range map[string]uint32{
			"f": syscall.S_IFREG | 0o2751, "d": syscall.S_IFDIR | 0o2751,
			"l": syscall.S_IFLNK | 0o777, "p": syscall.S_IFIFO | 0o600,
		} {
			st := stat(t, v.Path(name))
			if st.Mode != mode {
				t.Errorf("%s: mode %o, want %o", name, st.Mode, mode)
			}
			if name != "p" && (st.Uid != 123 || st.Gid != 456) {
				t.Errorf("%s: owner %d:%d, want 123:456", name, st.Uid, st.Gid)
			}
			if got := time.Unix(st.Mtim.Unix()); (name == "f" || name == "d") && !got.Equal(mtime) {
				t.Errorf("%s: mtime %v, want %v", name, got, mtime)
			}
		}
		if got, err := os.Readlink(v.Path("l")); err != nil || got != "a target that is not there" {
			t.Errorf("link leads to %q, %v", got, err)
		}
		v.Remount(t)
	}
	if got := object1(t, v.Bucket, "l"); got != "a target that is not there" {
		t.Errorf("the link's object holds %q", got)
	}
}

// object1 is an object's content.
func object1(t *testing.T, b *mounttest.Bucket, key string) string {
	t.Helper()
	content, _ := object(t, b, key)
	return string(content)
}

// TestImplicitTimeIsOne checks that a file whose time was never set shows one mtime, before and after
// the commit and in every mount.
func TestImplicitTimeIsOne(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("put"), []byte("x"))
	f, err := os.OpenFile(v.Path("appended"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(t, err)
	_, err = f.WriteString("x")
	must(t, err)
	must(t, f.Close())
	seen := map[string]syscall.Timespec{}
	for range 2 {
		for _, name := range []string{"put", "appended"} {
			got := stat(t, v.Path(name)).Mtim
			if age := time.Since(time.Unix(got.Unix())); age < -time.Minute || age > time.Minute {
				t.Errorf("%s: mtime is %v ago", name, age)
			}
			if was, ok := seen[name]; ok && was != got {
				t.Errorf("%s: mtime was %v and is %v", name, was, got)
			}
			seen[name] = got
		}
		v.Remount(t)
	}
}

func TestXattrs(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	value := []byte("value \x00 with a zero byte")
	write(t, v.Path("f"), []byte("x"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	for _, name := range []string{"f", "d"} {
		path := v.Path(name)
		must(t, unix.Setxattr(path, "user.one", value, 0))
		must(t, unix.Setxattr(path, "user.two", nil, unix.XATTR_CREATE))
		wantErrno(t, "create what exists", unix.Setxattr(path, "user.one", nil, unix.XATTR_CREATE), syscall.EEXIST)
		wantErrno(t, "replace what does not", unix.Setxattr(path, "user.three", nil, unix.XATTR_REPLACE), syscall.ENODATA)
		wantErrno(t, "remove what does not exist", unix.Removexattr(path, "user.three"), syscall.ENODATA)
		wantErrno(t, "set another namespace", unix.Setxattr(path, "trusted.x", value, 0), syscall.EOPNOTSUPP)
		wantErrno(t, "set too much", unix.Setxattr(path, "user.big", make([]byte, 4096), 0), syscall.ENOSPC)
		_, err := unix.Getxattr(path, "security.capability", make([]byte, 10))
		wantErrno(t, "security.capability", err, syscall.ENODATA)
		_, err = unix.Getxattr(path, "user.one", make([]byte, 3))
		wantErrno(t, "get with little room", err, syscall.ERANGE)
	}
	for range 2 {
		for _, name := range []string{"f", "d"} {
			buf := make([]byte, 100)
			n, err := unix.Getxattr(v.Path(name), "user.one", buf)
			if err != nil || !bytes.Equal(buf[:n], value) {
				t.Errorf("%s: user.one is %q, %v", name, buf[:max(n, 0)], err)
			}
			n, err = unix.Listxattr(v.Path(name), buf)
			if got := string(buf[:max(n, 0)]); err != nil || got != "user.one\x00user.two\x00" {
				t.Errorf("%s: list is %q, %v", name, got, err)
			}
		}
		v.Remount(t)
	}
	must(t, unix.Removexattr(v.Path("f"), "user.one"))
	v.Remount(t)
	_, err := unix.Getxattr(v.Path("f"), "user.one", make([]byte, 100))
	wantErrno(t, "get what was removed", err, syscall.ENODATA)
}

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), nil)
	wantErrno(t, "hard link", os.Link(v.Path("f"), v.Path("g")), syscall.EPERM)
	_, err := unix.Open(v.Dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	wantErrno(t, "O_TMPFILE", err, syscall.EOPNOTSUPP)
	f, err := os.OpenFile(v.Path("f"), os.O_RDWR, 0)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	wantErrno(t, "collapse range", unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096), syscall.EOPNOTSUPP)
	wantErrno(t, "a size beyond the service's", f.Truncate(1<<60), syscall.EFBIG)
}

// asUser runs a shell script as a user that owns nothing.
func asUser(t *testing.T, script string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12346}}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestPermissionsOfAnotherUser(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{AllowOther: true}})
	must(t, os.Chmod(t.TempDir(), 0o755))
	write(t, v.Path("secret"), []byte("x"))
	must(t, os.Chmod(v.Path("secret"), 0o600))
	write(t, v.Path("shared"), []byte("shared"))
	must(t, os.Mkdir(v.Path("open"), 0o777))
	must(t, os.Chmod(v.Path("open"), 0o777))
	must(t, os.Mkdir(v.Path("group"), 0o777))
	must(t, os.Chown(v.Path("group"), 0, 999))
	must(t, os.Chmod(v.Path("group"), 0o777|os.ModeSetgid))
	if out, err := asUser(t, `ls "$1"`, v.Dir); err != nil {
		t.Skipf("another user cannot reach the test's directory: %s", out)
	}
	if out, err := asUser(t, `cat "$1"`, v.Path("secret")); err == nil {
		t.Errorf("another user reads a file of mode 600: %q", out)
	}
	if out, err := asUser(t, `cat "$1"`, v.Path("shared")); err != nil || out != "shared" {
		t.Errorf("another user cannot read a file of mode 644: %q, %v", out, err)
	}
	if out, err := asUser(t, `echo x > "$1"`, v.Path("new")); err == nil {
		t.Errorf("another user writes a directory of mode 755: %q", out)
	}
	if out, err := asUser(t, `umask 027; echo x > "$1/f" && mkdir "$1/d" && echo x > "$2/f" && mkdir "$2/d"`, v.Path("open"), v.Path("group")); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for range 2 {
		for name, want := range map[string]syscall.Stat_t{
			"open/f":  {Mode: syscall.S_IFREG | 0o640, Uid: 12345, Gid: 12346},
			"open/d":  {Mode: syscall.S_IFDIR | 0o750, Uid: 12345, Gid: 12346},
			"group/f": {Mode: syscall.S_IFREG | 0o640, Uid: 12345, Gid: 999},
			"group/d": {Mode: syscall.S_IFDIR | 0o2750, Uid: 12345, Gid: 999},
		} {
			got := stat(t, v.Path(name))
			if got.Mode != want.Mode || got.Uid != want.Uid || got.Gid != want.Gid {
				t.Errorf("%s: %o %d:%d, want %o %d:%d", name, got.Mode, got.Uid, got.Gid, want.Mode, want.Uid, want.Gid)
			}
		}
		v.Remount(t)
	}
}

func TestWriteClearsSetuid(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{AllowOther: true}})
	write(t, v.Path("f"), []byte("x"))
	must(t, os.Chmod(v.Path("f"), 0o777|os.ModeSetuid))
	if out, err := asUser(t, `echo more >> "$1"`, v.Path("f")); err != nil {
		t.Skipf("another user cannot write: %s", out)
	}
	if got := stat(t, v.Path("f")).Mode; got != syscall.S_IFREG|0o777 {
		t.Errorf("mode %o after another user's write, want no setuid", got)
	}
}
