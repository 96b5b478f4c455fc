package writeback

import (
	"errors"
	"fmt"

	"cosfuse/writeback/extent"
)

// dependents returns the files that want copies of keys, or of what is below trees, as they are now.
func (s *Store) dependents(keys, trees []string) []*File {
	within := among(keys, trees)
	var out []*File
	for _, f := range s.copies.from(keys, trees) {
		f.mu.Lock()
		if f.copiesFromLocked(within) {
			out = append(out, f)
		}
		f.mu.Unlock()
	}
	return out
}

// enterToChange waits for a turn on keys and on everything below trees, the objects of which are to be
// replaced or deleted: what others want copies of is copied first.
func (s *Store) enterToChange(keys, trees []string) (*turn, error) {
	for {
		for _, f := range s.dependents(keys, trees) {
			if err := f.makeCopies(among(keys, trees)); err != nil {
				return nil, err
			}
		}
		t, err := s.enter(keys, trees)
		if err != nil {
			return nil, err
		}
		if len(s.dependents(keys, trees)) == 0 { // more come only from those who have this turn
			return t, nil
		}
		t.done()
	}
}

// makeCopies makes f independent of the keys that within is true of, because they are about to change. A file
// that nobody has open is committed; what somebody is writing is not published for that, unless it is large,
// but the bytes are fetched.
func (f *File) makeCopies(within func(key string) bool) error {
	t, err := f.enter()
	if err != nil {
		return err
	}
	defer t.done()
	f.mu.Lock()
	key, size := f.key, f.copiedBytesLocked(within)
	commit := !f.unlinked && !f.conflict && (f.handles == 0 || size > keepLimit)
	dispensable := f.unlinked && !f.keptLocked() // only those who still have it open would miss it
	f.mu.Unlock()
	if commit && len(f.s.dependents([]string{key}, nil)) == 0 {
		if err := f.commitInTurn(func() bool { return f.copiesFromLocked(within) }); err == nil {
			return nil
		}
	}
	err = errStaleCopy
	if !dispensable || size <= keepLimit {
		err = f.fetchCopies(within)
	}
	if err == nil || !dispensable && !isGone(err) {
		return err
	}
	f.s.Logger.Warn("bytes that were to be copied are gone", "ino", f.ino, "key", key, "err", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.sources {
		g.lost = g.lost || within(g.key)
	}
	return nil
}

var errStaleCopy = errors.New("too large to keep for those who have an unlinked file open")

// copiedBytesLocked counts the bytes that f wants of the keys that within is true of.
func (f *File) copiedBytesLocked(within func(key string) bool) int64 {
	var n int64
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Remote && within(f.sources[e.Src].key) {
			n += e.Len()
		}
	}
	return n
}

// fetchCopies stages the bytes that f wants of the keys that within is true of. It needs the turn.
func (f *File) fetchCopies(within func(key string) bool) error {
	f.mu.Lock()
	pieces := f.ext.Pieces(0, f.size)
	f.mu.Unlock()
	buf := make([]byte, 1<<20)
	for _, e := range pieces {
		if e.Kind != extent.Remote {
			continue
		}
		if err := f.fetchPiece(e, buf, within); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruneSourcesLocked()
	if f.journalled {
		return f.persistLocked() // the record must not point to what goes away
	}
	return nil
}

// fetchPiece stages one extent, but for what was written over it meanwhile.
func (f *File) fetchPiece(e extent.Extent, buf []byte, within func(key string) bool) error {
	f.mu.Lock()
	g := f.sources[e.Src]
	if g == nil || !within(g.key) {
		f.mu.Unlock()
		return nil
	}
	r := f.useSourceLocked(e.Src)
	f.mu.Unlock()
	defer f.unuseReader(r)
	for off := e.Off; off < e.End; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), e.End-off)]
		if err := readFull(f.s.ctx, r, p, e.SrcOff+off-e.Off); err != nil {
			return fmt.Errorf("source %q of a copy: %w", g.key, err)
		}
		if err := f.stageCopy(e, p, off); err != nil {
			return err
		}
	}
	return nil
}

// stageCopy stores p, bytes of extent x, at off, where f still has them from there.
func (f *File) stageCopy(x extent.Extent, p []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.ext.Pieces(off, off+int64(len(p))) {
		if e.Kind != extent.Remote || e.Src != x.Src || e.SrcOff-e.Off != x.SrcOff-x.Off {
			continue
		}
		if err := f.stageLocked(p[e.Off-off:e.End-off], e.Off); err != nil {
			return err
		}
	}
	return nil
}
