package writeback

import (
	"context"
	"strings"
	"sync"
)

// turns orders operations by the keys they touch: first come, first served, per key. A turn on
// several keys is queued on all of them at once, so two turns can never wait for each other.
type turns struct {
	mu     sync.Mutex
	active []*turn // waiting or running, in order of arrival; guarded by mu
}

// turn is the right to work on its keys, once ready is closed.
type turn struct {
	all   *turns
	keys  []string // exact keys; one that ends in "/" and is in trees stands for all below it too
	trees []string
	after int           // earlier turns still in the way; guarded by all.mu
	next  []*turn       // later turns that wait for this one; guarded by all.mu
	ready chan struct{} // closed when after reaches 0
}

// enter queues a turn on keys and, for each of trees, on every key that begins with it. It does not
// block; wait does.
func (t *turns) enter(keys, trees []string) *turn {
	n := &turn{all: t, keys: keys, trees: trees, ready: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.active {
		if o.conflicts(n) {
			n.after++
			o.next = append(o.next, n)
		}
	}
	t.active = append(t.active, n)
	if n.after == 0 {
		close(n.ready)
	}
	return n
}

// enter waits for a turn on keys and on every key that begins with one of trees.
func (s *Store) enter(keys, trees []string) (*turn, error) {
	t := s.turns.enter(keys, trees)
	if err := t.wait(s.ctx); err != nil {
		return nil, ErrClosed
	}
	return t, nil
}

// conflicts reports whether the two may not run at the same time.
func (n *turn) conflicts(o *turn) bool {
	for _, k := range n.keys {
		for _, l := range o.keys {
			if k == l {
				return true
			}
		}
	}
	return coversAny(n.trees, o) || coversAny(o.trees, n)
}

// coversAny reports whether o touches anything below trees, or lies above them as a tree.
func coversAny(trees []string, o *turn) bool {
	for _, t := range trees {
		for _, k := range o.keys {
			if strings.HasPrefix(k, t) {
				return true
			}
		}
		for _, u := range o.trees {
			if strings.HasPrefix(u, t) {
				return true
			}
		}
	}
	return false
}

// wait blocks until it is the turn's turn. If ctx ends first the turn is given up.
func (n *turn) wait(ctx context.Context) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
		n.done()
		return ctx.Err()
	}
}

// done lets those that wait go on. A turn that is given up while it waits keeps its place for those
// behind it, because they need not wait for it any more but still for those in front of it: each of
// them was queued behind those as well.
func (n *turn) done() {
	n.all.mu.Lock()
	defer n.all.mu.Unlock()
	for i, o := range n.all.active {
		if o == n {
			n.all.active = append(n.all.active[:i], n.all.active[i+1:]...)
			break
		}
	}
	for _, o := range n.next {
		o.after--
		if o.after == 0 {
			close(o.ready)
		}
	}
	n.next = nil
}
