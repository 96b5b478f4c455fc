package mount

import (
	"io"
	"os"
	"syscall"
	"testing"

	"cosfuse/test/internal/mounttest"
)

// TestOpenOfNewerVersion opens a file that somebody else replaced while it is open here.
func TestOpenOfNewerVersion(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	old, fresh := noise(1, 8<<20), noise(2, 3<<20)
	put(t, v.Bucket, "f", old)
	f, err := os.OpenFile(v.Path("f"), os.O_RDWR, 0)
	must(t, err)
	buf := make([]byte, 4096)
	_, err = f.ReadAt(buf, 0)
	must(t, err)
	put(t, v.Bucket, "f", fresh)
	v.Skew(1100 * 1e6)
	wantFile(t, v.Path("f"), fresh)
	_, err = f.ReadAt(buf, 7<<20)
	wantErrno(t, "read of a version that is gone", err, syscall.ESTALE)
	_, err = f.WriteAt([]byte("x"), 0)
	wantErrno(t, "write to a version that is gone", err, syscall.ESTALE)
	must(t, f.Close())
	wantFile(t, v.Path("f"), fresh)
}

// TestReaderFollowsAppendsOfOthers reads on from a descriptor while another mount appends.
func TestReaderFollowsAppendsOfOthers(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	w := v.Bucket.Mount(t, mounttest.Options{})
	appendLine := func(line string) {
		f, err := os.OpenFile(w.Path("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		must(t, err)
		_, err = f.WriteString(line)
		must(t, err)
		must(t, f.Close())
	}
	appendLine("one\n")
	f, err := os.Open(v.Path("log"))
	must(t, err)
	defer func() { must(t, f.Close()) }()
	got, err := io.ReadAll(f)
	must(t, err)
	appendLine("two\n")
	v.Skew(61 * 1e9) // attributes are that old at most
	wantFile(t, v.Path("log"), []byte("one\ntwo\n"))
	more, err := io.ReadAll(f)
	must(t, err)
	if s := string(got) + string(more); s != "one\ntwo\n" {
		t.Fatalf("read %q", s)
	}
}
