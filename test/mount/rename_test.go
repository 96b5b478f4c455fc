package mount

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

func TestRenameFile(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "remote", []byte("remote"))
	write(t, v.Path("own"), []byte("own"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	write(t, v.Path("target"), []byte("target"))
	must(t, os.Rename(v.Path("remote"), v.Path("d", "remote")))
	must(t, os.Rename(v.Path("own"), v.Path("target")))
	for range 2 {
		wantNames(t, v.Dir, "d", "target")
		wantFile(t, v.Path("d", "remote"), []byte("remote"))
		wantFile(t, v.Path("target"), []byte("own"))
		v.Remount(t)
	}
	wantKeys(t, v.Bucket, "d/", "d/remote", "target")
}

func TestRenameOfUncommittedFileIsFree(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	names(t, v.Dir)
	v.Server.ResetStats()
	f, err := os.Create(v.Path("tmp"))
	must(t, err)
	must(t, os.Rename(v.Path("tmp"), v.Path("final")))
	_, err = f.WriteString("content")
	must(t, err)
	must(t, f.Close())
	if got := v.Mutations(); got != 1 {
		t.Errorf("%d requests changed something, want 1: %+v", got, v.Server.Stats())
	}
	wantKeys(t, v.Bucket, "final")
	wantFile(t, v.Path("final"), []byte("content"))
}

func TestRenameOpenFile(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("a"), []byte("before "))
	f, err := os.OpenFile(v.Path("a"), os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	must(t, os.Rename(v.Path("a"), v.Path("b")))
	_, err = f.WriteString("after")
	must(t, err)
	must(t, f.Close())
	wantFile(t, v.Path("b"), []byte("before after"))
	v.Remount(t)
	wantFile(t, v.Path("b"), []byte("before after"))
	wantNames(t, v.Dir, "b")
}

func TestRenameDirectory(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	const n = 50
	for i := range n {
		put(t, v.Bucket, fmt.Sprintf("src/f%02d", i), []byte{byte(i)})
	}
	must(t, os.MkdirAll(v.Path("src", "sub", "empty"), 0o700))
	write(t, v.Path("src", "sub", "new"), []byte("new"))
	must(t, os.Chmod(v.Path("src", "sub", "new"), 0o600))
	syncFile(t, v.Path("src", "sub", "new"))
	f, err := os.OpenFile(v.Path("src", "f00"), os.O_RDWR, 0)
	must(t, err)
	must(t, os.Rename(v.Path("src"), v.Path("dst")))
	if _, err := os.Lstat(v.Path("src")); !os.IsNotExist(err) {
		t.Errorf("the old name is still there: %v", err)
	}
	_, err = f.WriteAt([]byte("written through the old handle"), 0)
	must(t, err)
	must(t, f.Close())
	must(t, os.Mkdir(v.Path("src"), 0o755)) // nothing of the old one comes back
	for range 2 {
		wantNames(t, v.Dir, "dst", "src")
		wantNames(t, v.Path("src"))
		wantFile(t, v.Path("dst", "f00"), []byte("written through the old handle"))
		wantFile(t, v.Path("dst", "f49"), []byte{49})
		wantFile(t, v.Path("dst", "sub", "new"), []byte("new"))
		wantNames(t, v.Path("dst", "sub"), "empty", "new")
		if got := stat(t, v.Path("dst", "sub", "new")).Mode; got != syscall.S_IFREG|0o600 {
			t.Errorf("mode %o moved along, want 600", got)
		}
		if got := stat(t, v.Path("dst", "sub")).Mode; got != syscall.S_IFDIR|0o700 {
			t.Errorf("mode %o of a directory moved along, want 700", got)
		}
		v.Remount(t)
	}
}

func TestRenameRules(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	for _, d := range []string{"empty", "full", "dir"} {
		must(t, os.Mkdir(v.Path(d), 0o755))
	}
	write(t, v.Path("full", "f"), nil)
	write(t, v.Path("file"), []byte("file"))
	write(t, v.Path("other"), []byte("other"))
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, v.Path(from), unix.AT_FDCWD, v.Path(to), flags)
	}
	tests := []struct {
		from, to string
		flags    uint
		want     syscall.Errno
	}{
		{"dir", "full", 0, syscall.ENOTEMPTY},
		{"dir", "file", 0, syscall.ENOTDIR},
		{"file", "dir", 0, syscall.EISDIR},
		{"nothing", "file", 0, syscall.ENOENT},
		{"dir", "dir/below", 0, syscall.EINVAL},
		{"file", "other", unix.RENAME_NOREPLACE, syscall.EEXIST},
		{"file", "other", unix.RENAME_EXCHANGE, syscall.EINVAL},
		{"file", "gone", unix.RENAME_WHITEOUT, syscall.EINVAL},
		{"file", "file", 0, 0},
		{"dir", "empty", 0, 0},
		{"file", "new", unix.RENAME_NOREPLACE, 0},
	}
	for _, tt := range tests {
		wantErrno(t, fmt.Sprintf("rename %s to %s (flags %d)", tt.from, tt.to, tt.flags), rename(tt.from, tt.to, tt.flags), tt.want)
	}
	wantNames(t, v.Dir, "empty", "full", "new", "other")
}

func TestNoReplaceSeesOtherMounts(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("f"), []byte("x"))
	put(t, v.Bucket, "theirs", []byte("theirs"))
	err := unix.Renameat2(unix.AT_FDCWD, v.Path("f"), unix.AT_FDCWD, v.Path("theirs"), unix.RENAME_NOREPLACE)
	wantErrno(t, "rename", err, syscall.EEXIST)
	wantFile(t, v.Path("theirs"), []byte("theirs"))
}

func TestFailedRenameChangesNothing(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	put(t, v.Bucket, "f", []byte("x"))
	put(t, v.Bucket, "d/f", []byte("x"))
	defer v.Server.AddRule(cosserver.Rule{Op: "CopyObject", Action: cosserver.Fail, Status: 403})()
	wantErrno(t, "rename of a file", os.Rename(v.Path("f"), v.Path("g")), syscall.EACCES)
	wantErrno(t, "rename of a directory", os.Rename(v.Path("d"), v.Path("e")), syscall.EACCES)
	wantNames(t, v.Dir, "d", "f")
	wantFile(t, v.Path("d", "f"), []byte("x"))
	wantKeys(t, v.Bucket, "d/f", "f")
}

// TestOpenWhileRenamedOver opens a name that is replaced all the time, by files and links in turn: each
// open gets one of them whole, or ESTALE if it was overtaken twice.
func TestOpenWhileRenamedOver(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("target"), []byte("target"))
	write(t, v.Path("name"), []byte("file"))
	var g errgroup.Group
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		for range 150 {
			if err := os.WriteFile(v.Path("tmp"), []byte("file"), 0o644); err != nil {
				return err
			}
			if err := os.Rename(v.Path("tmp"), v.Path("name")); err != nil {
				return err
			}
			if err := os.Symlink("target", v.Path("tmp")); err != nil {
				return err
			}
			if err := os.Rename(v.Path("tmp"), v.Path("name")); err != nil {
				return err
			}
		}
		return nil
	})
	seen := map[string]int{}
	for running := true; running; {
		got, err := os.ReadFile(v.Path("name"))
		switch {
		case errors.Is(err, syscall.ESTALE):
			seen["ESTALE"]++
		case err != nil:
			t.Errorf("read: %v", err)
		default:
			seen[string(got)]++
		}
		select {
		case <-done:
			running = false
		default:
		}
	}
	must(t, g.Wait())
	t.Logf("%v", seen)
	for what := range seen {
		if what != "file" && what != "target" && what != "ESTALE" {
			t.Errorf("read %q", what)
		}
	}
	if seen["file"] == 0 || seen["target"] == 0 {
		t.Errorf("never saw both: %v", seen)
	}
}
