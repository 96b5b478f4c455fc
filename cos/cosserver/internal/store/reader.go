package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Reader yields a range of an object version. It goes on reading those bytes though the object is
// replaced or deleted meanwhile. It is not safe for concurrent use; the caller closes it.
type Reader struct {
	s       *Store
	extents []extent // what is left of the range
	pinned  []extent
	current io.Reader // of the first extent, once opened
	file    *os.File  // under current, if it is a file
}

// slice returns the part [off, off+size) of the bytes that xs describe.
func slice(xs []extent, off, size int64) []extent {
	if size <= 0 {
		return nil
	}
	var out []extent
	for _, x := range xs {
		if size == 0 {
			break
		}
		if off >= x.size {
			off -= x.size
			continue
		}
		n := min(x.size-off, size)
		out = append(out, extent{x.file, x.off + off, n})
		size -= n
		off = 0
	}
	return out
}

// newReader pins and returns a reader of xs. The caller holds the lock of a key whose record uses
// them.
func (s *Store) newReader(xs []extent) *Reader {
	s.pin(xs)
	return &Reader{s: s, extents: slices.Clone(xs), pinned: xs}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		if r.current == nil {
			if len(r.extents) == 0 {
				return 0, io.EOF
			}
			if err := r.open(r.extents[0]); err != nil {
				return 0, err
			}
		}
		n, err := r.current.Read(p)
		r.extents[0].off += int64(n)
		r.extents[0].size -= int64(n)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, ignoreEOF(err)
		}
		if left := r.extents[0].size; left > 0 {
			return 0, fmt.Errorf("data file %s lacks %d bytes: %w", r.extents[0].file, left, errCorrupt)
		}
		r.shut()
		r.extents = r.extents[1:]
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (r *Reader) open(x extent) error {
	if x.file.inline() {
		v, err := r.s.get(idKey(spaceInline, x.file))
		if err != nil {
			return err
		}
		if int64(len(v)) < x.off+x.size {
			return fmt.Errorf("inline value %s is short: %w", x.file, errCorrupt)
		}
		r.current = bytes.NewReader(v[x.off : x.off+x.size])
		return nil
	}
	f, err := os.Open(r.s.path(x.file))
	if err != nil {
		return err
	}
	r.file = f
	r.current = io.NewSectionReader(f, x.off, x.size)
	return nil
}

func (r *Reader) shut() {
	if r.file != nil {
		r.file.Close() // opened for reading
		r.file = nil
	}
	r.current = nil
}

// Close releases the range. It may be called more than once.
func (r *Reader) Close() error {
	r.shut()
	r.s.unpin(r.pinned)
	r.pinned, r.extents = nil, nil
	return nil
}
