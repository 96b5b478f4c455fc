package writeback

import (
	"cosfuse/writeback/extent"
)

// keepLimit is how many bytes of an object are fetched because we are about to replace it while somebody
// here still has it open. Of larger ones the reader gets what is cached, then ErrStale.
const keepLimit = 64 << 20

// keepForReaders fetches what the open handles of f may still want of its base, before a change of ours
// takes it away: a rename over it, or a new file of its name. Failing to is the reader's loss, not the
// writer's, and only logged.
func (f *File) keepForReaders() {
	f.mu.Lock()
	missing := f.missingLocked()
	if f.handles == 0 || missing == 0 || missing > keepLimit || f.base.Absent() {
		f.mu.Unlock()
		return
	}
	base, pieces := f.base, f.ext.Pieces(0, f.size)
	r := f.useReaderLocked()
	f.mu.Unlock()
	defer f.unuseReader(r)
	buf := make([]byte, 1<<20)
	for _, e := range pieces {
		for off := e.Off; e.Kind == extent.Base && off < e.End; off += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), e.End-off)]
			err := readFull(f.s.ctx, r, p, e.SrcOff+off-e.Off)
			if err == nil {
				err = f.keep(base, p, off)
			}
			if err != nil {
				f.s.Logger.Warn("a replaced file cannot be kept for those who have it open", "ino", f.ino, "key", f.key, "err", err)
				return
			}
		}
	}
}

// missingLocked counts the bytes of f that only its base has.
func (f *File) missingLocked() int64 {
	var n int64
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Base {
			n += e.Len()
		}
	}
	return n
}

// keep stages bytes of base, where f still has them from there.
func (f *File) keep(base Version, p []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base != base {
		return nil
	}
	g, err := f.writableStageLocked(0)
	if err != nil {
		return err
	}
	for _, e := range f.ext.Pieces(off, off+int64(len(p))) {
		if e.Kind != extent.Base {
			continue
		}
		if err := g.writeAt(p[e.Off-off:e.End-off], e.Off); err != nil {
			return err
		}
		f.countLocked(g, e.Off, e.End)
		f.ext.Set(extent.Extent{Off: e.Off, End: e.End, Kind: extent.Staged, Src: g.id, SrcOff: e.Off})
	}
	return nil
}

// keepReplacedAt does so for whatever is at key, or was until it was unlinked, other than by.
func (s *Store) keepReplacedAt(key string, by *File) {
	s.mu.Lock()
	var old []*File
	if e := s.names.get(key); e != nil {
		for _, g := range []*File{e.file, e.doomed} {
			if g != nil && g != by {
				old = append(old, g)
			}
		}
	}
	s.mu.Unlock()
	for _, g := range old {
		g.keepForReaders()
	}
}
