package cache

// fetchMissingLocked starts one flight for the run of unknown blocks that begins at blocks[i], whose
// index is first+i. A run that reaches the end of the read goes on into the read-ahead if there is
// room: its bytes wake the read as they arrive, and a request is saved.
func (r *Reader) fetchMissingLocked(s *stream, blocks []*block, i int, first, target int64) {
	b := r.b
	from, end := first+int64(i), first+int64(len(blocks))
	most := from + b.o.FetchBytes/b.o.BlockBytes
	to := from + 1
	disk := b.onDisk(r.obj, from)
	for to < min(end, most) && blocks[to-first] == nil && b.onDisk(r.obj, to) == disk {
		to++
	}
	asked := to
	if to == end {
		to = r.runLocked(to, min(target, most, max(to, from+r.chunkLocked(s))), disk)
	}
	var t *ticket
	if to == asked || !b.gate.tryAhead(b.needLocked(r.obj, from, to, disk)) {
		to = asked
		t = b.queueLocked(b.needLocked(r.obj, from, to, disk))
	}
	f := r.newFlightLocked(from, to, !disk, t)
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

// queueLocked admits a read, or returns its place in the queue.
func (b *Blocks) queueLocked(n need) *ticket {
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
		disk := b.onDisk(r.obj, idx)
		to := r.runLocked(idx, min(target, idx+chunk), disk)
		if !b.gate.tryAhead(b.needLocked(r.obj, idx, to, disk)) {
			if reclaimed {
				break
			}
			reclaimed = true
			b.reclaimIdleLocked(s.used)
			continue
		}
		f := r.newFlightLocked(idx, to, !disk, nil)
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

// runLocked returns the end of the run of blocks, unknown and on disk or not as disk says, that
// begins at from and ends at limit at the latest.
func (r *Reader) runLocked(from, limit int64, disk bool) int64 {
	for from < limit && !r.knownLocked(from) && r.b.onDisk(r.obj, from) == disk {
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

// needLocked returns what a flight of the blocks [from, to) needs, which are on disk or not.
func (b *Blocks) needLocked(o *object, from, to int64, disk bool) need {
	n := need{bytes: min(to*b.o.BlockBytes, o.id.Size) - from*b.o.BlockBytes, conns: 1}
	if disk {
		n.conns = 0
	}
	return n
}
