package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// blocks is how many bytes of disk a file takes; 0 if there is none.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); errors.Is(err, unix.ENOENT) {
		return 0
	} else if err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestReserve sets space aside for the life of the journal, gives it up when it is needed, and takes it back.
func TestReserve(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	path := dir + reserveSuffix
	j, err := Open(dir, Identity{Bucket: "b"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := blocks(t, path); n < reserveBytes {
		t.Errorf("%d bytes set aside, want %d", n, reserveBytes)
	}
	if j.Tight() {
		t.Error("tight, although nothing is missing")
	}
	j.reserve.give()
	if n := blocks(t, path); n != 0 {
		t.Errorf("%d bytes are still set aside", n)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // as good as a full disk: it cannot be had
		t.Fatal(err)
	}
	if !j.Tight() {
		t.Error("not tight without the reserve")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if j.Tight() || blocks(t, path) < reserveBytes {
		t.Error("the reserve is not taken back")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := blocks(t, path); n != 0 {
		t.Errorf("%d bytes stay after the end", n)
	}
}
