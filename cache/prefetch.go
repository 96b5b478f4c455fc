package cache

import (
	"slices"
	"time"
)

// prefetchShare is the part of the memory for bytes in flight and read ahead that one object may
// take when it is prefetched.
const prefetchShare = 8

// Prefetch fetches the whole object in the background, so that a Reader opened soon finds it in
// memory or joins the fetch. It reports false, and does nothing, if the object is larger than one
// fetch or an eighth of the memory for read-ahead, or if there is no memory or connection to spare
// now. What nobody reads gives way to other read-ahead after a second, and to reads at once. The
// fetch ends with the Blocks or when it has given way. Prefetch is cheap, also for an object that
// is there already, and does not block.
func (b *Blocks) Prefetch(id ObjectID, fetch FetchFunc) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || id.Size > min(b.o.FetchBytes, b.gate.maxBytes/prefetchShare) || b.o.ReadAheadBytes < 0 {
		return false
	}
	o := b.objectLocked(id)
	o.users++
	defer b.leaveLocked(o)
	if o.prefetched == nil {
		o.prefetched = &stream{}
	}
	o.prefetched.used = time.Now()
	if e := o.prefetched.elem; e != nil {
		b.streams.MoveToFront(e)
	}
	r := &Reader{b: b, obj: o, fetch: fetch}
	return r.prefetchLocked(o.prefetched)
}

// prefetchLocked starts flights for the blocks that are neither in memory nor on disk.
func (r *Reader) prefetchLocked(s *stream) bool {
	b, count := r.b, r.b.count(r.obj)
	for idx := int64(0); idx < count; {
		if r.knownLocked(idx) || b.onDisk(r.obj, idx) {
			r.keepLocked(s, idx)
			idx++
			continue
		}
		to := r.runLocked(idx, count, false)
		n := b.needLocked(r.obj, idx, to, false)
		if !b.gate.tryAhead(n) {
			b.reclaimIdleLocked(s.used)
			if !b.gate.tryAhead(n) {
				b.releaseLocked(s)
				return false
			}
		}
		f := r.newFlightLocked(idx, to, true, nil)
		for _, blk := range f.blocks {
			blk.ahead = true
			b.holdLocked(s, blk)
		}
		idx = to
	}
	return true
}

// unprefetchLocked gives up what was prefetched of o. It may reap o.
func (b *Blocks) unprefetchLocked(o *object) {
	if p := o.prefetched; p != nil {
		o.prefetched = nil
		b.releaseLocked(p)
	}
}

// takePrefetchedLocked hands what was prefetched to the first stream that reads of the object.
func (r *Reader) takePrefetchedLocked(s *stream) {
	p := r.obj.prefetched
	if p == nil {
		return
	}
	r.obj.prefetched = nil
	for _, blk := range slices.Clone(p.held) {
		r.b.holdLocked(s, blk)
	}
	if n := len(s.held); n > 0 {
		s.planned = max(s.planned, s.held[n-1].idx+1)
	}
	r.b.releaseLocked(p)
}
