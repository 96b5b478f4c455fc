package posix

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// other is a user who owns nothing but what is his.
const other = 54321

// tooLong is a component over 255 bytes, deep a path whose key would be over 850.
var (
	tooLong = strings.Repeat("n", 256)
	deep    = strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 200)+"/", 5), "/")
)

// errnoCase is a call in a directory that fixture made, and what is to come of it.
type errnoCase struct {
	call
	uid  int
	want syscall.Errno
}

const rw, creat, excl, trunc, dir = unix.O_RDWR, unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_DIRECTORY

// errnoCases are in order, those of root first: each finds what those before have left.
var errnoCases = []errnoCase{
	{call{Op: "open", Path: "absent", Flags: rw}, 0, unix.ENOENT},
	{call{Op: "open", Path: "absent/f", Flags: rw | creat}, 0, unix.ENOENT},
	{call{Op: "open", Path: "file/f", Flags: rw | creat}, 0, unix.ENOTDIR},
	{call{Op: "open", Path: "file", Flags: rw | creat | excl}, 0, unix.EEXIST},
	{call{Op: "open", Path: "dangling", Flags: rw | creat | excl}, 0, unix.EEXIST},
	{call{Op: "open", Path: "dir", Flags: rw}, 0, unix.EISDIR},
	{call{Op: "open", Path: "dir", Flags: rw | creat}, 0, unix.EISDIR},
	{call{Op: "open", Path: "file", Flags: dir}, 0, unix.ENOTDIR},
	{call{Op: "open", Path: "loop", Flags: rw}, 0, unix.ELOOP},
	{call{Op: "open", Path: "link", Flags: unix.O_NOFOLLOW}, 0, unix.ELOOP},
	{call{Op: "open", Path: tooLong, Flags: rw | creat}, 0, unix.ENAMETOOLONG},
	{call{Op: "open", Path: deep, Flags: rw | creat}, 0, unix.ENOENT},
	{call{Op: "open", Path: "fifo", Flags: unix.O_WRONLY | unix.O_NONBLOCK}, 0, unix.ENXIO},
	{call{Op: "open", Path: "private", Flags: unix.O_RDONLY}, other, unix.EACCES},
	{call{Op: "open", Path: "file", Flags: rw}, other, unix.EACCES},
	{call{Op: "open", Path: "closed/f", Flags: rw}, other, unix.EACCES},
	{call{Op: "open", Path: "dir/new", Flags: rw | creat, Mode: 0o600}, other, unix.EACCES},
	{call{Op: "open", Path: "file", Flags: unix.O_RDONLY | trunc}, other, unix.EACCES},
	{call{Op: "open", Path: "sticky/his", Flags: rw | creat, Mode: 0o600}, other, 0},

	{call{Op: "mkdir", Path: "dir", Mode: 0o755}, 0, unix.EEXIST},
	{call{Op: "mkdir", Path: "file", Mode: 0o755}, 0, unix.EEXIST},
	{call{Op: "mkdir", Path: "dangling", Mode: 0o755}, 0, unix.EEXIST},
	{call{Op: "mkdir", Path: "absent/d", Mode: 0o755}, 0, unix.ENOENT},
	{call{Op: "mkdir", Path: "file/d", Mode: 0o755}, 0, unix.ENOTDIR},
	{call{Op: "mkdir", Path: "loop/d", Mode: 0o755}, 0, unix.ELOOP},
	{call{Op: "mkdir", Path: tooLong, Mode: 0o755}, 0, unix.ENAMETOOLONG},
	{call{Op: "mkdir", Path: "dir/d", Mode: 0o755}, other, unix.EACCES},

	{call{Op: "rmdir", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "rmdir", Path: "file"}, 0, unix.ENOTDIR},
	{call{Op: "rmdir", Path: "link"}, 0, unix.ENOTDIR},
	{call{Op: "rmdir", Path: "full"}, 0, unix.ENOTEMPTY},
	{call{Op: "rmdir", Path: "dir/."}, 0, unix.EINVAL},
	{call{Op: "rmdir", Path: "full/.."}, 0, unix.ENOTEMPTY},
	{call{Op: "rmdir", Path: "dir"}, other, unix.EACCES},
	{call{Op: "rmdir", Path: "sticky/dir"}, other, unix.EPERM},

	{call{Op: "unlink", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "unlink", Path: "file/f"}, 0, unix.ENOTDIR},
	{call{Op: "unlink", Path: "dir"}, 0, unix.EISDIR},
	{call{Op: "unlink", Path: "loop/f"}, 0, unix.ELOOP},
	{call{Op: "unlink", Path: tooLong}, 0, unix.ENAMETOOLONG},
	{call{Op: "unlink", Path: "file"}, other, unix.EACCES},
	{call{Op: "unlink", Path: "sticky/file"}, other, unix.EPERM},
	{call{Op: "unlink", Path: "closed/f"}, other, unix.EACCES},

	{call{Op: "rename", Path: "absent", Other: "new"}, 0, unix.ENOENT},
	{call{Op: "rename", Path: "file", Other: "absent/new"}, 0, unix.ENOENT},
	{call{Op: "rename", Path: "file", Other: "file/new"}, 0, unix.ENOTDIR},
	{call{Op: "rename", Path: "file", Other: "dir"}, 0, unix.EISDIR},
	{call{Op: "rename", Path: "dir", Other: "file"}, 0, unix.ENOTDIR},
	{call{Op: "rename", Path: "dir", Other: "full"}, 0, unix.ENOTEMPTY},
	{call{Op: "rename", Path: "full", Other: "full/sub"}, 0, unix.EINVAL},
	{call{Op: "rename", Path: "file", Other: tooLong}, 0, unix.ENAMETOOLONG},
	{call{Op: "rename", Path: "loop/f", Other: "new"}, 0, unix.ELOOP},
	{call{Op: "rename", Path: "file", Other: "new"}, other, unix.EACCES},
	{call{Op: "rename", Path: "sticky/file", Other: "sticky/new"}, other, unix.EPERM},
	{call{Op: "rename", Path: "sticky/his", Other: "sticky/file"}, other, unix.EPERM},
	{call{Op: "rename", Path: "file", Other: "file"}, 0, 0},
	{call{Op: "renameat2", Path: "file", Other: "link", Flags: unix.RENAME_NOREPLACE}, 0, unix.EEXIST},
	{call{Op: "renameat2", Path: "file", Other: "dir", Flags: unix.RENAME_EXCHANGE}, 0, unix.EINVAL},

	{call{Op: "symlink", Path: "file", Other: "x"}, 0, unix.EEXIST},
	{call{Op: "symlink", Path: "absent/l", Other: "x"}, 0, unix.ENOENT},
	{call{Op: "symlink", Path: "file/l", Other: "x"}, 0, unix.ENOTDIR},
	{call{Op: "symlink", Path: "l", Other: ""}, 0, unix.ENOENT},
	{call{Op: "symlink", Path: tooLong, Other: "x"}, 0, unix.ENAMETOOLONG},
	{call{Op: "symlink", Path: "l", Other: strings.Repeat("x", 4096)}, 0, unix.ENAMETOOLONG},
	{call{Op: "symlink", Path: "dir/l", Other: "x"}, other, unix.EACCES},
	{call{Op: "link", Path: "hard", Other: "file"}, 0, unix.EPERM},
	{call{Op: "link", Path: "hard", Other: "absent"}, 0, unix.ENOENT},

	{call{Op: "chmod", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "chmod", Path: "file/f"}, 0, unix.ENOTDIR},
	{call{Op: "chmod", Path: "loop"}, 0, unix.ELOOP},
	{call{Op: "chmod", Path: "file", Mode: 0o777}, other, unix.EPERM},
	{call{Op: "chown", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "chown", Path: "file", UID: other, GID: other}, other, unix.EPERM},
	{call{Op: "chown", Path: "sticky/his", UID: -1, GID: other}, other, 0},
	{call{Op: "chown", Path: "sticky/his", UID: 0, GID: -1}, other, unix.EPERM},
	{call{Op: "utimes", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "utimes", Path: "file"}, other, unix.EPERM},
	{call{Op: "utimes-now", Path: "file"}, other, unix.EACCES},
	{call{Op: "utimes-now", Path: "writable"}, other, 0},

	{call{Op: "truncate", Path: "absent"}, 0, unix.ENOENT},
	{call{Op: "truncate", Path: "dir"}, 0, unix.EISDIR},
	{call{Op: "truncate", Path: "file", Size: -1}, 0, unix.EINVAL},
	{call{Op: "truncate", Path: "file", Size: 1 << 60}, 0, unix.EFBIG},
	{call{Op: "truncate", Path: "file/f"}, 0, unix.ENOTDIR},
	{call{Op: "truncate", Path: "file"}, other, unix.EACCES},
	{call{Op: "truncate", Path: "writable", Size: 3}, other, 0},

	{call{Op: "mknod", Path: "file", Mode: unix.S_IFIFO | 0o600}, 0, unix.EEXIST},
	{call{Op: "mknod", Path: "absent/p", Mode: unix.S_IFIFO | 0o600}, 0, unix.ENOENT},
	{call{Op: "mknod", Path: "file/p", Mode: unix.S_IFSOCK | 0o600}, 0, unix.ENOTDIR},
	{call{Op: "mknod", Path: tooLong, Mode: unix.S_IFIFO | 0o600}, 0, unix.ENAMETOOLONG},
	{call{Op: "mknod", Path: "sticky/c", Mode: unix.S_IFCHR | 0o600, Size: 0x103}, other, unix.EPERM},
	{call{Op: "exec", Path: "file"}, 0, unix.EACCES},
	{call{Op: "exec", Path: "script"}, other, 0},
}

// fixture makes what the cases work on.
func fixture(t *testing.T, root string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := func(name string) string { return filepath.Join(root, name) }
	for _, d := range []string{"dir", "full", "closed", "sticky", "sticky/dir"} {
		must(os.Mkdir(p(d), 0o755))
	}
	for _, f := range []string{"file", "full/f", "closed/f", "sticky/file", "private", "writable"} {
		must(os.WriteFile(p(f), []byte("content"), 0o644))
	}
	must(os.WriteFile(p("script"), []byte("#!/bin/true\n"), 0o644))
	for name, mode := range map[string]os.FileMode{
		"closed": 0o700, "sticky": 0o777 | os.ModeSticky, "private": 0o600, "writable": 0o666, "script": 0o755,
	} {
		must(os.Chmod(p(name), mode))
	}
	must(os.Symlink("file", p("link")))
	must(os.Symlink("loop", p("loop")))
	must(os.Symlink("nowhere", p("dangling")))
	must(unix.Mkfifo(p("fifo"), 0o600))
}

// TestErrno makes each call and compares what it returns.
func TestErrno(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{AllowOther: true}, Log: true})
	open(t, v.Dir)
	fixture(t, v.Dir)
	v.Remount(t)
	for _, uid := range []int{0, other} {
		j := job{UID: uid}
		var cases []errnoCase
		for _, c := range errnoCases {
			if c.uid == uid {
				cases, j.Calls = append(cases, c), append(j.Calls, c.at(v.Dir))
			}
		}
		var got []syscall.Errno
		if err := json.Unmarshal(runChild(t, j), &got); err != nil {
			t.Fatal(err)
		}
		for i, errno := range got {
			if c := cases[i]; errno != c.want {
				t.Errorf("%s %.60s %.60s (flags %#x, uid %d): %v, want %v", c.Op, c.Path, c.Other, c.Flags, uid, errno, c.want)
			}
		}
	}
}

// at returns the call with its paths below root. The target of a link stays as it is.
func (c *errnoCase) at(root string) call {
	out := c.call
	out.Path = root + "/" + c.Path
	if c.Op != "symlink" {
		out.Other = root + "/" + c.Other
	}
	return out
}

// open lets other users reach dir.
func open(t *testing.T, path string) {
	t.Helper()
	for p := filepath.Dir(path); p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadOnlyErrno makes calls that change something on a mount that is read-only.
func TestReadOnlyErrno(t *testing.T) {
	b := mounttest.New(t, mounttest.Options{})
	fixture(t, b.Dir)
	b.Stop(t)
	ro := b.Bucket.Mount(t, mounttest.Options{FS: fs.Options{ReadOnly: true}})
	var j job
	for _, c := range []call{
		{Op: "open", Path: "file", Flags: rw}, {Op: "open", Path: "new", Flags: rw | creat}, {Op: "mkdir", Path: "new"},
		{Op: "rmdir", Path: "dir"}, {Op: "unlink", Path: "file"}, {Op: "rename", Path: "file", Other: "new"},
		{Op: "symlink", Path: "new", Other: "x"}, {Op: "chmod", Path: "file"}, {Op: "chown", Path: "file"},
		{Op: "truncate", Path: "file"}, {Op: "utimes", Path: "file"}, {Op: "mknod", Path: "new", Mode: unix.S_IFIFO},
	} {
		j.Calls = append(j.Calls, (&errnoCase{call: c}).at(ro.Dir))
	}
	var got []syscall.Errno
	if err := json.Unmarshal(runChild(t, j), &got); err != nil {
		t.Fatal(err)
	}
	for i, errno := range got {
		if errno != unix.EROFS {
			t.Errorf("%s: %v, want EROFS", j.Calls[i].Op, errno)
		}
	}
}
