package disk

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// maxTasks bounds the queue besides the bytes in it.
const maxTasks = 1024

// task is work for the writer: a block to write, records to mark dead, or bytes to trim to.
type task struct {
	o    *Object
	idx  int64
	buf  []byte
	dead []place
	trim int64
	over func() // called when the task is over; nil if nobody waits

	cancelled bool // guarded by Store.mu: the block was dropped meanwhile
}

// Patience is how long the Puts of one caller may wait in all. It is not safe for concurrent use.
type Patience struct{ Left time.Duration }

// wait waits for room, at most as long as patience lasts. It reports false when that or ctx has ended.
func (p *Patience) wait(ctx context.Context, room <-chan struct{}) bool {
	if p.Left <= 0 {
		return false
	}
	began := time.Now()
	timer := time.NewTimer(p.Left)
	defer timer.Stop()
	select {
	case <-room:
		p.Left -= time.Since(began)
		return true
	case <-timer.C:
		p.Left = 0
		return false
	case <-ctx.Done():
		return false
	}
}

// place is a record.
type place struct {
	seg *segment
	off uint32
}

// Put offers block idx of o, whose content p must not change until over is called, which happens once
// in any case, perhaps before Put returns. While the queue is full it waits, so that what was read is
// kept as long as the disk is about as fast as the network; but not longer than patience lasts, and not
// at all, from then on, until half of the queue has been written. What there is no room for is not kept.
// A Drop or Remove at the same time may come before it or after it.
func (s *Store) Put(ctx context.Context, o *Object, idx int64, p []byte, patience *Patience, over func()) {
	t := &task{o: o, idx: idx, buf: p, over: over}
	for o.storable(len(p)) {
		room, ok := s.offer(t)
		if ok {
			s.rouse()
			return
		}
		if room == nil {
			break
		}
		if !patience.wait(ctx, room) {
			s.fallBehind(ctx)
			break
		}
	}
	over()
}

// offer queues t if there is room. If not, room is closed when there may be; nil means that nobody is to
// wait for it.
func (s *Store) offer(t *task) (room <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.failed.Load() {
		return nil, false
	}
	if s.queued+int64(len(t.buf)) <= s.o.QueueBytes && len(s.queue) < maxTasks {
		s.pushLocked(t)
		return nil, true
	}
	// An object that does not fit is not worth waiting for.
	if s.behind || t.o.size > s.o.MaxBytes || int64(len(t.buf)) > s.o.QueueBytes {
		s.usage.Skipped++
		return nil, false
	}
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room, false
}

// fallBehind ends the waiting for a disk that somebody has waited for in vain.
func (s *Store) fallBehind(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage.Skipped++
	if ctx.Err() == nil {
		s.behind = true
		s.openRoomLocked()
	}
}

// openRoomLocked wakes those who wait for room.
func (s *Store) openRoomLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// PutWait writes block idx of o and returns when it is on disk, or will not be. p must not change
// meanwhile.
func (s *Store) PutWait(o *Object, idx int64, p []byte) {
	if o.storable(len(p)) {
		s.await(&task{o: o, idx: idx, buf: p})
	}
}

// Trim evicts the oldest blocks until the segments have at most size bytes. It blocks while that is
// done.
func (s *Store) Trim(size int64) { s.await(&task{trim: size}) }

// await hands t to the writer and waits for it.
func (s *Store) await(t *task) {
	done := make(chan struct{})
	t.over = func() { close(done) }
	s.mu.Lock()
	if s.closed || s.failed.Load() {
		s.mu.Unlock()
		return
	}
	s.pushLocked(t)
	s.mu.Unlock()
	s.rouse()
	<-done
}

// Drop forgets all blocks of key, also those that wait to be written. It does not block.
func (s *Store) Drop(key string) {
	hash := hashKey(key)
	s.mu.Lock()
	s.cancelLocked(func(t *task) bool { return t.o.keyHash == hash })
	s.buryLocked(s.index.removeKey(hash))
	s.mu.Unlock()
	s.rouse()
}

// Keep forgets all versions of o's key but o. It does not block.
func (s *Store) Keep(o *Object) {
	s.mu.Lock()
	s.cancelLocked(func(t *task) bool { return t.o.keyHash == o.keyHash && t.o.hash != o.hash })
	gone := s.index.keep(o.keyHash, o.version())
	s.buryLocked(gone)
	s.mu.Unlock()
	if len(gone) > 0 {
		s.rouse()
	}
}

// Remove forgets one block. It does not block.
func (s *Store) Remove(o *Object, idx int64) {
	s.mu.Lock()
	s.cancelLocked(func(t *task) bool { return t.o.hash == o.hash && t.idx == idx })
	if id := s.index.find(o.block(idx)); id != 0 {
		gone := s.index.slots[id]
		s.index.remove(id)
		s.buryLocked([]slot{gone})
	}
	s.mu.Unlock()
	s.rouse()
}

func (s *Store) cancelLocked(match func(*task) bool) {
	for _, t := range s.queue {
		if t.o != nil && match(t) {
			t.cancelled = true
		}
	}
}

// buryLocked has the records of removed blocks marked dead.
func (s *Store) buryLocked(gone []slot) {
	if len(gone) == 0 || s.closed {
		return
	}
	dead := make([]place, len(gone))
	for i, sl := range gone {
		dead[i] = place{s.segmentLocked(sl.seg), sl.off}
		dead[i].seg.stale = true
	}
	s.pushLocked(&task{dead: dead})
}

// pushLocked queues t. Marks are left out when the queue is full: they only matter after a crash,
// and then bring back what its version still names rightly.
func (s *Store) pushLocked(t *task) {
	if t.dead != nil && len(s.queue) >= maxTasks {
		return
	}
	s.queue = append(s.queue, t)
	s.queued += int64(len(t.buf))
}

// rouse wakes the writer.
func (s *Store) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the writer. It ends when the store is closed and the queue is empty.
func (s *Store) run() {
	tick := time.NewTicker(floorInterval)
	defer tick.Stop()
	for {
		t, closed := s.take()
		switch {
		case t != nil:
			s.do(t)
			continue
		case closed:
			return
		}
		select {
		case <-s.wake:
		case <-tick.C:
			s.keepFloor()
		}
	}
}

// take removes the first task from the queue. It stays in it while it is done, so that it can be
// cancelled.
func (s *Store) take() (t *task, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, s.closed
	}
	return s.queue[0], s.closed
}

// do runs the first task of the queue and takes it off.
func (s *Store) do(t *task) {
	if !s.failed.Load() {
		if err := s.perform(t); err != nil {
			s.fail(err)
		}
	}
	s.mu.Lock()
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.queued -= int64(len(t.buf))
	if s.queued <= s.o.QueueBytes/2 {
		s.behind = false
	}
	if s.queued <= s.o.QueueBytes-s.o.QueueBytes/4 && len(s.queue) < maxTasks {
		s.openRoomLocked() // for several blocks at once, or each would wake all who wait
	}
	s.mu.Unlock()
	if t.over != nil {
		t.over()
	}
}

func (s *Store) perform(t *task) error {
	switch {
	case t.o != nil:
		return s.write(t)
	case t.dead != nil:
		return s.mark(t.dead)
	}
	for len(s.segs) > 0 && s.used > t.trim {
		if err := s.evict(s.segs[0], false); err != nil {
			return err
		}
	}
	return nil
}

// write appends a block's record and notes it in the index.
func (s *Store) write(t *task) error {
	hash := t.o.block(t.idx)
	s.mu.Lock()
	skip := t.cancelled || s.index.find(hash) != 0
	s.mu.Unlock()
	if skip {
		return nil
	}
	rec := s.enc.record(t.o, t.idx, t.buf)
	if ok, err := s.makeRoom(int64(len(rec))); err != nil || !ok {
		s.mu.Lock()
		s.usage.Skipped++
		s.mu.Unlock()
		return err
	}
	seg, off, err := s.appendRecord(rec)
	if err != nil {
		return err
	}
	e := entry{hash: hash, key: t.o.keyHash, version: t.o.version(), off: off, size: uint32(len(rec))}
	s.mu.Lock()
	if cancelled := t.cancelled; cancelled {
		s.mu.Unlock()
		return s.mark([]place{{seg, off}})
	}
	seg.slots = append(seg.slots, s.index.add(seg.num, e))
	s.mu.Unlock()
	return nil
}

// appendRecord writes rec at the end of the active segment, or of a new one.
func (s *Store) appendRecord(rec []byte) (*segment, uint32, error) {
	size := int64(len(rec))
	if s.active != nil && s.active.end+size > s.segBytes {
		if err := s.seal(s.active); err != nil {
			return nil, 0, err
		}
		s.active = nil
	}
	if s.active == nil {
		if err := s.begin(); err != nil {
			return nil, 0, err
		}
	}
	seg := s.active
	if err := s.unseal(seg); err != nil {
		return nil, 0, err
	}
	off := seg.end
	if _, err := seg.f.WriteAt(rec, off); err != nil {
		return nil, 0, err
	}
	seg.end += size
	s.resize(seg, seg.end)
	return seg, uint32(off), nil
}

// begin makes a new active segment.
func (s *Store) begin() error {
	path := s.path(s.next)
	f, err := s.o.open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	s.active = &segment{num: s.next, path: path, f: f}
	s.next++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segs = append(s.segs, s.active)
	return nil
}

// resize notes the size of a segment's file.
func (s *Store) resize(seg *segment, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += size - seg.size
	seg.size = size
}

// seal writes the segment's index behind its records.
func (s *Store) seal(seg *segment) error {
	s.mu.Lock()
	entries := make([]entry, 0, len(seg.slots))
	for _, id := range seg.slots {
		if s.index.in(id, seg.num) {
			entries = append(entries, s.index.slots[id].entry)
		}
	}
	seg.stale = false
	s.mu.Unlock()
	p := appendIndex(nil, seg.end, entries)
	if err := seg.f.Truncate(seg.end); err != nil {
		return err
	}
	if _, err := seg.f.WriteAt(p, seg.end); err != nil {
		return err
	}
	seg.sealed = true
	s.resize(seg, seg.end+int64(len(p)))
	return nil
}

// unseal cuts off what follows the records, before more are appended.
func (s *Store) unseal(seg *segment) error {
	if !seg.sealed && seg.size == seg.end {
		return nil
	}
	if err := seg.f.Truncate(seg.end); err != nil {
		return err
	}
	seg.sealed = false
	s.resize(seg, seg.end)
	return nil
}

// sealAll writes the indexes that are missing or list what is gone, at Close.
func (s *Store) sealAll() {
	for _, seg := range s.segs {
		if s.failed.Load() {
			return
		}
		if seg.sealed && !seg.stale {
			continue
		}
		if err := s.seal(seg); err != nil {
			s.fail(err)
		}
	}
}

// mark makes records dead.
func (s *Store) mark(dead []place) error {
	magic := binary.LittleEndian.AppendUint32(nil, magicDead)
	for _, p := range dead {
		if p.seg.gone {
			continue
		}
		if _, err := p.seg.f.WriteAt(magic, int64(p.off)); err != nil {
			return fmt.Errorf("mark dropped block: %w", err)
		}
	}
	return nil
}
