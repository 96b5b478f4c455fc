package writeback

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

const mib = 1 << 20

// TestLadder checks that part number and offset are each other's inverse, to the end.
func TestLadder(t *testing.T) {
	var off int64
	for n := 1; n <= cos.MaxParts; n++ {
		if got := partOff(n); got != off {
			t.Fatalf("part %d begins at %d, want %d", n, got, off)
		}
		size := partSize(n)
		if size < ladderFirst || size > cos.MaxPutBytes {
			t.Fatalf("part %d has %d bytes", n, size)
		}
		for _, at := range []int64{off, off + 1, off + size - 1} {
			if got := partAt(at); got != n {
				t.Fatalf("offset %d is in part %d, want %d", at, got, n)
			}
		}
		off += size
	}
	if off != ladderReach || off < 40<<40 {
		t.Fatalf("the ladder reaches %d, want %d and over 40 TiB", off, ladderReach)
	}
}

// snap makes a snapshot of a base overlaid by dirty ranges.
func snap(base, size int64, dirty ...[2]int64) *snapshot {
	c := &snapshot{f: &File{s: new(Store)}, size: size, dirtyData: true}
	if base > 0 {
		c.base = Version{ETag: "e", Size: base}
		c.ext.Set(extent.Extent{Off: 0, End: base, Kind: extent.Base})
	}
	c.ext.Truncate(size)
	for _, d := range dirty {
		c.ext.Set(extent.Extent{Off: d[0], End: d[1], Kind: extent.Staged, Dirty: true, Src: 1, SrcOff: d[0]})
	}
	return c
}

// TestPatchPlans states what the usual edits of a large object cost.
func TestPatchPlans(t *testing.T) {
	tests := []struct {
		name string
		c    *snapshot
		want string
	}{
		{"middle", snap(256*mib, 256*mib, [2]int64{100 * mib, 101 * mib}), "copy 0-100, send 100-101, copy 101-256"},
		{"start", snap(256*mib, 256*mib, [2]int64{0, mib}), "send 0-1, copy 1-256"},
		{"one byte is widened", snap(256*mib, 256*mib, [2]int64{100 * mib, 100*mib + 1}), "copy 0-100, send 100-101, copy 101-256"},
		{"tail", snap(256*mib, 257*mib, [2]int64{256 * mib, 257 * mib}), "copy 0-256, send 256-257"},
		{"cut", snap(256*mib, 255*mib), "copy 0-255"},
		{"close edits become one", snap(256*mib, 256*mib, [2]int64{100 * mib, 101 * mib}, [2]int64{103 * mib, 104 * mib}), "copy 0-100, send 100-104, copy 104-256"},
		{"short head is fetched", snap(256*mib, 256*mib, [2]int64{2 * mib, 3 * mib}), "send 0-3, copy 3-256"},
		{"short tail is copied", snap(256*mib, 256*mib, [2]int64{254 * mib, 255 * mib}), "copy 0-254, send 254-255, copy 255-256"},
		{"hole", snap(30*mib, 50*mib, [2]int64{49 * mib, 50 * mib}), "copy 0-30, send 30-36, send 36-43, send 43-50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for i, p := range tt.c.parts(true) {
				verb := "send"
				if p.copied {
					verb = "copy"
				}
				if i > 0 {
					got += ", "
				}
				got += fmt.Sprintf("%s %d-%d", verb, p.off/mib, p.end/mib)
			}
			if got != tt.want {
				t.Fatalf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestPartsCoverTheFile checks the service's rules for any set of edits.
func TestPartsCoverTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 400*mib).Draw(t, "base")
		size := rapid.Int64Range(1, 500*mib).Draw(t, "size")
		c := snap(base, size)
		for range rapid.IntRange(0, 12).Draw(t, "edits") {
			off := rapid.Int64Range(0, size-1).Draw(t, "off")
			end := rapid.Int64Range(off+1, min(size, off+20*mib)).Draw(t, "end")
			c.ext.Set(extent.Extent{Off: off, End: end, Kind: extent.Staged, Dirty: true, Src: 1, SrcOff: off})
		}
		c.sources = map[uint32]*source{}
		for id := range rapid.Uint32Range(0, 5).Draw(t, "sources") {
			off := rapid.Int64Range(0, size-1).Draw(t, "off")
			end := rapid.Int64Range(off+1, size).Draw(t, "end")
			c.sources[id] = &source{key: fmt.Sprint(id), v: Version{ETag: "e", Size: 1 << 40}}
			c.ext.Set(extent.Extent{Off: off, End: end, Kind: extent.Remote, Dirty: true, Src: id,
				SrcOff: rapid.Int64Range(0, 1<<39).Draw(t, "from")})
		}
		parts := c.parts(rapid.Bool().Draw(t, "copies"))
		at := int64(0)
		for i, p := range parts {
			if p.number != i+1 || p.off != at || p.end <= p.off {
				t.Fatalf("part %+v after %d", p, at)
			}
			if n := p.end - p.off; i < len(parts)-1 && n < cos.MinPartBytes {
				t.Fatalf("part %+v is too small", p)
			}
			if p.copied {
				checkCopied(t, c, p)
			}
			at = p.end
		}
		if at != size || len(parts) > cos.MaxParts {
			t.Fatalf("%d parts end at %d, want %d", len(parts), at, size)
		}
	})
}

// checkCopied makes sure that a copied part has only bytes that the base, or its source, has at that place.
func checkCopied(t *rapid.T, c *snapshot, p plannedPart) {
	kind := extent.Base
	if p.from != nil {
		kind = extent.Remote
	}
	for _, e := range c.ext.Pieces(p.off, p.end) {
		if e.Kind != kind || e.SrcOff-e.Off != p.srcOff-p.off || p.from != nil && c.sources[e.Src] != p.from {
			t.Fatalf("part %+v copies %+v", p, e)
		}
	}
}
