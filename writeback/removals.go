package writeback

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// Deletions come in bursts: `rm -r`, `rsync --delete`, `git gc`. The first one in a directory is made at
// once, so that its caller sees a refusal; those that follow it within burstWindow are journalled,
// acknowledged, and made together, removalIdle after the last of them, removalDelay after the first, when
// there are enough for a request, or when somebody needs to know: rmdir, fsync, sync.
const (
	burstWindow  = 5 * time.Second
	removalIdle  = time.Second
	removalDelay = 5 * time.Second
)

// removals is the queue of deletions that were acknowledged and wait.
type removals struct {
	s    *Store
	wake chan struct{} // capacity 1
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below; a leaf
	pending map[string]Version
	held    map[string]bool      // keys whose deletion waits for the last close of the file instead
	last    map[string]time.Time // directory to the last deletion the service confirmed there
	refused map[string]error     // directory to a deletion that was refused and nobody was told of
	pause   time.Duration        // after a failure
}

func newRemovals(s *Store) *removals {
	return &removals{s: s, wake: make(chan struct{}, 1), pending: make(map[string]Version), held: make(map[string]bool),
		last: make(map[string]time.Time), refused: make(map[string]error)}
}

// start makes deletions in the background, until the Store ends.
func (q *removals) start() { q.wg.Go(q.run) }

// confirmed notes that the service lets us delete in key's directory.
func (q *removals) confirmed(key string) {
	dir, _ := splitKey(key)
	now := q.s.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for d, at := range q.last {
		if now.Sub(at) > burstWindow {
			delete(q.last, d)
		}
	}
	q.last[dir] = now
}

// burst reports whether a deletion of key may wait.
func (q *removals) burst(key string) bool {
	dir, _ := splitKey(key)
	now := q.s.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	at, ok := q.last[dir]
	if !ok || now.Sub(at) > burstWindow {
		return false
	}
	q.last[dir] = now
	return true
}

// add queues the deletion of version v of key, which the journal has.
func (q *removals) add(key string, v Version) {
	q.mu.Lock()
	q.pending[key] = v
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// void takes key out of the queue: something else is at it by now, or the deletion is made.
func (q *removals) void(key string) {
	q.mu.Lock()
	_, ok := q.pending[key]
	delete(q.pending, key)
	q.mu.Unlock()
	if ok {
		q.s.forgetRemoval(key)
	}
}

// waits reports whether key's deletion is still to be made.
func (q *removals) waits(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.pending[key]
	return ok
}

// hold notes whether key's deletion waits for a last close.
func (q *removals) hold(key string, waits bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if waits {
		q.held[key] = true
		return
	}
	delete(q.held, key)
}

// below reports whether the deletion of anything below prefix waits.
func (q *removals) below(prefix string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key := range q.pending {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	for key := range q.held {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// RemovedBelow reports whether objects below prefix were deleted here and were in the bucket still at the time
// since: a listing of then may show the prefix for them alone. It does not block.
func (s *Store) RemovedBelow(prefix string, since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removals.below(prefix) {
		return true
	}
	for _, r := range slices.Backward(s.recent) {
		if r.at.Before(since) {
			return false
		}
		if r.deleted && strings.HasPrefix(r.key, prefix) {
			return true
		}
	}
	return false
}

// batch returns up to a request's worth of keys at or below prefix, in order.
func (q *removals) batch(prefix string) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var keys []string
	for k := range q.pending {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), cos.MaxDeleteKeys)]
}

// run makes deletions a moment after they were queued, until the Store ends.
func (q *removals) run() {
	for {
		select {
		case <-q.wake:
		case <-q.s.ctx.Done():
			return
		}
		if !q.rest() {
			return
		}
		if err := q.flush(""); err != nil && q.s.ctx.Err() == nil {
			q.s.Logger.Warn("deletions wait for the service", "err", err)
			q.pause = min(max(2*q.pause, retryMin), retryMax)
			select {
			case q.wake <- struct{}{}:
			default:
			}
			continue
		}
		q.pause = 0
	}
}

// rest waits until no more deletions come, or until those there are should be made all the same. It reports
// false at the Store's end.
func (q *removals) rest() bool {
	limit, idle := time.NewTimer(removalDelay+q.pause), time.NewTimer(removalIdle+q.pause)
	defer limit.Stop()
	defer idle.Stop()
	for {
		select {
		case <-q.wake:
			if q.full() {
				return true
			}
			idle.Reset(removalIdle + q.pause)
		case <-idle.C:
			return true
		case <-limit.C:
			return true
		case <-q.s.ctx.Done():
			return false
		}
	}
}

// full reports whether there are enough deletions for a request.
func (q *removals) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pending) >= cos.MaxDeleteKeys
}

// flush makes the deletions that wait at or below prefix. The error is one of the request as a whole; keys
// that were refused are in refused.
func (q *removals) flush(prefix string) error {
	for {
		keys := q.batch(prefix)
		if len(keys) == 0 {
			return nil
		}
		t := q.s.turns.enter(keys, nil)
		if err := t.wait(q.s.ctx); err != nil {
			return ErrClosed
		}
		err := q.deleteInTurn(keys)
		t.done()
		if err != nil {
			return err
		}
	}
}

// deleteInTurn deletes those of keys that still wait.
func (q *removals) deleteInTurn(keys []string) error {
	keys = slices.DeleteFunc(keys, func(k string) bool { return !q.waits(k) })
	if len(keys) == 0 {
		return nil
	}
	if err := q.s.late.wait(q.s.ctx, keys, nil); err != nil {
		return err
	}
	lost := q.s.late.lostBatches()
	failed, err := q.s.Client.DeleteMany(q.s.ctx, keys)
	if q.s.late.lostBatches() != lost {
		q.s.late.noteKeys(keys)
	}
	q.s.Failpoint(fpBatchSent)
	bad := make(map[string]error, len(failed))
	if errors.Is(err, cos.ErrAccessDenied) { // a refusal of all, which no repetition changes
		for _, k := range keys {
			bad[k] = err
		}
	} else if err != nil {
		return err
	}
	for _, d := range failed {
		bad[d.Key] = d.Err
	}
	b := q.s.journal.Begin()
	for _, k := range keys {
		b.DropRemoval(k)
	}
	if err := b.Commit(journal.NoSync); err != nil {
		q.s.Logger.Error("journal: deletions that are made stay recorded", "err", err)
	}
	q.settle(keys, bad)
	return nil
}

// settle takes keys out of the queue. A refused one gets its name back.
func (q *removals) settle(keys []string, bad map[string]error) {
	s := q.s
	for _, k := range keys {
		s.mu.Lock() // nobody may see a name that neither waits nor is gone
		q.mu.Lock()
		v := q.pending[k]
		delete(q.pending, k)
		err := bad[k]
		if err != nil {
			dir, _ := splitKey(k)
			q.refused[dir] = fmt.Errorf("delete %q: %w", k, err)
		}
		q.mu.Unlock()
		if err == nil {
			s.recordDeletedLocked(k, v)
		} else if e := s.names.get(k); e != nil {
			e.changed = false
			s.names.drop(k)
		}
		s.mu.Unlock()
		if err != nil {
			s.Logger.Error("a deleted file could not be deleted and is back", "key", k, "err", err)
			s.Changed(k)
		}
	}
}

// FlushRemovals makes the deletions that wait at or below prefix and returns what was refused there and
// nobody was told of yet. rmdir(2) needs it before it asks the service what is left.
func (s *Store) FlushRemovals(prefix string) error {
	err := s.removals.flush(prefix)
	q := s.removals
	q.mu.Lock()
	defer q.mu.Unlock()
	for dir, e := range q.refused {
		if strings.HasPrefix(dir, prefix) {
			err = errors.Join(err, e)
			delete(q.refused, dir)
		}
	}
	return err
}

// PendingRemovals lists the keys whose deletion was acknowledged and not made yet, in order.
func (s *Store) PendingRemovals() []string {
	q := s.removals
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]string, 0, len(q.pending))
	for k := range q.pending {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
