package cache

import (
	"io"

	"cosfuse/cache/internal/disk"
)

// seedBatch is the number of blocks given to the cache before it is waited for.
const seedBatch = 16

// Seed offers the content of id, which the caller has at hand because it was just written. It reads
// at most an eighth of the memory budget from the start of src, in the caller's goroutine, and stops
// at the first error: it is a hint.
func (b *Blocks) Seed(id ObjectID, src io.ReaderAt) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.wg.Add(1)
	o := b.objectLocked(id)
	o.users++
	b.mu.Unlock()
	defer b.wg.Done()
	defer b.endSeed(o)
	n := min(b.count(o), b.o.MemoryBytes/8/b.o.BlockBytes)
	for idx := range n {
		if !b.seedBlock(o, idx, src) {
			return
		}
		if idx%seedBatch == seedBatch-1 {
			b.cache.Wait()
		}
	}
}

func (b *Blocks) endSeed(o *object) {
	b.cache.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaveLocked(o)
}

// seedBlock offers one block unless it is known, and reports whether to go on.
func (b *Blocks) seedBlock(o *object, idx int64, src io.ReaderAt) bool {
	size := b.length(o, idx)
	b.mu.Lock()
	if o.table[idx] != nil || o.cached[idx] != nil {
		b.mu.Unlock()
		return true
	}
	buf := b.bufferLocked(size)
	b.mu.Unlock()
	n, err := src.ReadAt(buf, idx*b.o.BlockBytes)
	b.mu.Lock()
	if n < len(buf) || b.closed || o.table[idx] != nil || o.cached[idx] != nil {
		b.putBufferLocked(buf)
		b.mu.Unlock()
		return err == nil && n == len(buf)
	}
	blk := newBlock(o, idx)
	blk.buf, blk.state = buf, blockReady
	close(blk.end)
	b.indexLocked(blk)
	write, fell := b.pinLocked(blk), o.fell
	b.mu.Unlock()
	b.store(blk, size)
	if write {
		b.writeDisk(b.ctx, blk, fell, &disk.Patience{}) // who commits does not wait for the cache
	}
	return true
}
