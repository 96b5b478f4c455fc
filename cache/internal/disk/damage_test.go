package disk

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
)

const blockSize = 3 * kib

// damage opens a cache of three objects with a block each, closes it, damages its one segment, and
// returns the cache opened again. sealed keeps the index, else the records are found by scanning.
func damage(t *testing.T, sealed bool, log *bytes.Buffer, change func(p []byte, at []entry) []byte) *Store {
	t.Helper()
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	for i := range 3 {
		put(s, testObject(i), int64(i), blockSize)
	}
	var at []entry
	for i := range 3 {
		id := s.index.find(testObject(i).block(int64(i)))
		at = append(at, s.index.slots[id].entry)
	}
	end := s.active.end
	s.Close()
	path := segmentFiles(t, dir)[0]
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	index := bytes.Clone(p[end:])
	p = change(p[:end:end], at)
	if sealed {
		p = append(p, index...)
	}
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return openStore(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
}

func TestEveryFlippedByteIsNoticed(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		// One cache serves for all bytes: the record is put right again after each.
		var log bytes.Buffer
		s := damage(t, sealed, &log, func(p []byte, _ []entry) []byte { return p })
		for i := range 3 { // packed and raw
			o := testObject(i)
			id := s.index.find(o.block(int64(i)))
			e := s.index.slots[id].entry
			seg := s.segs[0]
			rec := make([]byte, e.size)
			if err := readFull(seg.f, rec, int64(e.off)); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, blockSize)
			for off := range rec {
				bad := bytes.Clone(rec)
				bad[off] ^= 1 << (off % 8)
				if _, err := seg.f.WriteAt(bad, int64(e.off)); err != nil {
					t.Fatal(err)
				}
				if err := s.readBlock(seg, e, func(rec []byte) error { return decode(rec, o, int64(i), p) }); err == nil {
					t.Errorf("byte %d of record %d is wrong, and the block was served", off, i)
				}
				if got, ok := s.Read(o, int64(i)); ok {
					t.Errorf("byte %d of record %d is wrong, and %d bytes were served", off, i, len(got))
				}
				s.index.add(seg.num, e) // what is damaged was removed
			}
		}
	}
}

// TestDamage damages the file in ways that no checksum of one record alone reveals, and in ways that
// damage more than one.
func TestDamage(t *testing.T) {
	record := func(p []byte, e entry) []byte { return p[e.off : e.off+e.size] }
	for _, tc := range []struct {
		name   string
		change func(p []byte, at []entry) []byte
		kept   [3]bool // with the index; without it, whole records may be lost or found elsewhere
	}{
		{"header gone", func(p []byte, at []entry) []byte {
			clear(record(p, at[1])[:headerSize])
			return p
		}, [3]bool{true, false, true}},
		{"body gone", func(p []byte, at []entry) []byte {
			r := record(p, at[1])
			clear(r[len(r)-blockSize:])
			return p
		}, [3]bool{true, false, true}},
		{"a piece of the body swapped", func(p []byte, at []entry) []byte {
			r := record(p, at[1])
			a, b := r[len(r)-1000:len(r)-500], r[len(r)-500:]
			copy(r[len(r)-1000:], append(bytes.Clone(b), a...))
			return p
		}, [3]bool{true, false, true}},
		{"another block in its place", func(p []byte, at []entry) []byte {
			a, b := record(p, at[0]), record(p, at[2])
			n := min(len(a), len(b))
			a, b = a[:n], b[:n]
			first := bytes.Clone(a)
			copy(a, b)
			copy(b, first)
			return p
		}, [3]bool{false, true, false}},
		{"truncated within the last", func(p []byte, at []entry) []byte {
			return p[:len(p)-10]
		}, [3]bool{true, true, false}},
		{"truncated to nothing", func(p []byte, at []entry) []byte { return nil }, [3]bool{}},
		{"overwritten", func(p []byte, at []entry) []byte {
			for i := range p {
				p[i] = byte(i * 7)
			}
			return p
		}, [3]bool{}},
	} {
		for _, sealed := range []bool{true, false} {
			name := tc.name + " without the index"
			if sealed {
				name = tc.name + " with the index"
			}
			t.Run(name, func(t *testing.T) {
				var log bytes.Buffer
				s := damage(t, sealed, &log, tc.change)
				for i := range 3 {
					got := holds(t, s, testObject(i), int64(i), blockSize) // compares the bytes
					if sealed && got != tc.kept[i] {
						t.Errorf("block %d: found %v, want %v", i, got, tc.kept[i])
					}
					put(s, testObject(i), int64(i), blockSize)
					wantHeld(t, s, testObject(i), int64(i), blockSize, true)
				}
				u := s.Usage()
				if want := min(u.Damaged, 1); int64(strings.Count(log.String(), "damaged block")) != want || u.Failed {
					t.Errorf("usage %+v, log %q", u, log.String())
				}
			})
		}
	}
}

// TestRecordMovedToAnotherName makes the index say that a whole record is another block.
func TestRecordMovedToAnotherName(t *testing.T) {
	a := NewObject("a", "e", 10*kib, kib)
	for _, tc := range []struct {
		name string
		o    *Object
		idx  int64
		size int
	}{
		{"key", NewObject("b", "e", 10*kib, kib), 2, kib},
		{"etag", NewObject("a", "f", 10*kib, kib), 2, kib},
		{"size", NewObject("a", "e", 11*kib, kib), 2, kib},
		{"unit", NewObject("a", "e", 10*kib, 2*kib), 2, kib},
		{"index", a, 3, kib},
		{"length", a, 2, kib - 1},
		{"border of key and etag", NewObject("", "ae", 10*kib, kib), 2, kib},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := openStore(t, Options{Dir: t.TempDir()})
			put(s, a, 2, kib)
			s.mu.Lock()
			e := s.index.slots[s.index.find(a.block(2))].entry
			e.hash, e.key, e.version = tc.o.block(tc.idx), tc.o.keyHash, tc.o.version()
			s.index.add(1, e)
			s.mu.Unlock()
			if s.Get(tc.o, tc.idx, make([]byte, tc.size)) {
				t.Error("served for another name")
			}
			if s.Has(tc.o, tc.idx) || s.Usage().Damaged != 1 {
				t.Errorf("it is kept; usage %+v", s.Usage())
			}
		})
	}
}

// TestCrashInTheMiddleOfAWrite cuts the file after each byte of the last record, and leaves a hole as
// a filesystem does that had allocated the space but not written it.
func TestCrashInTheMiddleOfAWrite(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	put(s, testObject(0), 0, blockSize)
	whole := s.active.end
	put(s, testObject(1), 1, blockSize)
	crashed := copyDir(t, dir)
	s.Close()
	path := segmentFiles(t, crashed)[0]
	full, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := whole; cut < int64(len(full)); cut += 97 {
		for _, hole := range []bool{false, true} {
			p := bytes.Clone(full[:cut])
			if hole {
				p = append(p, make([]byte, int64(len(full))-cut)...)
			}
			if err := os.WriteFile(path, p, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, Options{Dir: crashed})
			wantHeld(t, s, testObject(0), 0, blockSize, true)
			wantHeld(t, s, testObject(1), 1, blockSize, false)
			put(s, testObject(1), 1, blockSize)
			wantHeld(t, s, testObject(1), 1, blockSize, true)
			s.Close()
			s = openStore(t, Options{Dir: crashed})
			wantHeld(t, s, testObject(1), 1, blockSize, true)
			s.Close()
		}
	}
}

func FuzzScan(f *testing.F) {
	var enc encoder
	o := testObject(1)
	rec := bytes.Clone(enc.record(o, 2, content(o, 2, 500, true)))
	f.Add(rec)
	f.Add(append(bytes.Clone(rec), rec...))
	f.Add(appendIndex(bytes.Clone(rec), int64(len(rec)), []entry{{hash: 1, off: 0, size: uint32(len(rec))}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		path := t.TempDir() + "/segment"
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		seg := &segment{path: path, f: struct{ *os.File }{file}}
		entries, err := seg.read()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if int64(e.off)+int64(e.size) > seg.size {
				t.Errorf("record [%d, +%d) outside of %d bytes", e.off, e.size, seg.size)
			}
		}
	})
}
