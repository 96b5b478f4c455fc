package fs

import (
	"sync"
	"syscall"
)

// Changes carries keys whose bytes or attributes are not what the kernel was told, from whoever
// notices to the mount's notifier. Telling the kernel from within a request of its own, or under a
// lock that a request may want, would deadlock: it waits for the page or the directory the request
// holds. Adding never blocks.
type Changes struct {
	wake chan struct{} // capacity 1

	mu       sync.Mutex // guards the fields below; a leaf
	keys     map[string]struct{}
	grown    map[*node]int // how many times each got longer elsewhere; few have such files open
	overflow bool
}

// maxChanges bounds the queue, about 100 bytes each. Beyond it everything is invalidated.
const maxChanges = 4096

// NewChanges returns an empty queue.
func NewChanges() *Changes {
	return &Changes{wake: make(chan struct{}, 1), keys: make(map[string]struct{}), grown: make(map[*node]int)}
}

// Add notes that key changed.
func (c *Changes) Add(key string) {
	c.mu.Lock()
	if len(c.keys) < maxChanges {
		c.keys[key] = struct{}{}
	} else {
		c.overflow = true
	}
	c.mu.Unlock()
	c.ring()
}

// addGrown notes that the file of n got longer elsewhere, and is that long here by now.
func (c *Changes) addGrown(n *node) {
	c.mu.Lock()
	c.grown[n]++
	c.mu.Unlock()
	c.ring()
}

// ring wakes the notifier.
func (c *Changes) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (c *Changes) take() (keys map[string]struct{}, grown map[*node]int, overflow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys, grown, overflow = c.keys, c.grown, c.overflow
	c.keys, c.grown, c.overflow = make(map[string]struct{}), make(map[*node]int), false
	return keys, grown, overflow
}

// notify tells the kernel until the mount ends. All notifications are its own but those of Refresh.
func (m *Mount) notify() {
	if m.o.Changes == nil {
		return
	}
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.o.Changes.wake:
		}
		keys, grown, overflow := m.o.Changes.take()
		for n, times := range grown {
			m.invalidate(n)
			n.grown(times)
		}
		if overflow {
			m.tree.walk(m.root, m.invalidate)
			continue
		}
		for key := range keys {
			m.facts.drop(key)
			if n := m.tree.find(m.root, key); n != nil {
				m.invalidate(n)
			}
		}
	}
}

// invalidate makes the kernel drop the pages and attributes of n.
func (m *Mount) invalidate(n *node) {
	switch errno := n.NotifyContent(0, 0); errno {
	case 0, syscall.ENOENT, syscall.ENOSYS: // ENOENT: the kernel has none
	default:
		m.log.Warn("kernel not told of a change", "ino", n.StableAttr().Ino, "err", errno)
	}
}
