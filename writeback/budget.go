package writeback

import (
	"fmt"
	"sync"
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

// makeRoom waits until n more bytes of f may be staged. Clean bytes are dropped first; then commits under
// way are waited for; then parts of f that were sent early give up their place.
func (s *Store) makeRoom(f *File, n int64) error {
	var timer *time.Timer
	for {
		freed := s.budget.full(n)
		if freed == nil {
			return nil
		}
		if s.reclaim() || f.punch() {
			continue
		}
		if !s.freeing(f) {
			return fmt.Errorf("%w: the limit is %d bytes", ErrStagingFull, s.budget.limit)
		}
		if timer == nil {
			timer = time.NewTimer(roomPatience)
			defer timer.Stop()
		}
		timer.Reset(roomPatience)
		select {
		case <-freed:
		case <-timer.C:
			return fmt.Errorf("%w: nothing was freed for %v", ErrStagingFull, roomPatience)
		case <-s.ctx.Done():
			return ErrClosed
		}
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
