package disk

// index finds blocks by hash and by key. Slots are numbers instead of pointers to keep a million of
// them small and out of the garbage collector's way. Guarded by Store.mu.
type index struct {
	table map[uint64]uint32 // slot by hash of the block
	keys  map[uint64]uint32 // first slot of the chain by hash of the key
	slots []slot            // slot 0 is none
	free  []uint32
}

// slot is one block. All blocks of one key are of one version.
type slot struct {
	entry
	seg        uint32 // 0 = free
	next, prev uint32 // in the chain of the key
	used       bool   // read since it was written
}

func newIndex() index {
	return index{table: make(map[uint64]uint32), keys: make(map[uint64]uint32), slots: make([]slot, 1)}
}

// find returns the slot of a block, 0 if it is unknown.
func (x *index) find(hash uint64) uint32 { return x.table[hash] }

// add notes that segment seg has e, in place of what was known of that block and of any other
// version of the key. It returns the slot.
func (x *index) add(seg uint32, e entry) uint32 {
	if id := x.table[e.hash]; id != 0 {
		x.remove(id)
	}
	x.keep(e.key, e.version)
	id := x.take()
	head := x.keys[e.key]
	x.slots[id] = slot{entry: e, seg: seg, next: head}
	if head != 0 {
		x.slots[head].prev = id
	}
	x.keys[e.key] = id
	x.table[e.hash] = id
	return id
}

func (x *index) take() uint32 {
	if n := len(x.free); n > 0 {
		id := x.free[n-1]
		x.free = x.free[:n-1]
		return id
	}
	x.slots = append(x.slots, slot{})
	return uint32(len(x.slots) - 1)
}

// keep removes every version of the key but one, and returns what was removed.
func (x *index) keep(key uint64, version uint32) []slot {
	if head := x.keys[key]; head != 0 && x.slots[head].version != version {
		return x.removeKey(key)
	}
	return nil
}

// removeKey removes all blocks of a key and returns them.
func (x *index) removeKey(key uint64) []slot {
	var gone []slot
	for id := x.keys[key]; id != 0; id = x.keys[key] {
		gone = append(gone, x.slots[id])
		x.remove(id)
	}
	return gone
}

func (x *index) remove(id uint32) {
	s := x.slots[id]
	delete(x.table, s.hash)
	if s.next != 0 {
		x.slots[s.next].prev = s.prev
	}
	switch {
	case s.prev != 0:
		x.slots[s.prev].next = s.next
	case s.next != 0:
		x.keys[s.key] = s.next
	default:
		delete(x.keys, s.key)
	}
	x.slots[id] = slot{}
	x.free = append(x.free, id)
}

// in reports whether the slot is in use by a block of segment seg.
func (x *index) in(id, seg uint32) bool { return x.slots[id].seg == seg }

// blocks returns the number of blocks.
func (x *index) blocks() int { return len(x.table) }
