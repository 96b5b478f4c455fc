package cache

import (
	"errors"
	"fmt"
	"sync"
)

// ErrChecksum is the error of the read that completes a whole object whose content is not what its
// checksum says.
var ErrChecksum = errors.New("content differs from the object's checksum")

// maxEarly is the number of blocks that may be read before their turn until a Reader is taken for
// one that does not read everything in order.
const maxEarly = 64

// Checksum is how the checksum of a whole object is made of those of its pieces. Both functions must
// be pure.
type Checksum struct {
	// Of returns the checksum of p; that of nothing is 0.
	Of func(p []byte) uint64
	// Combine returns the checksum of two adjoining pieces, the second of size bytes.
	Combine func(first, second uint64, size int64) uint64
}

// OpenVerified is Open for a Reader that checks the object's checksum once it has read all of it, in
// order but for what several reads at once mix up. want is asked then, must not block, and reports
// false if the service told none. The read that finds a difference fails with ErrChecksum, every
// block of the key is dropped, and the next pass checks again. A Reader that skips about checks
// nothing. Without BlocksOptions.Checksum it is Open.
func (b *Blocks) OpenVerified(id ObjectID, fetch FetchFunc, want func() (sum uint64, ok bool)) *Reader {
	r := b.Open(id, fetch)
	if b.o.Checksum != nil && id.Size > 0 {
		r.verify = &verifier{b: b, want: want}
	}
	return r
}

// verifier combines the checksums of blocks in order. A nil verifier does nothing.
type verifier struct {
	b    *Blocks
	want func() (sum uint64, ok bool)

	mu    sync.Mutex // guards the fields below; a leaf
	over  bool       // checked, or not read in order
	next  int64      // blocks before it are in sum
	sum   uint64
	early map[int64]uint64 // of blocks from next on
}

// active reports whether checksums of blocks are of use.
func (v *verifier) active() bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.over
}

// lacks reports whether the checksum of a block is of use.
func (v *verifier) lacks(idx int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || idx < v.next {
		return false
	}
	_, ok := v.early[idx]
	return !ok
}

// check notes that blk, which the caller keeps, was read. It returns ErrChecksum if that completes
// an object with the wrong content.
func (v *verifier) check(blk *block) error {
	if v == nil || !v.lacks(blk.idx) {
		return nil
	}
	sum := blk.sum
	if !blk.summed {
		sum = v.b.o.Checksum.Of(blk.buf)
	}
	got, complete := v.add(blk.obj, blk.idx, sum)
	if !complete {
		return nil
	}
	if want, ok := v.want(); !ok || got == want {
		return nil
	}
	v.restart()
	return fmt.Errorf("read %q: %w", blk.obj.id.Key, ErrChecksum)
}

// add takes the checksum of a block, and returns that of the object when it has all.
func (v *verifier) add(o *object, idx int64, sum uint64) (total uint64, complete bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || idx < v.next {
		return 0, false
	}
	if v.early == nil {
		v.early = make(map[int64]uint64)
	}
	v.early[idx] = sum
	for {
		sum, ok := v.early[v.next]
		if !ok {
			break
		}
		delete(v.early, v.next)
		v.sum = v.b.o.Checksum.Combine(v.sum, sum, v.b.length(o, v.next))
		v.next++
	}
	complete = v.next == v.b.count(o)
	if complete || len(v.early) > maxEarly {
		v.over, v.early = true, nil
	}
	return v.sum, complete
}

// restart begins a new pass.
func (v *verifier) restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over, v.next, v.sum, v.early = false, 0, 0, nil
}

// distrust forgets what was read of an object whose content is wrong.
func (r *Reader) distrust() {
	b := r.b
	b.mu.Lock()
	for _, s := range r.streams {
		b.releaseLocked(s)
	}
	b.admitLocked()
	b.mu.Unlock()
	b.Drop(r.obj.id.Key)
}
