package disk

import "errors"

// Has reports whether a Get of the block is likely to succeed. It looks at memory alone.
func (s *Store) Has(o *Object, idx int64) bool {
	if s.failed.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && s.index.find(o.block(idx)) != 0
}

// Get fills p with block idx of o, which has len(p) bytes, and reports whether it could. A block that
// does not verify is removed. It blocks while the disk reads. The content of p is undefined after
// false.
func (s *Store) Get(o *Object, idx int64, p []byte) bool {
	return s.read(o, idx, func(rec []byte) error { return decode(rec, o, idx, p) })
}

// Read is Get of a block whose length the caller does not know.
func (s *Store) Read(o *Object, idx int64) (p []byte, ok bool) {
	ok = s.read(o, idx, func(rec []byte) error {
		h, _, err := verify(rec)
		if err != nil {
			return err
		}
		p = make([]byte, h.size)
		return decode(rec, o, idx, p)
	})
	if !ok {
		return nil, false
	}
	return p, true
}

// read hands the record of a block to use, whose error says that it is not that block's.
func (s *Store) read(o *Object, idx int64, use func(rec []byte) error) bool {
	seg, e, ok := s.pin(o.block(idx))
	if !ok {
		return false
	}
	defer s.getting.Done()
	defer s.unpin(seg)
	err := s.readBlock(seg, e, use)
	switch {
	case err == nil:
		s.mu.Lock()
		s.usage.Hits++
		s.mu.Unlock()
		return true
	case errors.Is(err, errDead):
		s.lose(seg, e)
	case errors.Is(err, errDamaged):
		s.damaged(seg, e, o)
	default:
		s.fail(err)
	}
	return false
}

// pin finds a block and keeps its segment's file open.
func (s *Store) pin(hash uint64) (*segment, entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.index.find(hash)
	if id == 0 || s.closed || s.failed.Load() {
		return nil, entry{}, false
	}
	sl := &s.index.slots[id]
	seg := s.segmentLocked(sl.seg)
	sl.used = true
	seg.refs++
	s.getting.Add(1)
	return seg, sl.entry, true
}

// segmentLocked returns the segment of a number that is in the index.
func (s *Store) segmentLocked(num uint32) *segment {
	lo, hi := 0, len(s.segs)
	for lo < hi {
		if mid := (lo + hi) / 2; s.segs[mid].num < num {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return s.segs[lo]
}

func (s *Store) unpin(seg *segment) {
	s.mu.Lock()
	seg.refs--
	last := seg.gone && seg.refs == 0
	s.mu.Unlock()
	if last {
		_ = seg.f.Close() // the file is deleted
	}
}

// readBlock reads one record and hands it to use.
func (s *Store) readBlock(seg *segment, e entry, use func(rec []byte) error) error {
	s.reads <- struct{}{} // waits for other reads of the disk alone
	defer func() { <-s.reads }()
	buf := s.buffer(int(e.size))
	defer s.buffers.Put(buf)
	if err := readFull(seg.f, *buf, int64(e.off)); err != nil {
		return err
	}
	return use(*buf)
}

// buffer returns a buffer of n bytes, for buffers.Put.
func (s *Store) buffer(n int) *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}

// lose removes a block that was found at e, and reports whether it was still there.
func (s *Store) lose(seg *segment, e entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.index.find(e.hash)
	if id == 0 || !s.index.in(id, seg.num) || s.index.slots[id].off != e.off {
		return false
	}
	s.index.remove(id)
	seg.stale = true
	return true
}

// damaged removes a block that did not verify. One message is enough: a disk that goes bad would
// fill the log.
func (s *Store) damaged(seg *segment, e entry, o *Object) {
	if !s.lose(seg, e) {
		return
	}
	s.mu.Lock()
	s.usage.Damaged++
	first := !s.warned
	s.warned = true
	s.pushLocked(&task{dead: []place{{seg, e.off}}})
	s.mu.Unlock()
	s.rouse()
	if first {
		s.o.Logger.Warn("damaged block in the disk cache, fetching it again; later ones are only counted",
			"op", "cache", "key", o.key, "etag", o.etag, "off", e.off, "len", e.size)
	}
}
