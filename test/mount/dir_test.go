package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

func TestDirectories(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "implicit/f", []byte("x"))
	must(t, os.MkdirAll(v.Path("a", "b", "c"), 0o750))
	write(t, v.Path("a", "b", "f"), []byte("x"))
	wantErrno(t, "mkdir of a name that exists", syscall.Mkdir(v.Path("a"), 0o755), syscall.EEXIST)
	wantErrno(t, "mkdir over an implicit one", syscall.Mkdir(v.Path("implicit"), 0o755), syscall.EEXIST)
	wantErrno(t, "rmdir of one that has names", syscall.Rmdir(v.Path("a", "b")), syscall.ENOTEMPTY)
	wantErrno(t, "rmdir of an implicit one", syscall.Rmdir(v.Path("implicit")), syscall.ENOTEMPTY)
	wantErrno(t, "unlink of a directory", syscall.Unlink(v.Path("a")), syscall.EISDIR)
	wantErrno(t, "rmdir of a file", syscall.Rmdir(v.Path("a", "b", "f")), syscall.ENOTDIR)
	for range 2 {
		wantNames(t, v.Dir, "a", "implicit")
		wantNames(t, v.Path("a", "b"), "c", "f")
		wantNames(t, v.Path("a", "b", "c"))
		if st := stat(t, v.Path("a")); st.Mode != syscall.S_IFDIR|0o750 || st.Nlink != 2 {
			t.Errorf("a: mode %o, %d links", st.Mode, st.Nlink)
		}
		if st := stat(t, v.Path("implicit")); st.Mode != syscall.S_IFDIR|0o755 {
			t.Errorf("implicit: mode %o", st.Mode)
		}
		v.Remount(t)
	}
	wantKeys(t, v.Bucket, "a/", "a/b/", "a/b/c/", "a/b/f", "implicit/f")
	must(t, os.RemoveAll(v.Path("a")))
	wantNames(t, v.Dir, "implicit")
	wantKeys(t, v.Bucket, "implicit/f")
}

func TestDirectoryOutlivesItsLastName(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	for _, d := range []string{"unlink", "rename", "dirs"} {
		put(t, v.Bucket, d+"/x/f", []byte("x"))
	}
	must(t, os.Remove(v.Path("unlink", "x", "f")))
	must(t, os.Rename(v.Path("rename", "x", "f"), v.Path("moved")))
	must(t, os.RemoveAll(v.Path("dirs", "x")))
	for range 2 {
		for _, d := range []string{"unlink/x", "rename/x", "dirs"} {
			wantNames(t, v.Path(d))
		}
		v.Remount(t)
	}
	must(t, os.Remove(v.Path("unlink", "x")))
	wantNames(t, v.Path("unlink"))
}

func TestRmdirAsksTheService(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	must(t, os.Mkdir(v.Path("d"), 0o755))
	wantNames(t, v.Path("d"))
	syncFile(t, v.Path("d"))
	put(t, v.Bucket, "d/foreign", []byte("x")) // since then
	wantErrno(t, "rmdir", syscall.Rmdir(v.Path("d")), syscall.ENOTEMPTY)
	put(t, v.Bucket, "e//hidden", []byte("x")) // no path can name it
	wantNames(t, v.Path("e"))
	wantErrno(t, "rmdir", syscall.Rmdir(v.Path("e")), syscall.ENOTEMPTY)
	wantKeys(t, v.Bucket, "d/", "d/foreign", "e//hidden")
}

// bigDir fills a directory behind the mount's back.
func bigDir(t *testing.T, v *mounttest.Volume, n int) []string {
	t.Helper()
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("file-%05d", i)
		put(t, v.Bucket, "d/"+want[i], []byte{byte(i)})
	}
	return want
}

func TestLargeDirectory(t *testing.T) {
	const n = 5000
	v := mounttest.New(t, mounttest.Options{Log: true})
	want := bigDir(t, v, n)

	v.Server.ResetStats()
	d, err := os.Open(v.Path("d"))
	must(t, err)
	got, err := d.Readdirnames(-1) // os.ReadDir would stat what has no type
	must(t, errors.Join(err, d.Close()))
	if !slices.Equal(got, want) {
		t.Errorf("%d names, want %d in order", len(got), n)
	}
	if l, h := v.Count("ListObjects"), v.Count("HeadObject"); l > n/1000+1 || h > 1 {
		t.Errorf("ls: %d LISTs and %d HEADs, want 5 and two to find the directory", l, h)
	}

	v.Server.ResetStats()
	remove := v.Server.AddRule(cosserver.Rule{Op: "HeadObject", Action: cosserver.Delay, Delay: 5 * time.Millisecond})
	for _, name := range want {
		if st := stat(t, v.Path("d", name)); st.Size != 1 {
			t.Fatalf("%s: size %d", name, st.Size)
		}
	}
	remove()
	if h := v.Server.Stats()["HeadObject"]; h.Requests < n || h.Requests > n+2 || h.MaxInFlight < 8 { // 2 for the directory
		t.Errorf("ls -l: %d HEADs, at most %d at once; want %d and two at most, many at once", h.Requests, h.MaxInFlight, n)
	}
	if l := v.Count("ListObjects"); l > 1 {
		t.Errorf("ls -l: %d LISTs more", l)
	}

	v.Server.ResetStats()
	entries, err := os.ReadDir(v.Path("d"))
	must(t, err)
	for _, e := range entries {
		if _, err := e.Info(); err != nil {
			t.Fatal(err)
		}
	}
	if h := v.Count("HeadObject"); h > 1 {
		t.Errorf("second ls -l: %d HEADs, want none", h)
	}
}

func TestReaddirSeesOwnChangesWhileListingsLag(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "d/old", []byte("x"))
	put(t, v.Bucket, "d/kept", []byte("x"))
	v.Server.FreezeListings()
	defer v.Server.ThawListings()
	write(t, v.Path("d", "new"), []byte("x"))
	must(t, os.Mkdir(v.Path("d", "sub"), 0o755))
	must(t, os.Remove(v.Path("d", "old")))
	must(t, os.Rename(v.Path("d", "new"), v.Path("d", "moved")))
	must(t, v.Store.Sync(t.Context(), ""))
	wantNames(t, v.Path("d"), "kept", "moved", "sub")
	if _, err := os.Lstat(v.Path("d", "old")); !os.IsNotExist(err) {
		t.Errorf("a removed name is found: %v", err)
	}
}

// TestFailuresAreNotAbsence holds promise P6.
func TestFailuresAreNotAbsence(t *testing.T) {
	tests := []struct {
		name string
		rule cosserver.Rule
		want syscall.Errno
	}{
		{"HEAD forbidden", cosserver.Rule{Op: "HeadObject", Status: 403}, syscall.EACCES},
		{"LIST forbidden", cosserver.Rule{Op: "ListObjects", Status: 403}, syscall.EACCES},
		{"HEAD fails", cosserver.Rule{Op: "HeadObject", Status: 500}, syscall.EIO},
		{"LIST fails", cosserver.Rule{Op: "ListObjects", Status: 500}, syscall.EIO},
		{"empty answer", cosserver.Rule{Op: "ListObjects", Action: cosserver.Empty}, syscall.EIO},
		{"cut answer", cosserver.Rule{Op: "ListObjects", Action: cosserver.Truncate}, syscall.EIO},
	}
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{MetaTTL: -1, NegativeTTL: -1}})
	put(t, v.Bucket, "d/f", []byte("x"))
	stat(t, v.Path("d", "f"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rule.Action == "" {
				tt.rule.Action = cosserver.Fail
			}
			defer v.Server.AddRule(tt.rule)()
			var st syscall.Stat_t
			wantErrno(t, "stat of a file", syscall.Lstat(v.Path("d", "f"), &st), tt.want)
			wantErrno(t, "stat of nothing", syscall.Lstat(v.Path("nothing"), &st), tt.want)
			if tt.rule.Op == "ListObjects" {
				f, err := os.Open(v.Dir)
				must(t, err)
				defer func() { must(t, f.Close()) }()
				got, err := f.Readdirnames(-1)
				wantErrno(t, "readdir", err, tt.want)
				if len(got) > 0 {
					t.Errorf("readdir shows %q of a listing that failed", got)
				}
				wantErrno(t, "rmdir", syscall.Rmdir(v.Path("d")), tt.want)
			}
		})
	}
}

func TestFileBesideDirectory(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "a", []byte("the object"))
	put(t, v.Bucket, "a/f", []byte("x"))
	put(t, v.Bucket, "b.~object", []byte("named so"))
	alias := "a.~object"
	for range 2 {
		wantNames(t, v.Dir, "a", alias, "b.~object.~object")
		wantNames(t, v.Path("a"), "f")
		wantFile(t, v.Path(alias), []byte("the object"))
		wantFile(t, v.Path("b.~object.~object"), []byte("named so"))
		v.Remount(t)
	}
	write(t, v.Path(alias), []byte("changed"))
	must(t, os.Rename(v.Path("a"), v.Path("c")))
	wantNames(t, v.Dir, "a", "b.~object.~object", "c")
	wantFile(t, v.Path("a"), []byte("changed"))
	must(t, os.RemoveAll(v.Path("c")))
	wantKeys(t, v.Bucket, "a", "b.~object")
	_, err := os.Create(v.Path("new.~object"))
	wantErrno(t, "create of a name that means another", err, syscall.EINVAL)
}

func TestHiddenKeys(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	long := strings.Repeat("n", 256)
	for _, key := range []string{"d//x", "d/./x", "d/../x", "d/" + long, "d/ok"} {
		put(t, v.Bucket, key, []byte("x"))
	}
	wantNames(t, v.Path("d"), "ok")
	var st syscall.Stat_t
	wantErrno(t, "stat of a long name", syscall.Lstat(v.Path("d", long), &st), syscall.ENAMETOOLONG)
	_, err := os.Create(v.Path("d", "\xff"))
	wantErrno(t, "create of a name that is not UTF-8", err, syscall.EILSEQ)
	deep := v.Dir
	for range 3 {
		deep = filepath.Join(deep, strings.Repeat("k", 250))
		must(t, os.Mkdir(deep, 0o755))
	}
	wantErrno(t, "mkdir of a long key", syscall.Mkdir(filepath.Join(deep, strings.Repeat("k", 250)), 0o755), syscall.ENAMETOOLONG)
}

func TestPrefix(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	put(t, b, "in/f", []byte("inside"))
	put(t, b, "out", []byte("outside"))
	mounttest.NeedFUSE(t)
	v := b.Mount(t, mounttest.Options{Log: true, FS: fs.Options{Prefix: "in/"}})
	wantNames(t, v.Dir, "f")
	write(t, v.Path("g"), []byte("x"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	mtime := time.Unix(1e9, 0)
	must(t, os.Chtimes(v.Dir, mtime, mtime)) // a prefix can have a marker
	v.Remount(t)
	if st := stat(t, v.Dir); st.Mtim.Sec != 1e9 {
		t.Errorf("mtime of the root is %d", st.Mtim.Sec)
	}
	wantKeys(t, v.Bucket, "in/", "in/d/", "in/f", "in/g", "out")
}

func TestRootOfBucketRefusesAttributes(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	wantErrno(t, "chmod", syscall.Chmod(v.Dir, 0o700), syscall.EPERM)
}

func TestReadOnly(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	put(t, b, "f", []byte("x"))
	mounttest.NeedFUSE(t)
	v := b.Mount(t, mounttest.Options{Log: true, FS: fs.Options{ReadOnly: true}})
	wantFile(t, v.Path("f"), []byte("x"))
	_, err := os.Create(v.Path("g"))
	wantErrno(t, "create", err, syscall.EROFS)
}

func TestRewinddirSeesNewNames(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("a"), nil)
	d, err := os.Open(v.Dir)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	for _, want := range [][]string{{"a"}, {"a", "b"}} {
		got, err := d.Readdirnames(-1)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		write(t, v.Path("b"), nil)
		_, err = d.Seek(0, 0)
		must(t, err)
	}
}
