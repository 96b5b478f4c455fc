package journal

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOpenExisting reads a journal without knowing whose it is, and leaves its files as they are.
func TestOpenExisting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	if _, _, err := OpenExisting(dir, ReadOnly, Options{}); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatalf("no journal: got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("looking for a journal made one: %v", err)
	}
	j, err := Open(dir, Identity{Bucket: "b-1", Prefix: "p/"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := j.Begin()
	b.PutInode(Inode{Ino: 7, Key: "p/k", Since: time.Now()})
	if err := b.Commit(Sync); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenExisting(dir, ReadOnly, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is in use: got %v, want ErrLocked", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	j, id, err := OpenExisting(dir, ReadOnly, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if id.Bucket != "b-1" || id.Prefix != "p/" {
		t.Errorf("identity %+v", id)
	}
	if s, err := j.Load(); err != nil || len(s.Inodes) != 1 || s.Inodes[0].Key != "p/k" {
		t.Errorf("read %+v, %v", s, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("reading changed the files\nbefore %s\nafter  %s", before, after)
	}
}

// listing is names and times, but of the file that every opening locks.
func listing(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range list {
		if e.Name() == "LOCK" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out += e.Name() + " " + info.ModTime().Format(time.RFC3339Nano) + "; "
	}
	return out
}
