package writeback

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"cosfuse/writeback/extent"
)

// budget bounds the bytes in staging files. Writers are held back at the limit while something that frees
// space is under way, and fail with ErrStagingFull otherwise: at write, where the application can act.
type budget struct {
	limit int64 // 0 = none

	mu    sync.Mutex // guards the fields below; a leaf
	used  int64
	freed chan struct{} // closed when used shrinks, or work that may shrink it ended
}

// take counts n more bytes.
func (b *budget) take(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
}

// give counts n bytes less and wakes those who wait for room.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// full returns a channel to wait on if n more bytes do not fit, else nil.
func (b *budget) full(n int64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit == 0 || b.used+n <= b.limit {
		return nil
	}
	return b.freedLocked()
}

// next returns a channel that is closed when space is freed from now on.
func (b *budget) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.freedLocked()
}

func (b *budget) freedLocked() <-chan struct{} {
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// StagedBytes is what staging files hold, and the most they may.
func (s *Store) StagedBytes() (used, limit int64) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return s.budget.used, s.budget.limit
}

// roomPatience is how long a writer waits without any space being freed.
const roomPatience = 30 * time.Second

// makeRoom waits until n more bytes of f may be staged. On a disk that is full isDiskFull is true of the error.
func (s *Store) makeRoom(f *File, n int64) error {
	if s.journal.Tight() {
		return fmt.Errorf("%w: %w", ErrStagingFull, syscall.ENOSPC)
	}
	for {
		freed := s.budget.full(n)
		if freed == nil {
			return nil
		}
		if err := s.freeRoom(f, freed); err != nil {
			return err
		}
	}
}

// isDiskFull reports whether staging failed for want of disk space, whatever the limit is.
func isDiskFull(err error) bool {
	return errors.Is(err, ErrStagingFull) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// freeRoom frees staging space for f, or waits until freed is closed. Clean bytes are dropped first; then
// parts of f that were sent early give up their place; then commits under way are waited for.
func (s *Store) freeRoom(f *File, freed <-chan struct{}) error {
	if s.reclaim() || f.punch() {
		return nil
	}
	if !s.freeing(f) {
		return fmt.Errorf("%w: nothing is on its way to the bucket", ErrStagingFull)
	}
	timer := time.NewTimer(roomPatience)
	defer timer.Stop()
	select {
	case <-freed:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: nothing was freed for %v", ErrStagingFull, roomPatience)
	case <-s.ctx.Done():
		return ErrClosed
	}
}

// reclaim drops staged bytes that COS has too, and reports whether there were any.
func (s *Store) reclaim() bool {
	s.mu.Lock()
	files := s.filesLocked("")
	s.mu.Unlock()
	any := false
	for _, f := range files {
		f.mu.Lock()
		if !f.committing {
			any = f.dropCleanLocked() || any
		}
		f.mu.Unlock()
	}
	return any
}

// dropCleanLocked removes the staging files that hold no dirty byte.
func (f *File) dropCleanLocked() bool {
	dirty := make(map[uint32]bool)
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Staged && e.Dirty {
			dirty[e.Src] = true
		}
	}
	if len(dirty) == len(f.stage) {
		return false
	}
	f.ext.Change(func(e extent.Extent) extent.Extent {
		if e.Kind == extent.Staged && !dirty[e.Src] {
			return extent.Extent{Off: e.Off, End: e.End, Kind: extent.Base, SrcOff: e.Off}
		}
		return e
	})
	if !dirty[f.cur] {
		f.cur = 0
	}
	n := len(f.stage)
	f.sweepStagingLocked()
	return len(f.stage) < n
}

// freeing reports whether work is under way that will free space: a commit, a queued one, which is
// started now, or an early part of f.
func (s *Store) freeing(f *File) bool {
	if s.lazy.hurry() {
		return true
	}
	f.mu.Lock()
	early := f.early != nil && f.early.inFlight > 0
	f.mu.Unlock()
	if early {
		return true
	}
	s.mu.Lock()
	files := s.filesLocked("")
	s.mu.Unlock()
	for _, g := range files {
		g.mu.Lock()
		busy := g.committing
		g.mu.Unlock()
		if busy {
			return true
		}
	}
	return false
}
