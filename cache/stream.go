package cache

import (
	"cmp"
	"container/list"
	"sort"
	"time"
)

const (
	maxStreams     = 8       // told apart per Reader
	streamForgets  = 64      // a stream ends when its Reader was read that often elsewhere
	streamSlack    = 1 << 20 // bytes by which reads of one stream may come out of order or skip
	minSplit       = 1 << 20 // bytes of read-ahead that are worth a second connection
	longRun        = 1 << 20 // bytes read in sequence after which the window grows faster
	idleStream     = time.Second
	maxActiveCount = 64 // streams looked at to share the budget
)

// stream is one sequence of reads of a Reader. A read that continues no stream begins one; only when
// it is continued does anything get read ahead. Guarded by Blocks.mu.
type stream struct {
	start int64 // of its first read
	next  int64 // end of the furthest read
	run   int64 // bytes read in sequence
	reads int   // that advanced it
	tick  int64 // Reader.ticks of its last read
	used  time.Time

	most        int64     // bytes that its window is to have at most, by measurement; 0 = not measured
	best        int64     // bytes a second when the window was last made larger, slowly forgotten
	trying      bool      // it was made larger at the last measurement
	measured    time.Time // when the measurement under way began
	measuredRun int64     // run at that time

	planned int64         // blocks before this index were read ahead or found in memory
	held    []*block      // kept for it, by index: read ahead, and the block it is in
	elem    *list.Element // in Blocks.streams while anything is held
}

// sequential reports whether enough was read in sequence to read ahead. Half a block keeps two
// random reads that happen to touch from costing a block.
func (s *stream) sequential(blockBytes int64) bool {
	return s.reads > 1 && s.run >= blockBytes/2
}

// distance returns how far from its expected place a read of [off, end) is, and whether it may
// belong to the stream at all. Readers such as the kernel's send several reads at once, which arrive
// in any order; a stream not yet recognised must be continued exactly.
func (s *stream) distance(off, end, blockBytes int64) (int64, bool) {
	d := off - s.next
	if d < 0 {
		d = -d
	}
	if s.sequential(blockBytes) {
		return d, d <= max(streamSlack, 2*(end-off), min(s.run, s.planned*blockBytes-s.next))
	}
	return d, d == 0 || end == s.start
}

// advance notes a read of [off, end).
func (s *stream) advance(off, end int64) {
	if end == s.start {
		s.start = off
		s.run += end - off
		s.reads++
		return
	}
	if end <= s.next {
		return
	}
	s.run += end - max(off, s.next)
	s.next = end
	s.reads++
}

// window returns the bytes to keep ahead of next: as many as were read in sequence, so that it doubles
// each time it has been consumed, and four times as many once that is more than most files have; at most
// limit and what the stream was found to need.
func (s *stream) window(blockBytes, limit int64) int64 {
	if !s.sequential(blockBytes) || limit < blockBytes {
		return 0
	}
	limit = max(min(limit, cmp.Or(s.most, firstWindow)), blockBytes)
	w := s.run
	if w >= longRun {
		w *= 4
	}
	return min(max(w/blockBytes, 1), limit/blockBytes) * blockBytes
}

// streamLocked returns the stream that the read [off, end) belongs to, advanced by it.
func (r *Reader) streamLocked(off, end int64) *stream {
	r.ticks++
	s := r.matchLocked(off, end)
	if s == nil {
		s = r.beginLocked(off, end)
	} else {
		s.advance(off, end)
	}
	s.tick, s.used = r.ticks, time.Now()
	r.measureLocked(s, s.used)
	if s.elem != nil {
		r.b.streams.MoveToFront(s.elem)
	}
	return s
}

func (r *Reader) matchLocked(off, end int64) *stream {
	var best *stream
	var bestDistance int64
	for _, s := range r.streams {
		d, ok := s.distance(off, end, r.b.o.BlockBytes)
		if ok && (best == nil || d < bestDistance) {
			best, bestDistance = s, d
		}
	}
	return best
}

// beginLocked starts a stream in place of one that is over, or, when there are too many, of the one
// not used for longest. Those that are not sequential go first, so that random reads do not end a
// real stream.
func (r *Reader) beginLocked(off, end int64) *stream {
	s := &stream{start: off, next: end, run: end - off, reads: 1}
	kept := r.streams[:0]
	var victim *stream
	for _, old := range r.streams {
		if r.ticks-old.tick > streamForgets {
			r.b.releaseLocked(old)
			continue
		}
		kept = append(kept, old)
		if victim == nil || r.worseLocked(old, victim) {
			victim = old
		}
	}
	clear(r.streams[len(kept):])
	r.streams = kept
	if len(r.streams) < maxStreams {
		r.streams = append(r.streams, s)
		return s
	}
	r.b.releaseLocked(victim)
	for i := range r.streams {
		if r.streams[i] == victim {
			r.streams[i] = s
		}
	}
	return s
}

// worseLocked reports whether a is to be ended rather than b.
func (r *Reader) worseLocked(a, b *stream) bool {
	sa, sb := a.sequential(r.b.o.BlockBytes), b.sequential(r.b.o.BlockBytes)
	if sa != sb {
		return sb
	}
	return a.tick < b.tick
}

// holdLocked keeps blk for s. A ready block whose bytes are not reserved is kept only if the budget
// allows.
func (b *Blocks) holdLocked(s *stream, blk *block) {
	i := sort.Search(len(s.held), func(i int) bool { return s.held[i].idx >= blk.idx })
	if i < len(s.held) && s.held[i] == blk {
		return
	}
	if blk.state == blockReady && blk.holds == 0 {
		if !b.gate.tryHold(int64(len(blk.buf))) {
			return
		}
		blk.reserved = int64(len(blk.buf))
	}
	s.held = append(s.held, nil)
	copy(s.held[i+1:], s.held[i:])
	s.held[i] = blk
	blk.holds++
	b.wantLocked(blk)
	if s.elem == nil {
		s.elem = b.streams.PushFront(s)
	}
}

// passLocked gives up what s holds before the block index before.
func (b *Blocks) passLocked(s *stream, before int64) {
	n := sort.Search(len(s.held), func(i int) bool { return s.held[i].idx >= before })
	b.unholdRangeLocked(s, 0, n)
}

// releaseLocked gives up all that s holds.
func (b *Blocks) releaseLocked(s *stream) {
	b.unholdRangeLocked(s, 0, len(s.held))
	s.planned = 0
}

func (b *Blocks) unholdRangeLocked(s *stream, from, to int) {
	gone := append([]*block(nil), s.held[from:to]...)
	kept := append(s.held[:from], s.held[to:]...)
	clear(s.held[len(kept):])
	s.held = kept
	if len(s.held) == 0 && s.elem != nil {
		b.streams.Remove(s.elem)
		s.elem = nil
	}
	for _, blk := range gone {
		b.unholdLocked(blk)
	}
}

// reclaimLocked frees n reserved bytes, or what there is, by giving up ready blocks that streams
// hold, those of the stream not used for longest first. They may still be in the cache. Blocks in
// flight are left alone: they become ready soon, and cancelling them would waste what has arrived.
func (b *Blocks) reclaimLocked(n int64) {
	goal := b.gate.bytes + n
	for e := b.streams.Back(); e != nil && b.gate.bytes < goal; {
		s := e.Value.(*stream)
		e = e.Prev()
		for i := len(s.held) - 1; i >= 0 && b.gate.bytes < goal; i-- {
			if s.held[i].state == blockReady {
				b.unholdRangeLocked(s, i, i+1)
			}
		}
	}
}

// reclaimIdleLocked ends the read-ahead of streams not used for a while, so that it does not keep
// active ones from reading ahead.
func (b *Blocks) reclaimIdleLocked(now time.Time) {
	for e := b.streams.Back(); e != nil; {
		s := e.Value.(*stream)
		if now.Sub(s.used) < idleStream {
			return
		}
		e = e.Prev()
		b.releaseLocked(s)
	}
}

// aheadLimitLocked returns the largest window of a stream: the option, or its share of the budget.
func (b *Blocks) aheadLimitLocked(now time.Time) int64 {
	active := int64(0)
	for e := b.streams.Front(); e != nil && active < maxActiveCount; e = e.Next() {
		s := e.Value.(*stream)
		if now.Sub(s.used) >= idleStream {
			break
		}
		if len(s.held) > 1 && s.reads > 0 { // not what holds a prefetched object
			active++
		}
	}
	return min(b.o.ReadAheadBytes, b.gate.maxBytes/max(active, 1))
}
