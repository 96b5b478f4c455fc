package cache

// fetchMissingLocked starts one flight for the run of unknown blocks that begins at blocks[i], whose
// index is first+i. A run that reaches the end of the read goes on into the read-ahead if there is
// room: its bytes wake the read as they arrive, and a request is saved.
func (r *Reader) fetchMissingLocked(s *stream, blocks []*block, i int, first, target int64) {
	b := r.b
	from, end := first+int64(i), first+int64(len(blocks))
	most := from + b.o.FetchBytes/b.o.BlockBytes
	to := from + 1
	for to < min(end, most) && blocks[to-first] == nil {
		to++
	}
	asked := to
	if to == end {
		to = r.runLocked(to, min(target, most, max(to, from+r.chunkLocked(s))))
	}
	var t *ticket
	if to == asked || !b.gate.tryAhead(b.bytesLocked(r.obj, from, to)) {
		to = asked
		t = b.queueLocked(b.bytesLocked(r.obj, from, to))
	}
	f := b.newFlightLocked(r.obj, from, to, r.fetch, t)
	for _, blk := range f.blocks {
		if blk.idx < asked {
			blocks[blk.idx-first] = blk
			b.waitLocked(blk)
			continue
		}
		blk.ahead = true
		b.holdLocked(s, blk)
	}
	if to > asked {
		s.planned = max(s.planned, to)
	}
}

// queueLocked admits a read of n bytes, or returns its place in the queue.
func (b *Blocks) queueLocked(n int64) *ticket {
	if b.gate.tryRead(n) {
		return nil
	}
	t := b.gate.enqueue(n)
	b.admitLocked()
	return t
}

// readAheadLocked starts flights for the unknown blocks between from and target, as far as the gate
// admits them; the next read of the stream tries again. It waits until a fetch of a sensible size
// can be made of them.
func (r *Reader) readAheadLocked(s *stream, from, target int64) {
	b := r.b
	idx := max(from, s.planned)
	chunk := r.chunkLocked(s)
	worth := min(chunk, max((target-from)/2, 1))
	if target <= idx || (idx > from && target-idx < worth && target < b.count(r.obj)) {
		return
	}
	reclaimed := false
	for idx < target {
		if r.knownLocked(idx) {
			r.keepLocked(s, idx)
			idx++
			continue
		}
		to := r.runLocked(idx, min(target, idx+chunk))
		n := b.bytesLocked(r.obj, idx, to)
		if !b.gate.tryAhead(n) {
			if reclaimed {
				break
			}
			reclaimed = true
			b.reclaimIdleLocked(s.used)
			continue
		}
		f := b.newFlightLocked(r.obj, idx, to, r.fetch, nil)
		for _, blk := range f.blocks {
			blk.ahead = true
			b.holdLocked(s, blk)
		}
		idx = to
	}
	s.planned = max(s.planned, idx)
}

// keepLocked holds a known block for s if it is in flight or in use. One that only the cache has
// stays the cache's: holding it would count its bytes twice.
func (r *Reader) keepLocked(s *stream, idx int64) {
	if blk, ok := r.obj.table[idx]; ok {
		r.b.holdLocked(s, blk)
	}
}

// knownLocked reports whether a block is in memory or in flight.
func (r *Reader) knownLocked(idx int64) bool {
	if _, ok := r.obj.table[idx]; ok {
		return true
	}
	_, ok := r.obj.cached[idx]
	return ok
}

// runLocked returns the end of the run of unknown blocks that begins at from and ends at limit at
// the latest.
func (r *Reader) runLocked(from, limit int64) int64 {
	for from < limit && !r.knownLocked(from) {
		from++
	}
	return from
}

// chunkLocked returns the blocks of one read-ahead fetch: the window's share for each connection that
// read-ahead may use, because a service limits what one connection carries, but not less than is
// worth a connection of its own, nor a piece of the budget so large that it seldom fits.
func (r *Reader) chunkLocked(s *stream) int64 {
	b := r.b
	w := s.window(b.o.BlockBytes, b.o.ReadAheadBytes)
	size := max(w/int64(b.gate.aheadConns()), minSplit)
	return max(min(size, b.o.FetchBytes, b.gate.maxBytes/8)/b.o.BlockBytes, 1)
}

// bytesLocked returns the bytes of the blocks [from, to).
func (b *Blocks) bytesLocked(o *object, from, to int64) int64 {
	return min(to*b.o.BlockBytes, o.id.Size) - from*b.o.BlockBytes
}
