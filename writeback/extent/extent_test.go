package extent

import (
	"testing"

	"pgregory.net/rapid"
)

// cell is what one byte of the model file is.
type cell struct {
	kind  Kind
	dirty bool
	src   uint32
	off   int64
}

const modelSize = 64

// TestMapMatchesModel compares a Map with one cell per byte under random operations.
func TestMapMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Map
		var model [modelSize]cell
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			off := rapid.Int64Range(0, modelSize).Draw(t, "off")
			end := rapid.Int64Range(off, modelSize).Draw(t, "end")
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				m.Clear(off, end)
				for i := off; i < end; i++ {
					model[i] = cell{}
				}
			case 1:
				m.Truncate(off)
				for i := off; i < modelSize; i++ {
					model[i] = cell{}
				}
			default:
				e := Extent{Off: off, End: end, Kind: Kind(rapid.IntRange(1, 3).Draw(t, "kind")),
					Src: uint32(rapid.IntRange(0, 1).Draw(t, "src")), SrcOff: off + rapid.Int64Range(0, 1).Draw(t, "shift")}
				e.Dirty = e.Kind == Staged && rapid.Bool().Draw(t, "dirty")
				m.Set(e)
				for i := off; i < end; i++ {
					model[i] = cell{e.Kind, e.Dirty, e.Src, e.SrcOff + i - off}
				}
			}
			compare(t, &m, model[:])
		}
	})
}

// compare checks the invariants and every byte of a random window.
func compare(t *rapid.T, m *Map, model []cell) {
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	lo := rapid.Int64Range(0, modelSize).Draw(t, "lo")
	hi := rapid.Int64Range(lo, modelSize).Draw(t, "hi")
	at := lo
	for _, p := range m.Pieces(lo, hi) {
		if p.Off != at || p.End <= p.Off {
			t.Fatalf("piece %+v does not begin at %d", p, at)
		}
		for i := p.Off; i < p.End; i++ {
			got := cell{p.Kind, p.Dirty, p.Src, p.SrcOff + i - p.Off}
			if p.Kind == Hole {
				got = cell{}
			}
			if got != model[i] {
				t.Fatalf("byte %d is %+v, want %+v", i, got, model[i])
			}
		}
		at = p.End
	}
	if at != hi {
		t.Fatalf("pieces end at %d, want %d", at, hi)
	}
}

// TestSequentialWritesAreOneExtent keeps the map of a streamed file small.
func TestSequentialWritesAreOneExtent(t *testing.T) {
	var m Map
	for off := int64(0); off < 1000; off += 10 {
		m.Set(Extent{Off: off, End: off + 10, Kind: Staged, Dirty: true, SrcOff: off})
	}
	if got := len(m.Extents()); got != 1 {
		t.Fatalf("%d extents, want 1", got)
	}
	if got := m.Dirty(); got != 1000 {
		t.Fatalf("%d dirty bytes, want 1000", got)
	}
}

// TestCloneIsIndependent guards the freeze of a commit against later writes.
func TestCloneIsIndependent(t *testing.T) {
	var m Map
	m.Set(Extent{Off: 0, End: 100, Kind: Base})
	c := m.Clone()
	m.Set(Extent{Off: 10, End: 20, Kind: Staged, Dirty: true, SrcOff: 10})
	m.Truncate(15)
	if got := c.Pieces(0, 100); len(got) != 1 || got[0].Kind != Base || got[0].End != 100 {
		t.Fatalf("the clone changed: %+v", got)
	}
}
