package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cosfuse/cache/internal/disk"
)

const (
	maxResumes    = 16  // of one flight, each after at least one byte of progress
	maxEmptyReads = 100 // of a body, in a row, before it counts as stuck
)

// flight brings consecutive blocks, by one fetch or from disk.
type flight struct {
	obj    *object
	blocks []*block
	off    int64 // of the first block's first byte in the object
	size   int64 // bytes
	fetch  FetchFunc
	cancel context.CancelFunc
	ticket *ticket        // place in the queue; nil if the flight was admitted at once
	conn   bool           // it has a connection once admitted; used by its goroutine alone
	sum    bool           // who reads the blocks wants their checksums
	wait   *disk.Patience // left for the disk to take the blocks; used by its goroutine alone

	// guarded by Blocks.mu
	wanted    int  // pending blocks that a read or a stream wants
	cancelled bool // its pending blocks are in no table
	discard   bool // dropped meanwhile: do not cache
}

// newFlightLocked puts the blocks [from, to), none of which is known, in the table as pending
// and starts to fetch them. The caller counts itself in waits or holds of at least one of them
// before it unlocks. A nil ticket means that the gate has admitted it, with a connection or without.
func (r *Reader) newFlightLocked(from, to int64, conn bool, t *ticket) *flight {
	b, o := r.b, r.obj
	f := &flight{
		obj: o, off: from * b.o.BlockBytes, fetch: r.fetch, ticket: t, conn: conn, sum: r.verify.active(),
		wait: b.patience(),
	}
	f.size = min(to*b.o.BlockBytes, o.id.Size) - f.off
	ctx, cancel := context.WithCancel(b.ctx)
	f.cancel = cancel
	f.blocks = make([]*block, 0, to-from)
	for idx := from; idx < to; idx++ {
		blk := newBlock(o, idx)
		blk.flight = f
		b.tableLocked(blk)
		f.blocks = append(f.blocks, blk)
	}
	if t == nil {
		b.equipLocked(f)
	}
	b.wg.Go(func() { b.fly(ctx, f) })
	return f
}

// equipLocked gives an admitted flight's blocks their buffers and notes what they occupy.
func (b *Blocks) equipLocked(f *flight) {
	for _, blk := range f.blocks {
		n := b.length(f.obj, blk.idx)
		blk.reserved = n
		blk.buf = b.bufferLocked(n)
	}
}

// fly waits for admission, brings the blocks, and fails what did not arrive. ctx ends with Blocks, or when
// nobody wants a pending block any more.
func (b *Blocks) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	if err := b.board(ctx, f); err != nil {
		b.fail(f, err)
		return
	}
	err := b.fill(ctx, f)
	if f.conn {
		b.mu.Lock()
		b.gate.hangUp()
		b.mu.Unlock()
	}
	b.fail(f, err)
	// Sets queue inside the cache without a bound in bytes; waiting here gives them one.
	b.cache.Wait()
}

// board waits until the gate admits the flight.
func (b *Blocks) board(ctx context.Context, f *flight) error {
	if f.ticket == nil {
		return nil
	}
	if err := b.waitTurn(ctx, f.ticket); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.equipLocked(f)
	return nil
}

// waitTurn waits for the ticket. After an error, the caller lets the gate serve whoever queued behind.
func (b *Blocks) waitTurn(ctx context.Context, t *ticket) error {
	select {
	case <-t.admitted:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gate.giveUp(t) {
		return ctx.Err()
	}
	return nil
}

// fill takes the flight's blocks from disk where it has them, and fetches the others.
func (b *Blocks) fill(ctx context.Context, f *flight) error {
	for i := 0; i < len(f.blocks); {
		if b.readDisk(f.blocks[i]) {
			if !b.land(ctx, f, f.blocks[i], false) {
				return context.Canceled
			}
			i++
			continue
		}
		to := i + 1
		for to < len(f.blocks) && !b.onDisk(f.obj, f.blocks[to].idx) {
			to++
		}
		if err := b.connect(ctx, f); err != nil {
			return err
		}
		if err := b.transfer(ctx, f, i, to); err != nil {
			return err
		}
		i = to
	}
	return nil
}

// connect gets a connection for a flight that was to be read from disk, and could not.
func (b *Blocks) connect(ctx context.Context, f *flight) error {
	if f.conn {
		return nil
	}
	b.mu.Lock()
	t := b.gate.enqueueFirst()
	b.admitLocked()
	b.mu.Unlock()
	if err := b.waitTurn(ctx, t); err != nil {
		return err
	}
	f.conn = true
	return nil
}

// transfer fetches the flight's blocks [from, to), resuming as BlocksOptions.Resume allows.
func (b *Blocks) transfer(ctx context.Context, f *flight, from, to int) error {
	pos, end := int64(from)*b.o.BlockBytes, min(int64(to)*b.o.BlockBytes, f.size)
	for resumes := 0; ; resumes++ {
		start := pos
		err := b.attempt(ctx, f, &pos, end)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if pos == start || pos == end || resumes == maxResumes || b.o.Resume == nil || !b.o.Resume(err) {
			return err
		}
	}
}

// attempt fetches from pos on, advances it by what arrived, and lands each block that is full, up to
// end. The last block lands only after the body ended where it should, because that is when a reader tells
// of a checksum that does not match.
func (b *Blocks) attempt(ctx context.Context, f *flight, pos *int64, end int64) error {
	b.mu.Lock()
	b.stats.Fetches++
	b.mu.Unlock()
	watch := stopwatch{b: b, start: time.Now()}
	body, err := f.fetch(ctx, f.off+*pos, end-*pos)
	if err != nil {
		return err
	}
	defer body.Close() // nothing was written, and what was read has been judged
	for *pos < end {
		i := *pos / b.o.BlockBytes
		blk := f.blocks[i]
		n, err := readSome(body, blk.buf[*pos-i*b.o.BlockBytes:])
		*pos += int64(n)
		b.countFetched(n)
		watch.size += int64(n)
		full := *pos-i*b.o.BlockBytes == int64(len(blk.buf))
		if full && *pos < end && !b.land(ctx, f, blk, true) {
			return context.Canceled
		}
		if err == io.EOF {
			watch.stop()
			return b.finishBody(ctx, f, *pos, end, nil)
		}
		if err != nil {
			return err
		}
	}
	watch.stop()
	return b.finishBody(ctx, f, *pos, end, expectEOF(body))
}

// finishBody lands the last block of a body that ended after pos of the flight's bytes, where end was
// asked for.
func (b *Blocks) finishBody(ctx context.Context, f *flight, pos, end int64, err error) error {
	if err == nil && pos < end {
		err = ErrBodyLength
	}
	if errors.Is(err, ErrBodyLength) {
		return fmt.Errorf("bytes up to %d of %q: %w", f.off+end, f.obj.id.Key, err)
	}
	if err != nil {
		return err
	}
	if !b.land(ctx, f, f.blocks[(end-1)/b.o.BlockBytes], true) {
		return context.Canceled
	}
	return nil
}

// readSome reads at least one byte or returns an error.
func readSome(r io.Reader, p []byte) (int, error) {
	for range maxEmptyReads {
		if n, err := r.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// expectEOF returns nil if r has ended, and the reader's own error if it has one.
func expectEOF(r io.Reader) error {
	var one [1]byte
	n, err := readSome(r, one[:])
	switch {
	case n > 0:
		return ErrBodyLength
	case err == io.EOF:
		return nil
	}
	return err
}

func (b *Blocks) countFetched(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.FetchedBytes += int64(n)
}

// land makes blk ready, wakes its reads and offers it to the cache, and to disk if it was fetched, for
// which it may have to wait. It reports whether the flight is still wanted.
func (b *Blocks) land(ctx context.Context, f *flight, blk *block, fetched bool) bool {
	size := int64(len(blk.buf))
	if f.sum {
		blk.sum, blk.summed = b.o.Checksum.Of(blk.buf), true
	}
	b.mu.Lock()
	if f.cancelled {
		b.mu.Unlock()
		return false
	}
	wanted := blk.waits+blk.holds > 0
	keep := !f.discard
	blk.state, blk.flight = blockReady, nil
	write, fell := false, blk.obj.fell
	if keep {
		b.indexLocked(blk)
		write = fetched && b.pinLocked(blk)
	}
	close(blk.end)
	b.reviewLocked(blk)
	if wanted {
		f.wanted--
	}
	last := blk == f.blocks[len(f.blocks)-1]
	if !last {
		b.cancelUnwantedLocked(f)
	}
	b.admitLocked()
	goOn := last || !f.cancelled
	b.mu.Unlock()
	if keep {
		b.store(blk, size)
	}
	if write {
		b.writeDisk(ctx, blk, fell, f.wait)
	}
	return goOn
}

// fail ends the flight's pending blocks, if any, with err.
func (b *Blocks) fail(f *flight, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = ErrClosed
	}
	for _, blk := range f.blocks {
		if blk.state != blockPending {
			continue
		}
		blk.state, blk.flight, blk.err = blockFailed, nil, err
		b.untableLocked(blk)
		b.gate.free(blk.reserved)
		blk.reserved = 0
		if blk.buf != nil {
			b.putBufferLocked(blk.buf)
			blk.buf = nil
		}
		close(blk.end)
		b.unprefetchLocked(f.obj) // it is not whole any more
	}
	b.reapLocked(f.obj)
	b.admitLocked()
}

// cancelUnwantedLocked ends the flight if no pending block of it is wanted. Its blocks leave the
// table at once, so that a later read does not join a flight that is going to fail.
func (b *Blocks) cancelUnwantedLocked(f *flight) {
	if f.wanted > 0 || f.cancelled {
		return
	}
	f.cancelled = true
	f.cancel()
	for _, blk := range f.blocks {
		if blk.state == blockPending {
			b.untableLocked(blk)
		}
	}
}

// admitLocked serves the queue of reads.
func (b *Blocks) admitLocked() { b.gate.admit(b.reclaimLocked) }
