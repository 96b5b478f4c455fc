package disk

import (
	"errors"
	"os"
)

// limit is what the segments may have before a write. The rest of MaxBytes is for blocks that move
// to the newest segment while the oldest still exists.
func (s *Store) limit() int64 { return s.o.MaxBytes - s.segBytes }

// makeRoom evicts until n bytes fit below both bounds, and reports whether they do.
func (s *Store) makeRoom(n int64) (bool, error) {
	for s.used+n > s.limit() && len(s.segs) > 0 {
		if err := s.evict(s.segs[0], true); err != nil {
			return false, err
		}
	}
	if s.used+n > s.limit() {
		return false, nil
	}
	return s.makeFree(n)
}

// makeFree evicts until the filesystem has n bytes above the floor, and reports whether it has.
func (s *Store) makeFree(n int64) (bool, error) {
	for {
		free, err := s.o.FreeBytes(s.o.Dir)
		if err != nil {
			return false, err
		}
		if free-n >= s.o.MinFreeBytes {
			return true, nil
		}
		if len(s.segs) == 0 {
			return false, nil
		}
		if err := s.evict(s.segs[0], false); err != nil {
			return false, err
		}
	}
}

// keepFloor gives space back that others took meanwhile.
func (s *Store) keepFloor() {
	if s.failed.Load() {
		return
	}
	if _, err := s.makeFree(0); err != nil {
		s.fail(err)
	}
}

// evict deletes a segment. If save, blocks of it that were read since they were written move to the
// newest segment, up to half of its bytes.
func (s *Store) evict(seg *segment, save bool) error {
	if seg == s.active {
		s.active = nil
	}
	if save {
		if err := s.save(seg); err != nil {
			return err
		}
	}
	s.mu.Lock()
	for _, id := range seg.slots {
		if s.index.in(id, seg.num) {
			s.index.remove(id)
			s.usage.Evictions++
		}
	}
	for i := range s.segs {
		if s.segs[i] == seg {
			s.segs = append(s.segs[:i:i], s.segs[i+1:]...)
			break
		}
	}
	s.used -= seg.size
	seg.gone = true
	idle := seg.refs == 0
	s.mu.Unlock()
	if idle {
		_ = seg.f.Close() // nothing in it is wanted
	}
	return os.Remove(seg.path)
}

// save copies the segment's blocks in use to the active segment.
func (s *Store) save(seg *segment) error {
	left := s.segBytes / 2
	for _, id := range seg.slots {
		s.mu.Lock()
		sl := s.index.slots[id]
		s.mu.Unlock()
		if sl.seg != seg.num || !sl.used || int64(sl.size) > left {
			continue
		}
		left -= int64(sl.size)
		if err := s.move(seg, id, sl.entry); err != nil {
			return err
		}
	}
	return nil
}

// move copies one record to the active segment. One that is damaged stays, and goes with the segment.
func (s *Store) move(seg *segment, id uint32, e entry) error {
	buf := s.buffer(int(e.size))
	defer s.buffers.Put(buf)
	err := readFull(seg.f, *buf, int64(e.off))
	if err == nil {
		_, _, err = verify(*buf)
	}
	if errors.Is(err, errDamaged) || errors.Is(err, errDead) {
		return nil
	}
	if err != nil {
		return err
	}
	to, off, err := s.appendRecord(*buf)
	if err != nil {
		return err
	}
	s.mu.Lock()
	sl := &s.index.slots[id]
	if sl.seg != seg.num || sl.off != e.off {
		s.mu.Unlock()
		return s.mark([]place{{to, off}}) // dropped meanwhile
	}
	sl.seg, sl.off, sl.used = to.num, off, false
	to.slots = append(to.slots, id)
	s.mu.Unlock()
	return nil
}
