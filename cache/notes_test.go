package cache

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openNotes(t *testing.T, o NotesOptions) *Notes {
	t.Helper()
	n, err := OpenNotes(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func wantNote(t *testing.T, n *Notes, key, want string) {
	t.Helper()
	got, ok := n.Get(key)
	if ok != (want != "") || string(got) != want {
		t.Errorf("note about %q is %q, found %v; want %q", key, got, ok, want)
	}
	if n.Has(key) != ok {
		t.Errorf("Has(%q) is %v", key, !ok)
	}
}

func TestNotesOutliveTheProcess(t *testing.T) {
	o := NotesOptions{Dir: filepath.Join(t.TempDir(), "notes")}
	n := openNotes(t, o)
	for i := range 3000 {
		n.Put(fmt.Sprint(i), fmt.Appendf(nil, "note %d", i))
	}
	n.Put("1", []byte("other"))
	n.Drop("2")
	check := func() {
		t.Helper()
		wantNote(t, n, "0", "note 0")
		wantNote(t, n, "1", "other")
		wantNote(t, n, "2", "")
		wantNote(t, n, "2999", "note 2999")
		wantNote(t, n, "3000", "")
	}
	check()
	n.Close()
	n = openNotes(t, o)
	check()
	n.Put("0", []byte("longer than it was before"))
	n.Drop("1")
	n.Put("2", []byte("anew"))
	n.Close()
	n = openNotes(t, o)
	wantNote(t, n, "0", "longer than it was before")
	wantNote(t, n, "1", "")
	wantNote(t, n, "2", "anew")
	n.Clear()
	wantNote(t, n, "0", "")
	n.Close()
	n = openNotes(t, o)
	wantNote(t, n, "2999", "")
}

func TestNotesAreBounded(t *testing.T) {
	o := NotesOptions{Dir: t.TempDir(), MaxBytes: 4 << 20}
	n := openNotes(t, o)
	const count = 40_000
	for i := range count {
		n.Put(fmt.Sprint(i), bytes.Repeat([]byte{byte(i), 7, byte(i >> 8), 9}, 100))
	}
	n.Close()
	var size int64
	paths, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if size > o.MaxBytes {
		t.Errorf("%d bytes on disk, at most %d allowed", size, o.MaxBytes)
	}
}

func TestNotesThatAreRefused(t *testing.T) {
	n := openNotes(t, NotesOptions{Dir: t.TempDir()})
	n.Put("k", []byte("kept"))
	n.Put("k", nil)
	n.Put("k", make([]byte, maxNoteBytes+1))
	wantNote(t, n, "k", "kept")
	var none *Notes
	none.Put("k", []byte("x"))
	none.Drop("k")
	none.Clear()
	wantNote(t, none, "k", "")
	if u := none.Usage(); u.Enabled {
		t.Error("no notes are enabled")
	}
	none.Close()
}

// TestDamagedNotes flips each byte of the file in turn: a note is what was put, or there is none.
func TestDamagedNotes(t *testing.T) {
	dir := t.TempDir()
	n := openNotes(t, NotesOptions{Dir: dir})
	keys := []string{"a", "b/", "c/d"}
	for _, k := range keys {
		n.Put(k, []byte("about "+k))
	}
	n.Close()
	paths, err := filepath.Glob(filepath.Join(dir, "*.blocks"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%q, error %v", paths, err)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << (i % 8)
		if err := os.WriteFile(paths[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		n, err := OpenNotes(NotesOptions{Dir: dir})
		if err != nil {
			t.Fatalf("byte %d is wrong: %v", i, err)
		}
		for _, k := range keys {
			if got, ok := n.Get(k); ok && string(got) != "about "+k {
				t.Errorf("byte %d is wrong, and the note about %q is %q", i, k, got)
			}
		}
		n.Close()
	}
}

// TestNotesWithoutRoom checks that a disk without room, and a file system that fails, leave a mount that works.
func TestNotesWithoutRoom(t *testing.T) {
	full := func(string) (int64, error) { return 100, nil }
	n := openNotes(t, NotesOptions{Dir: t.TempDir(), MinFreeBytes: 1 << 20, FreeBytes: full})
	n.Put("k", []byte("x"))
	n.Close()
	wantNote(t, n, "k", "")
	if u := n.Usage(); !u.Enabled || u.Skipped != 1 || u.Blocks != 0 {
		t.Errorf("on a full disk: %+v", u)
	}
	var log bytes.Buffer
	broken := func(string) (int64, error) { return 0, os.ErrInvalid }
	n = openNotes(t, NotesOptions{Dir: t.TempDir(), FreeBytes: broken, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	n.Put("k", []byte("x"))
	n.Put("l", []byte("y"))
	n.Close()
	wantNote(t, n, "k", "")
	if strings.Count(log.String(), "level=ERROR") != 1 || n.Usage().Enabled {
		t.Errorf("a disk that fails: %+v, log %q", n.Usage(), log.String())
	}
}
