package mount

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// wantShown checks type and permissions, owner and group.
func wantShown(t *testing.T, path string, mode, uid, gid uint32) {
	t.Helper()
	got := stat(t, path)
	if got.Mode != mode || got.Uid != uid || got.Gid != gid {
		t.Errorf("%s shows %o %d:%d, want %o %d:%d", filepath.Base(path), got.Mode, got.Uid, got.Gid, mode, uid, gid)
	}
}

// TestShown checks that a mount can show one owner and one set of permissions for everything, that the kernel goes
// by it, and that the objects keep their own.
func TestShown(t *testing.T) {
	mounttest.NeedFUSE(t)
	const user, group = 12345, 12346 // of asUser
	b := mounttest.NewBucket(t, cosserver.Options{})
	_, err := b.Client.Put(t.Context(), "p/old", bytes.NewReader([]byte("text")), 4, &cos.PutOptions{Headers: cos.Headers{
		Meta: map[string]string{"mode": "33152", "uid": "1", "gid": "2"}, // 0100600
	}})
	must(t, err)
	put(t, b, "p/dir/plain", nil)
	id := func(n uint32) *uint32 { return &n }
	prefix := writeback.Options{Prefix: "p/"}
	theirs := b.Mount(t, mounttest.Options{Store: prefix, FS: fs.Options{
		Prefix: "p/", AllowOther: true, Shown: fs.Shown{UID: id(user), GID: id(group), Perm: id(0o750), RootPerm: id(0o711)},
	}})
	must(t, os.Chmod(filepath.Dir(theirs.Dir), 0o755))
	wantShown(t, theirs.Dir, syscall.S_IFDIR|0o711, user, group)
	wantShown(t, theirs.Path("old"), syscall.S_IFREG|0o750, user, group)
	wantShown(t, theirs.Path("dir"), syscall.S_IFDIR|0o750, user, group)
	wantShown(t, theirs.Path("dir/plain"), syscall.S_IFREG|0o750, user, group)
	if out, err := asUser(t, `ls -d "$1"`, theirs.Dir); err != nil {
		t.Skipf("another user cannot reach the test's directory: %s", out)
	}
	out, err := asUser(t, `set -e; cat "$1/old"; echo " more" >>"$1/old"; chmod 640 "$1/old"; echo new >"$1/dir/new"; ls -l "$1/dir"`, theirs.Dir)
	if err != nil || !strings.HasPrefix(out, "text") || strings.Count(out, "-rwxr-x---") != 2 {
		t.Errorf("the owner that is shown: %v, %s", err, out)
	}
	wantShown(t, theirs.Path("old"), syscall.S_IFREG|0o750, user, group)
	theirs.Stop(t)
	_, info := object(t, b, "p/old")
	if m := info.Headers.Meta; m["mode"] != "33184" || m["uid"] != "1" || m["gid"] != "2" { // 0100640
		t.Errorf("the object's own attributes became %v", m)
	}

	strangers := b.Mount(t, mounttest.Options{FS: fs.Options{AllowOther: true, Shown: fs.Shown{UID: id(1), Perm: id(0o700)}}})
	must(t, os.Chmod(filepath.Dir(strangers.Dir), 0o755))
	wantShown(t, strangers.Path("p/old"), syscall.S_IFREG|0o700, 1, 2)
	if out, err := asUser(t, `ls "$1" || cat "$1/p/dir/new"`, strangers.Dir); err == nil {
		t.Errorf("a stranger gets in: %s", out)
	}
	own := b.Mount(t, mounttest.Options{}) // a third of the bucket, while the second is there
	wantShown(t, own.Path("p/old"), syscall.S_IFREG|0o640, 1, 2)
	wantShown(t, own.Path("p/dir/new"), syscall.S_IFREG|0o644, user, group)
	wantFile(t, own.Path("p/old"), []byte("text more\n"))
}

// TestMountFlags checks the flags that the kernel keeps, of which the last of two opposites counts.
func TestMountFlags(t *testing.T) {
	tests := []struct {
		words []string
		want  int64
	}{
		{nil, unix.ST_NOSUID | unix.ST_NODEV},
		{[]string{"suid", "dev", "noexec"}, unix.ST_NOEXEC},
		{[]string{"noexec", "noatime", "exec"}, unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOATIME},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.words, ","), func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{FS: fs.Options{MountFlags: tt.words}})
			var st unix.Statfs_t
			must(t, unix.Statfs(v.Dir, &st))
			const known = unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC | unix.ST_NOATIME
			if got := st.Flags & known; got != tt.want {
				t.Errorf("flags %#x, want %#x", got, tt.want)
			}
			write(t, v.Path("run"), []byte("#!/bin/sh\necho ran\n"))
			must(t, os.Chmod(v.Path("run"), 0o755))
			out, err := exec.CommandContext(t.Context(), v.Path("run")).Output()
			if noexec := tt.want&unix.ST_NOEXEC != 0; noexec != (err != nil) {
				t.Errorf("running a program: %s, %v", out, err)
			}
		})
	}
}
