package cache

import (
	"hash/maphash"

	"cosfuse/cache/internal/disk"
)

// blockOverhead is what a cached block costs besides its bytes: maps, struct, channel.
const blockOverhead = 512

// object is one ObjectID that has open readers or blocks in memory. Its fields after id and hash are
// guarded by Blocks.mu.
type object struct {
	id   ObjectID
	hash uint64
	born int64        // counts objects: the greater, the later
	fell int64        // how often the key was dropped
	pins int          // blocks on their way to disk
	disk *disk.Object // nil without a disk cache

	users  int              // readers open and reads under way
	table  map[int64]*block // by index: in flight, being read, or held for a stream
	cached map[int64]*block // by index: given to the cache and not yet returned by it, or on their way to disk

	prefetched *stream // holds what Prefetch brought until a Reader takes it; or nil
}

// blockState says how far a block is.
type blockState int

const (
	blockPending blockState = iota // its flight is queued or under way
	blockReady                     // buf is complete and will not change while in use
	blockFailed                    // err says why; it is in no map
)

// block is one unit of an object. Its buffer goes back to the free list once it is neither in the
// object's table nor in its cached map, so that whoever reads buf must keep it in the table by
// counting in waits or holds, or pin it.
type block struct {
	obj *object
	idx int64
	buf []byte        // nil until its flight was admitted
	err error         // written before end closes
	end chan struct{} // closed when the block is ready or failed

	sum    uint64 // checksum of buf if summed; written before end closes
	summed bool

	// guarded by Blocks.mu
	state    blockState
	flight   *flight // while pending
	waits    int     // reads that need it
	holds    int     // streams that keep it
	reserved int64   // bytes of the gate's budget it occupies
	inTable  bool
	cached   bool // the cache has it
	pinned   bool // on its way to disk
	ahead    bool // fetched by read-ahead and not read so far
}

func newBlock(o *object, idx int64) *block {
	return &block{obj: o, idx: idx, end: make(chan struct{})}
}

// hashObject spreads objects over the cache's 64-bit keys. A collision costs a cache miss, never a
// wrong answer, because blocks are found through their object.
func hashObject(seed maphash.Seed, id ObjectID) uint64 { return maphash.Comparable(seed, id) }

// key is the block's key in the cache. The mixing matters: the cache shards by the low bits.
func (blk *block) key() uint64 { return blockKey(blk.obj, blk.idx) }

func blockKey(o *object, idx int64) uint64 {
	x := o.hash + uint64(idx)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// objectLocked returns the object of id, making it if need be.
func (b *Blocks) objectLocked(id ObjectID) *object {
	if o, ok := b.objects[id]; ok {
		return o
	}
	b.born++
	o := &object{
		id:     id,
		hash:   hashObject(b.seed, id),
		born:   b.born,
		table:  make(map[int64]*block),
		cached: make(map[int64]*block),
	}
	if b.disk != nil {
		o.disk = disk.NewObject(id.Key, id.ETag, id.Size, b.o.BlockBytes)
		b.disk.Keep(o.disk)
	}
	b.objects[id] = o
	b.versions[id.Key] = append(b.versions[id.Key], o)
	return o
}

// reapLocked forgets o if nothing refers to it.
func (b *Blocks) reapLocked(o *object) {
	if o.users > 0 || o.pins > 0 || len(o.table) > 0 || len(o.cached) > 0 || b.objects[o.id] != o {
		return
	}
	delete(b.objects, o.id)
	rest := b.versions[o.id.Key]
	for i, v := range rest {
		if v == o {
			rest[i] = rest[len(rest)-1]
			rest[len(rest)-1] = nil
			rest = rest[:len(rest)-1]
			break
		}
	}
	if len(rest) == 0 {
		delete(b.versions, o.id.Key)
		return
	}
	b.versions[o.id.Key] = rest
}

// count returns the number of blocks of an object.
func (b *Blocks) count(o *object) int64 { return ceilDiv(o.id.Size, b.o.BlockBytes) }

// length returns the number of bytes of the block: the last one is short.
func (b *Blocks) length(o *object, idx int64) int64 {
	return min(b.o.BlockBytes, o.id.Size-idx*b.o.BlockBytes)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// findLocked returns the block if it is in memory or in flight, else nil. It counts as a use for the
// cache's admission policy. The block is in the table and leaves it at the next reviewLocked unless
// the caller counts itself in waits or holds.
func (b *Blocks) findLocked(o *object, idx int64) *block {
	if blk, ok := o.table[idx]; ok {
		return blk
	}
	b.cache.Get(blockKey(o, idx)) // for the policy alone: o.cached knows what is there
	blk, ok := o.cached[idx]
	if !ok {
		return nil
	}
	b.tableLocked(blk)
	return blk
}

func (b *Blocks) tableLocked(blk *block) {
	blk.obj.table[blk.idx] = blk
	blk.inTable = true
}

func (b *Blocks) untableLocked(blk *block) {
	if !blk.inTable {
		return
	}
	blk.inTable = false
	delete(blk.obj.table, blk.idx)
}

// waitLocked counts a read that needs blk.
func (b *Blocks) waitLocked(blk *block) {
	blk.waits++
	b.wantLocked(blk)
	if blk.ahead {
		blk.ahead = false
		b.stats.AheadUsedBytes += b.length(blk.obj, blk.idx)
	}
}

// unwaitLocked takes such a read off.
func (b *Blocks) unwaitLocked(blk *block) {
	blk.waits--
	b.unwantLocked(blk)
	b.reviewLocked(blk)
}

// unholdLocked takes a stream off.
func (b *Blocks) unholdLocked(blk *block) {
	blk.holds--
	b.unwantLocked(blk)
	if blk.holds == 0 && blk.ahead {
		blk.ahead = false
		if blk.state == blockReady {
			b.stats.AheadWasteBytes += int64(len(blk.buf))
		}
	}
	b.reviewLocked(blk)
}

// wantLocked tells the flight, when blk became wanted by its first read or stream.
func (b *Blocks) wantLocked(blk *block) {
	if blk.state == blockPending && blk.waits+blk.holds == 1 {
		blk.flight.wanted++
	}
}

// unwantLocked tells the flight when blk lost its last read or stream.
func (b *Blocks) unwantLocked(blk *block) {
	if blk.state != blockPending || blk.waits+blk.holds > 0 {
		return
	}
	blk.flight.wanted--
	b.cancelUnwantedLocked(blk.flight)
}

// reviewLocked frees what a ready block no longer needs. The reservation goes as soon as no stream
// holds the block: bytes that a read is copying are bounded by that read's own buffer, and counting
// them would let reads that wait for one another's memory deadlock.
func (b *Blocks) reviewLocked(blk *block) {
	if blk.state != blockReady || blk.holds > 0 {
		return
	}
	b.gate.free(blk.reserved)
	blk.reserved = 0
	if blk.waits > 0 {
		return
	}
	b.untableLocked(blk)
	b.recycleLocked(blk)
}

// recycleLocked puts the buffer of a block nobody can reach on the free list.
func (b *Blocks) recycleLocked(blk *block) {
	if blk.inTable || blk.cached || blk.pinned {
		return
	}
	if blk.obj.cached[blk.idx] == blk {
		delete(blk.obj.cached, blk.idx)
	}
	b.putBufferLocked(blk.buf)
	blk.buf = nil
	b.reapLocked(blk.obj)
}

// exit is called by the cache for a block that it gave up or refused. The cache is never called
// with Blocks.mu held, except Get, which does not call back.
func (b *Blocks) exit(blk *block) {
	if blk == nil {
		return // the cache reports deletions of keys it does not have
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !blk.cached {
		return
	}
	blk.cached = false
	b.stats.CachedBytes -= int64(len(blk.buf))
	if blk.obj.cached[blk.idx] == blk && !blk.pinned {
		delete(blk.obj.cached, blk.idx)
	}
	b.recycleLocked(blk)
}

// indexLocked notes that blk is about to be given to the cache with store.
func (b *Blocks) indexLocked(blk *block) {
	blk.cached = true
	blk.obj.cached[blk.idx] = blk
	b.stats.CachedBytes += int64(len(blk.buf))
}

// store gives blk to the cache, which may refuse it now or later.
func (b *Blocks) store(blk *block, size int64) {
	if !b.cache.Set(blk.key(), blk, size+blockOverhead) {
		b.exit(blk)
	}
}

// bufferLocked returns a buffer of n bytes with any content.
func (b *Blocks) bufferLocked(n int64) []byte {
	if n == b.o.BlockBytes && len(b.free) > 0 {
		buf := b.free[len(b.free)-1]
		b.free = b.free[:len(b.free)-1]
		return buf
	}
	return make([]byte, n)
}

// putBufferLocked keeps a buffer for reuse, a sixteenth of the budget at most.
func (b *Blocks) putBufferLocked(buf []byte) {
	if int64(len(buf)) == b.o.BlockBytes && int64(len(b.free)) < b.o.MemoryBytes/16/b.o.BlockBytes {
		b.free = append(b.free, buf)
	}
}
