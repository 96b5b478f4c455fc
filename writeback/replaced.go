package writeback

import "cosfuse/writeback/extent"

// Grow tells f that the service has version v by now. If f is clean and v is the same appendable object with
// more bytes at its end, f goes on as v, and so do those who have it open: `tail -f` of a log that another
// mount appends to. It reports whether f is v now.
func (f *File) Grow(v Version, a Attr) bool {
	f.mu.Lock()
	same := v.Same(f.base)
	grows := !same && f.base.Appendable && v.Appendable && v.Size >= f.base.Size &&
		!f.dirtyLocked() && !f.committing && !f.unlinked
	if grows {
		f.ext.Set(extent.Extent{Off: f.base.Size, End: v.Size, Kind: extent.Base, SrcOff: f.base.Size})
		f.base, f.size, f.attr = v, v.Size, a
		f.aclKnown, f.tagsKnown = false, false
		f.closeReaderLocked()
	}
	key := f.key
	f.mu.Unlock()
	if grows {
		f.s.Changed(key)
	}
	return same || grows
}

// Part takes the name from a clean file that somebody has open, because the service has another version of
// it: the name is the new version's from now on, and the open handles end with ErrStale where the cache
// does not help them. It reports false, and changes nothing, if f is dirty.
func (f *File) Part() bool {
	f.mu.Lock()
	if f.dirtyLocked() || f.committing || f.unlinked {
		f.mu.Unlock()
		return false
	}
	f.unlinked, f.parted = true, true
	s := f.s
	s.mu.Lock()
	if e := s.names.get(f.key); e != nil && e.file == f {
		e.file = nil
		s.names.drop(f.key)
	}
	s.mu.Unlock()
	f.mu.Unlock()
	f.dropIfIdle()
	return true
}
