package mount

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// copyRange is copy_file_range(2) until all is copied.
func copyRange(t testing.TB, dst *os.File, off int64, src *os.File, srcOff int64, size int) {
	t.Helper()
	for size > 0 {
		n, err := unix.CopyFileRange(int(src.Fd()), &srcOff, int(dst.Fd()), &off, size, 0)
		must(t, err)
		if n == 0 {
			t.Fatalf("nothing copied, %d bytes to go", size)
		}
		size -= n
	}
}

// open2 opens a file to copy from and makes one to copy to.
func open2(t testing.TB, v *mounttest.Volume, from, to string) (src, dst *os.File) {
	t.Helper()
	src, err := os.Open(v.Path(from))
	must(t, err)
	t.Cleanup(func() { _ = src.Close() }) // closed already where it matters
	dst, err = os.OpenFile(v.Path(to), os.O_RDWR|os.O_CREATE, 0o640)
	must(t, err)
	t.Cleanup(func() { _ = dst.Close() }) // the same
	return src, dst
}

// TestCopyFileRange copies whole files and ranges, in COS where that is possible; a new mount sees the bytes.
func TestCopyFileRange(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Store: writeback.Options{MultipartThreshold: 8 << 20}})
	small, large := noise(1, 16<<10), noise(2, 14<<20+5)
	put(t, v.Bucket, "small", small)
	put(t, v.Bucket, "large", large)
	want := map[string][]byte{"small2": small, "large2": large}
	for _, name := range []string{"small", "large"} {
		src, dst := open2(t, v, name, name+"2")
		v.Server.ResetStats()
		copyRange(t, dst, 0, src, 0, len(want[name+"2"]))
		wantFile(t, dst.Name(), want[name+"2"]) // before the commit: the source's bytes
		read := v.Server.Stats()["GetObject"].Requests
		must(t, dst.Close())
		must(t, src.Close())
		stats := v.Server.Stats()
		if v.Mutations() != 1 || v.Count("CopyObject") != 1 || stats["CopyObject"].BytesIn != 0 || stats["GetObject"].Requests != read {
			t.Errorf("%s: %v, want one copy", name, stats)
		}
	}
	src, dst := open2(t, v, "large", "mixed")
	const odd, part = 12345, 13 << 20
	_, err := dst.WriteString("head")
	must(t, err)
	copyRange(t, dst, 4, src, odd, part)
	_, err = dst.WriteAt([]byte("tail"), 4+part)
	must(t, err)
	must(t, dst.Close())
	must(t, src.Close())
	want["mixed"] = bytes.Join([][]byte{[]byte("head"), large[odd : odd+part], []byte("tail")}, nil)
	v.Remount(t)
	for name, content := range want {
		wantFile(t, v.Path(name), content)
	}
	if st := stat(t, v.Path("small2")); st.Mode&0o777 != 0o640 {
		t.Errorf("the copy has mode %o, want its own", st.Mode&0o777)
	}
}

// TestCopyOutlivesItsSource removes, renames, overwrites and cuts the source before the copy was committed.
func TestCopyOutlivesItsSource(t *testing.T) {
	changes := map[string]func(t *testing.T, v *mounttest.Volume){
		"remove":    func(t *testing.T, v *mounttest.Volume) { must(t, os.Remove(v.Path("src"))) },
		"rename":    func(t *testing.T, v *mounttest.Volume) { must(t, os.Rename(v.Path("src"), v.Path("moved"))) },
		"overwrite": func(t *testing.T, v *mounttest.Volume) { write(t, v.Path("src"), []byte("new")) },
		"cut":       func(t *testing.T, v *mounttest.Volume) { must(t, os.Truncate(v.Path("src"), 3)) },
		"chmod": func(t *testing.T, v *mounttest.Volume) {
			must(t, os.Chmod(v.Path("src"), 0o600))
			must(t, v.Store.Sync(t.Context(), ""))
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{Store: writeback.Options{Background: name != "cut"}})
			content := noise(3, 100<<10)
			put(t, v.Bucket, "src", content)
			src, open := open2(t, v, "src", "open")
			copyRange(t, open, 0, src, 0, len(content))
			again, closed := open2(t, v, "src", "closed")
			copyRange(t, closed, 0, again, 0, len(content))
			must(t, closed.Close())
			must(t, again.Close())
			must(t, src.Close())
			change(t, v)
			wantFile(t, open.Name(), content)
			must(t, open.Close())
			v.Remount(t)
			wantFile(t, v.Path("open"), content)
			wantFile(t, v.Path("closed"), content)
		})
	}
}

// TestCopyOfAReplacedSource is refused at close: another mount took the bytes away before they were copied.
func TestCopyOfAReplacedSource(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	v.Abandon(t)
	put(t, v.Bucket, "src", noise(4, 5000))
	src, dst := open2(t, v, "src", "dst")
	copyRange(t, dst, 0, src, 0, 5000)
	put(t, v.Bucket, "src", noise(5, 5000))
	wantErrno(t, "close of the copy", dst.Close(), syscall.ESTALE)
	must(t, src.Close())
	wantKeys(t, v.Bucket, "src")
}

// TestCopyFileRangeRefused covers what the kernel refuses, or copies by reading and writing.
func TestCopyFileRangeRefused(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	content := noise(6, 20000)
	write(t, v.Path("f"), content)
	f, err := os.OpenFile(v.Path("f"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	in, out := int64(0), int64(100)
	_, err = unix.CopyFileRange(int(f.Fd()), &in, int(f.Fd()), &out, 200, 0)
	wantErrno(t, "overlapping ranges of one file", err, syscall.EINVAL)
	copyRange(t, f, 10000, f, 0, 10000)
	copy(content[10000:], content[:10000])
	log, err := os.OpenFile(v.Path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(t, err)
	_, err = unix.CopyFileRange(int(f.Fd()), &in, int(log.Fd()), &out, 1, 0)
	wantErrno(t, "to a descriptor that appends", err, syscall.EBADF)
	must(t, log.Close())
	end := int64(20000)
	n, err := unix.CopyFileRange(int(f.Fd()), &end, int(f.Fd()), &in, 10, 0)
	if n != 0 || err != nil {
		t.Errorf("from the end of the file: %d bytes, %v", n, err)
	}
	must(t, f.Close())
	v.Remount(t)
	wantFile(t, v.Path("f"), content)
}

// TestCopyBetweenMounts of one bucket reads and writes: they are different file systems.
func TestCopyBetweenMounts(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	w := v.Bucket.Mount(t, mounttest.Options{})
	content := noise(7, 300<<10)
	write(t, v.Path("src"), content)
	src, err := os.Open(v.Path("src"))
	must(t, err)
	dst, err := os.Create(w.Path("dst"))
	must(t, err)
	v.Server.ResetStats()
	copyRange(t, dst, 0, src, 0, len(content))
	must(t, dst.Close())
	must(t, src.Close())
	if v.Count("CopyObject") != 0 || v.Count("PutObject") != 1 {
		t.Errorf("%v, want the bytes put", v.Server.Stats())
	}
	wantFile(t, w.Path("dst"), content)
}

// TestCopyRefusedByTheService names the reason at close, and the bytes can still be read.
func TestCopyRefusedByTheService(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	v.Abandon(t)
	content := noise(8, 5000)
	put(t, v.Bucket, "src", content)
	src, dst := open2(t, v, "src", "dst")
	copyRange(t, dst, 0, src, 0, len(content))
	lift := v.Server.AddRule(cosserver.Rule{Op: "CopyObject", Action: cosserver.Fail, Status: 403})
	wantErrno(t, "fsync of the copy", dst.Sync(), syscall.EACCES)
	wantFile(t, dst.Name(), content)
	lift()
	must(t, dst.Sync())
	must(t, dst.Close())
	must(t, src.Close())
	got, _ := object(t, v.Bucket, "dst")
	if !bytes.Equal(got, content) {
		t.Error("the copy differs")
	}
}
