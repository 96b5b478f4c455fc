package cache

import (
	"context"
	"sync"
)

// warmFetches is the number of fetches that one Warm has under way.
const warmFetches = 4

// Warm brings the whole object into the disk cache or, without one, into memory as far as that
// takes it, and waits until it is there. Blocks on disk are not read again. It calls progress, if
// not nil, as bytes become done, from one goroutine at a time. It ends with the first error, ctx's
// among them. The cache may give up some of what it brought at any time, and does so at once if the
// object is larger than the cache.
func (b *Blocks) Warm(ctx context.Context, id ObjectID, fetch FetchFunc, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := b.Open(id, fetch)
	defer r.Close()
	w := warming{r: r, report: progress}
	var wg sync.WaitGroup
	for range warmFetches {
		wg.Go(func() {
			if err := w.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// warming is one Warm.
type warming struct {
	r      *Reader
	report func(done, total int64)

	mu   sync.Mutex // guards the fields below; held while report runs, so that it sees done grow
	next int64      // block from which on nothing was begun
	done int64      // bytes
}

// run warms piece after piece until none is left.
func (w *warming) run(ctx context.Context) error {
	b, o := w.r.b, w.r.obj
	piece := b.o.FetchBytes / b.o.BlockBytes
	for ctx.Err() == nil {
		w.mu.Lock()
		first := w.next
		last := min(first+piece, b.count(o)) - 1
		w.next = last + 1
		w.mu.Unlock()
		if first > last {
			return nil
		}
		if err := w.r.warmPiece(ctx, first, last); err != nil {
			return err
		}
		w.advance(min((last+1)*b.o.BlockBytes, o.id.Size) - first*b.o.BlockBytes)
	}
	return ctx.Err()
}

func (w *warming) advance(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += n
	if w.report != nil {
		w.report(w.done, w.r.obj.id.Size)
	}
}

// warmPiece brings the blocks first to last, and has those written that the disk had no time for.
func (r *Reader) warmPiece(ctx context.Context, first, last int64) error {
	for first <= last && r.b.onDisk(r.obj, first) {
		first++
	}
	for first <= last && r.b.onDisk(r.obj, last) {
		last--
	}
	if first > last {
		return nil
	}
	blocks, err := r.beginWarm(first, last)
	if err != nil {
		return err
	}
	defer r.finishWarm(blocks)
	for _, blk := range blocks {
		if err := await(ctx, blk); err != nil {
			return err
		}
		if b := r.b; b.disk != nil && !b.onDisk(r.obj, blk.idx) {
			b.disk.PutWait(r.obj.disk, blk.idx, blk.buf)
		}
	}
	return nil
}

// beginWarm is begin without a stream: what is warmed is not a sequence that goes on.
func (r *Reader) beginWarm(first, last int64) ([]*block, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	blocks, _ := r.findAllLocked(first, last)
	for i := range blocks {
		if blocks[i] == nil {
			r.fetchMissingLocked(&stream{}, blocks, i, first, last+1)
		}
	}
	return blocks, nil
}

func (r *Reader) finishWarm(blocks []*block) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, blk := range blocks {
		b.unwaitLocked(blk)
	}
	b.admitLocked()
}
