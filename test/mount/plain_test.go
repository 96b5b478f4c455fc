package mount

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// TestAttributesFromListings mounts a bucket whose objects have metadata as if they had none.
func TestAttributesFromListings(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	full := b.Mount(t, mounttest.Options{})
	must(t, os.MkdirAll(full.Path("d", "sub"), 0o700))
	write(t, full.Path("d", "f"), []byte("content"))
	must(t, os.Chmod(full.Path("d", "f"), 0o600))
	must(t, os.Chtimes(full.Path("d", "f"), time.Time{}, time.Unix(1e9, 0)))
	must(t, os.Symlink("f", full.Path("d", "link")))
	for i := range 50 {
		put(t, b, fmt.Sprintf("d/sub/f%02d", i), []byte("x"))
	}
	full.Stop(t)
	_, info := object(t, b, "d/f")

	v := b.Mount(t, mounttest.Options{Log: true, FS: fs.Options{Attributes: fs.FromListings}})
	v.Server.ResetStats()
	out, err := exec.CommandContext(t.Context(), "ls", "-lR", v.Dir).CombinedOutput()
	if err != nil {
		t.Fatalf("ls: %v\n%s", err, out)
	}
	if s := v.Server.Stats(); v.Count("HeadObject") != 0 || v.Count("ListObjects") > 6 || s.Requests() != v.Count("ListObjects") {
		t.Errorf("ls -lR: %v, want at most six LISTs", s)
	}
	wantPlain := func(when string, mtime time.Time) {
		t.Helper()
		st := stat(t, v.Path("d", "f"))
		if st.Mode != syscall.S_IFREG|0o644 || st.Mtim.Sec != mtime.Unix() || st.Size != 7 {
			t.Errorf("%s: mode %o, mtime %d, size %d; want 644, %d", when, st.Mode, st.Mtim.Sec, st.Size, mtime.Unix())
		}
	}
	wantPlain("listed", info.LastModified)
	if st := stat(t, v.Path("d", "link")); st.Mode != syscall.S_IFREG|0o644 {
		t.Errorf("a link: mode %o", st.Mode)
	}
	if st := stat(t, v.Path("d")); st.Mode != syscall.S_IFDIR|0o755 {
		t.Errorf("a directory: mode %o", st.Mode)
	}
	wantFile(t, v.Path("d", "f"), []byte("content"))
	wantPlain("read", info.LastModified)
	f, err := os.OpenFile(v.Path("d", "f"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("C"), 0)
	must(t, err)
	must(t, f.Close())
	_, info = object(t, b, "d/f")
	wantPlain("written", info.LastModified)
	wantErrno(t, "symlink", os.Symlink("f", v.Path("new")), syscall.EPERM)
	wantErrno(t, "mkfifo", syscall.Mkfifo(v.Path("new"), 0o644), syscall.EPERM)
	wantErrno(t, "setxattr", syscall.Setxattr(v.Path("d", "f"), "user.x", []byte("y"), 0), syscall.EOPNOTSUPP)
	must(t, os.Chmod(v.Path("d", "f"), 0o640))
	must(t, os.Rename(v.Path("d", "link"), v.Path("d", "moved")))
	v.Stop(t)

	full = b.Mount(t, mounttest.Options{})
	if st := stat(t, full.Path("d", "f")); st.Mode != syscall.S_IFREG|0o640 {
		t.Errorf("mode %o was stored, want 640", st.Mode)
	}
	wantFile(t, full.Path("d", "f"), []byte("Content"))
	if target, err := os.Readlink(full.Path("d", "moved")); err != nil || target != "f" {
		t.Errorf("a renamed link leads to %q, error %v", target, err)
	}
	if st := stat(t, full.Path("d")); st.Mode != syscall.S_IFDIR|0o700 {
		t.Errorf("mode %o of a directory, want 700", st.Mode)
	}
}
