package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrBodyLength is the error of a fetch that yielded fewer or more bytes than it was asked for.
var ErrBodyLength = errors.New("body length differs from the range asked for")

// Reader reads one object version. It is safe for concurrent use.
type Reader struct {
	b     *Blocks
	obj   *object
	fetch FetchFunc

	verify *verifier // nil without one

	// guarded by Blocks.mu
	closed  bool
	ticks   int64 // reads so far
	streams []*stream
}

// ReadAt fills p from the bytes at off. Like io.ReaderAt it returns io.EOF exactly when the object
// ended before p was full, and any n < len(p) comes with an error. It blocks until the bytes are
// there or ctx ends, in which case it returns ctx.Err(). The error of a fetch is returned as it is;
// it is not remembered, so the next read tries again.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %q: negative offset %d", r.obj.id.Key, off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	want := int(max(min(int64(len(p)), r.obj.id.Size-off), 0))
	n := 0
	for n < want {
		// Steps bound what one read keeps in memory besides the budget.
		step := min(want-n, int(r.b.o.FetchBytes))
		m, err := r.readStep(ctx, p[n:n+step], off+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close gives up the read-ahead that nobody else waits for. Reads under way go on; later ones fail
// with ErrClosed. It does not block.
func (r *Reader) Close() {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	for _, s := range r.streams {
		b.releaseLocked(s)
	}
	r.streams = nil
	b.leaveLocked(r.obj)
	b.admitLocked()
}

// leaveLocked takes a user off o.
func (b *Blocks) leaveLocked(o *object) {
	o.users--
	b.reapLocked(o)
}

// readStep reads [off, off+len(p)), which lies inside the object.
func (r *Reader) readStep(ctx context.Context, p []byte, off int64) (n int, err error) {
	blocks, s, err := r.begin(off, off+int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer func() { r.finish(s, blocks, err == nil) }()
	for i, blk := range blocks {
		if err := await(ctx, blk); err != nil {
			return n, err
		}
		from := int64(0)
		if i == 0 {
			from = off - blk.idx*r.b.o.BlockBytes
		}
		if err := r.verify.check(blk); err != nil {
			r.distrust()
			return n, err
		}
		n += copy(p[n:], blk.buf[from:])
	}
	return n, nil
}

// await waits until blk has landed or failed.
func await(ctx context.Context, blk *block) error {
	select {
	case <-blk.end:
		return blk.err
	default:
	}
	select {
	case <-blk.end:
		return blk.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns the blocks of [off, end), each counted in waits, after making sure that those
// missing, and what is to be read ahead, are being fetched.
func (r *Reader) begin(off, end int64) ([]*block, *stream, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed || b.closed {
		return nil, nil, ErrClosed
	}
	r.obj.users++
	s := r.streamLocked(off, end)
	r.takePrefetchedLocked(s)
	first, last := off/b.o.BlockBytes, (end-1)/b.o.BlockBytes
	target := r.targetLocked(s, last)
	blocks, missed := r.findAllLocked(first, last)
	if missed && s.planned > first {
		s.planned = 0 // what was read ahead is gone again: look anew
	}
	for i := range blocks {
		if blocks[i] == nil {
			r.fetchMissingLocked(s, blocks, i, first, target)
		}
	}
	b.passLocked(s, first-(last-first+1)) // a read that comes out of order may want the ones before
	r.readAheadLocked(s, last+1, target)
	return blocks, s, nil
}

// targetLocked returns the index up to which s is to be read ahead after a read of block last.
func (r *Reader) targetLocked(s *stream, last int64) int64 {
	b := r.b
	if !s.sequential(b.o.BlockBytes) {
		return last + 1
	}
	w := s.window(b.o.BlockBytes, b.aheadLimitLocked(s.used))
	return min(max(ceilDiv(s.next+w, b.o.BlockBytes), last+1), b.count(r.obj))
}

// findAllLocked returns the blocks first to last, nil for those unknown, counting a wait of each.
func (r *Reader) findAllLocked(first, last int64) (blocks []*block, missed bool) {
	b := r.b
	blocks = make([]*block, last-first+1)
	for i := range blocks {
		blk := b.findLocked(r.obj, first+int64(i))
		if blk == nil {
			missed = true
			b.stats.Misses++
			continue
		}
		if blk.state == blockReady {
			b.stats.Hits++
		} else {
			b.stats.Misses++
		}
		b.waitLocked(blk)
		blocks[i] = blk
	}
	return blocks, missed
}

// finish takes the read off its blocks. If it succeeded, the block in which the stream goes on stays,
// so that small reads do not depend on the cache having admitted it.
func (r *Reader) finish(s *stream, blocks []*block, ok bool) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	tail := blocks[len(blocks)-1]
	goesOn := s.next < tail.idx*b.o.BlockBytes+b.length(r.obj, tail.idx)
	if ok && goesOn && !r.closed && slices.Contains(r.streams, s) {
		b.holdLocked(s, tail)
	}
	for _, blk := range blocks {
		b.unwaitLocked(blk)
	}
	b.leaveLocked(r.obj)
	b.admitLocked()
}
