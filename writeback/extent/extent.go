package extent

import (
	"fmt"
	"slices"
	"sort"
)

// Kind tells where the bytes of an extent are. The values are part of the journal's format.
type Kind uint8

// The kinds. A hole is the absence of an extent and appears only in what Pieces returns.
const (
	Hole   Kind = 0 // zeros
	Staged Kind = 1 // in staging file Src, at SrcOff
	Base   Kind = 2 // in the base object, at SrcOff
	Remote Kind = 3 // in source object Src, at SrcOff
	Sent   Kind = 4 // in the file's unfinished upload and nowhere else; cannot be read
)

// String names the kind for logs and tests.
func (k Kind) String() string {
	switch k {
	case Hole:
		return "hole"
	case Staged:
		return "staged"
	case Base:
		return "base"
	case Remote:
		return "remote"
	case Sent:
		return "sent"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Extent is one range and the place of its bytes.
type Extent struct {
	Off, End int64
	Kind     Kind
	Dirty    bool   // the base does not have these bytes; of Staged and Remote only
	Src      uint32 // staging file or source object, by kind
	SrcOff   int64  // where Off is in the source
}

// Len is the number of bytes.
func (e Extent) Len() int64 { return e.End - e.Off }

// cut returns the part of e within [off, end), which must overlap it.
func (e Extent) cut(off, end int64) Extent {
	if off > e.Off {
		e.SrcOff += off - e.Off
		e.Off = off
	}
	e.End = min(e.End, end)
	return e
}

// joins reports whether f continues e both in the file and in the source.
func (e Extent) joins(f Extent) bool {
	return e.End == f.Off && e.Kind == f.Kind && e.Dirty == f.Dirty && e.Src == f.Src &&
		e.SrcOff+e.Len() == f.SrcOff
}

// Map is a set of extents. The zero value is all hole.
type Map struct {
	list []Extent // by Off, no overlaps, no empties, no two that join
}

// find returns the index of the first extent that ends after off.
func (m *Map) find(off int64) int {
	return sort.Search(len(m.list), func(i int) bool { return m.list[i].End > off })
}

// Set makes e's range be e, whatever it was. An empty e or one of kind Hole clears.
func (m *Map) Set(e Extent) {
	if e.End <= e.Off {
		return
	}
	if n := len(m.list); n > 0 && m.list[n-1].joins(e) { // a sequential writer, the common case
		m.list[n-1].End = e.End
		return
	}
	i := m.find(e.Off)
	j := i
	var repl []Extent
	if i < len(m.list) && m.list[i].Off < e.Off {
		repl = append(repl, m.list[i].cut(0, e.Off))
	}
	if e.Kind != Hole {
		repl = append(repl, e)
	}
	for j < len(m.list) && m.list[j].Off < e.End {
		if m.list[j].End > e.End {
			repl = append(repl, m.list[j].cut(e.End, m.list[j].End))
		}
		j++
	}
	// Let the neighbours take part, so that what joins is joined.
	if i > 0 {
		i--
		repl = slices.Insert(repl, 0, m.list[i])
	}
	if j < len(m.list) {
		repl = append(repl, m.list[j])
		j++
	}
	m.list = slices.Replace(m.list, i, j, join(repl)...)
}

// join merges neighbours that continue each other.
func join(list []Extent) []Extent {
	out := list[:0]
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].joins(e) {
			out[n-1].End = e.End
			continue
		}
		out = append(out, e)
	}
	return out
}

// Clear makes [off, end) a hole.
func (m *Map) Clear(off, end int64) { m.Set(Extent{Off: off, End: end, Kind: Hole}) }

// Truncate drops everything at and after size.
func (m *Map) Truncate(size int64) {
	i := m.find(size)
	if i < len(m.list) && m.list[i].Off < size {
		m.list[i].End = size
		i++
	}
	m.list = m.list[:i]
}

// Extents returns the extents in order. The slice is the Map's own: it is valid until the next change.
func (m *Map) Extents() []Extent { return m.list }

// Pieces cuts [off, end) along the extents and returns every piece in order, holes included.
func (m *Map) Pieces(off, end int64) []Extent {
	var out []Extent
	for i := m.find(off); off < end; i++ {
		if i == len(m.list) || m.list[i].Off >= end {
			return append(out, Extent{Off: off, End: end})
		}
		e := m.list[i]
		if e.Off > off {
			out = append(out, Extent{Off: off, End: e.Off})
			off = e.Off
		}
		out = append(out, e.cut(off, end))
		off = min(e.End, end)
	}
	return out
}

// Clone returns an independent copy.
func (m *Map) Clone() Map { return Map{list: slices.Clone(m.list)} }

// Change replaces every extent by what f returns for it; Off and End must stay as they are.
func (m *Map) Change(f func(Extent) Extent) {
	for i, e := range m.list {
		m.list[i] = f(e)
	}
	m.list = join(m.list)
}

// Any reports whether an extent satisfies f.
func (m *Map) Any(f func(Extent) bool) bool { return slices.ContainsFunc(m.list, f) }

// Dirty reports the number of dirty bytes.
func (m *Map) Dirty() int64 {
	var n int64
	for _, e := range m.list {
		if e.Dirty || e.Kind == Remote {
			n += e.Len()
		}
	}
	return n
}

// Check returns an error if the Map's invariants do not hold. For tests and recovery.
func (m *Map) Check() error {
	for i, e := range m.list {
		if e.End <= e.Off || e.Kind == Hole || e.Off < 0 {
			return fmt.Errorf("extent %d is not one: %+v", i, e)
		}
		if i > 0 && m.list[i-1].End > e.Off {
			return fmt.Errorf("extents %d and %d overlap", i-1, i)
		}
		if i > 0 && m.list[i-1].joins(e) {
			return fmt.Errorf("extents %d and %d are one", i-1, i)
		}
	}
	return nil
}
