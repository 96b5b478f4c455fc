package writeback

import (
	"sync"
	"time"
)

// lazyQueue commits attribute changes and directory markers that nobody waits for, a moment after the
// last change, so that the mkdir, chown, chmod and utimes of one directory cost one request. A file
// that keeps changing is committed after maxDelays times the delay all the same.
type lazyQueue struct {
	s     *Store
	wake  chan struct{} // capacity 1
	slots chan struct{} // bounds commits in flight
	wg    sync.WaitGroup
	stopc chan struct{}

	mu      sync.Mutex // guards the fields below; a leaf, taken under File.mu and Store.mu
	pending map[*File]lazyEntry
	order   []*File // by time of first change
	stopped bool
}

// lazyEntry is when a file waits for its commit since, and since its last change.
type lazyEntry struct {
	first, last time.Time
	notBefore   time.Time // after a failure
}

// A change waits at most maxDelays times the delay while others follow it; a failed commit is repeated
// after a pause that doubles from retryMin to retryMax.
const (
	maxDelays = 4
	retryMin  = time.Second
	retryMax  = time.Minute

	retryBehind = time.Hour // of an object that could not be moved: somebody has to restore it, or allow it
)

func newLazyQueue(s *Store) *lazyQueue {
	q := &lazyQueue{s: s, wake: make(chan struct{}, 1), slots: make(chan struct{}, s.CommitThreads),
		stopc: make(chan struct{}), pending: make(map[*File]lazyEntry)}
	q.wg.Go(q.run)
	return q
}

// add queues f, or tells that it changed once more. It does not block.
func (q *lazyQueue) add(f *File) {
	now := q.s.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return
	}
	e, ok := q.pending[f]
	if !ok {
		e.first = now
		q.order = append(q.order, f)
	}
	e.last = now
	q.pending[f] = e
	if len(q.order) > 1 {
		return // no entry is due earlier than one that was there before: the timer is right
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// retry queues f again after a failure, later each time.
func (q *lazyQueue) retry(f *File) {
	f.mu.Lock()
	limit := retryMax
	if f.behind != "" {
		limit = retryBehind
	}
	f.pause = min(max(2*f.pause, retryMin), limit)
	pause := f.pause
	f.mu.Unlock()
	q.add(f)
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.pending[f]; ok {
		e.notBefore = q.s.now().Add(pause)
		q.pending[f] = e
	}
}

// hurry makes everything that is queued due, but for what failed lately, and reports whether there is
// anything.
func (q *lazyQueue) hurry() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || len(q.pending) == 0 {
		return false
	}
	for f, e := range q.pending {
		e.first, e.last = time.Time{}, time.Time{}
		q.pending[f] = e
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// stop ends the queue and waits for commits in flight. What is still queued is the caller's to commit.
func (q *lazyQueue) stop() {
	q.mu.Lock()
	if !q.stopped {
		q.stopped = true
		close(q.stopc)
	}
	q.mu.Unlock()
	q.wg.Wait()
}

// run hands out what is due. It ends when stopped or with the Store's context.
func (q *lazyQueue) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for _, f := range q.due() {
			if !q.start(f) {
				return
			}
		}
		timer.Reset(q.next())
		select {
		case <-q.wake:
		case <-timer.C:
		case <-q.stopc:
			return
		case <-q.s.ctx.Done():
			return
		}
	}
}

// start commits f in the background once a slot is free.
func (q *lazyQueue) start(f *File) bool {
	select {
	case q.slots <- struct{}{}:
	case <-q.stopc:
		return false
	case <-q.s.ctx.Done():
		return false
	}
	q.wg.Go(func() {
		defer func() { <-q.slots }()
		f.commitUnwatched()
	})
	return true
}

// due takes out of the queue what has waited long enough.
func (q *lazyQueue) due() []*File {
	now := q.s.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*File
	kept := q.order[:0]
	for _, f := range q.order {
		if e := q.pending[f]; now.Before(q.dueAt(e)) {
			kept = append(kept, f)
			continue
		}
		delete(q.pending, f)
		out = append(out, f)
	}
	clear(q.order[len(kept):])
	q.order = kept
	return out
}

// dueAt is when an entry is to be committed.
func (q *lazyQueue) dueAt(e lazyEntry) time.Time {
	idle, limit := e.last.Add(q.s.AttrDelay), e.first.Add(maxDelays*q.s.AttrDelay)
	if limit.Before(idle) {
		idle = limit
	}
	if idle.Before(e.notBefore) {
		return e.notBefore
	}
	return idle
}

// next is how long to sleep: until the first entry may be due.
func (q *lazyQueue) next() time.Duration {
	now := q.s.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := time.Hour
	for _, e := range q.pending {
		wait = min(wait, max(q.dueAt(e).Sub(now), time.Millisecond))
	}
	return wait
}

// commitUnwatched commits f for nobody who waits: a failure is kept for the next fsync or close, and
// logged.
func (f *File) commitUnwatched() {
	err := f.commit(func() bool {
		return f.dirtyLocked() && !f.conflict && (f.acked || f.handles == 0 || !f.dirtyData)
	})
	switch {
	case err == nil:
	case f.s.ctx.Err() != nil: // the mount ends: the journal has it
		return
	default:
		f.mu.Lock()
		f.err = err
		key, conflict := f.key, f.conflict
		f.mu.Unlock()
		f.s.Logger.Error("commit failed; the change is kept in the journal", "ino", f.ino, "key", key, "err", err)
		if !conflict {
			f.s.lazy.retry(f)
		}
	}
	f.mu.Lock()
	closed := f.handles == 0
	f.mu.Unlock()
	if closed {
		f.partIfConflict()
	}
	f.dropIfIdle()
}
