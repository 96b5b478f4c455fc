package fs

import (
	"context"

	"cosfuse/writeback"
)

// grow tells f that the service has version v by now, for `tail -f` of a log that another machine appends to:
// if the object only got longer, those who have it open go on. The kernel may hold the page of the old end,
// with zeros after it. So nobody is told the new size before the kernel has dropped that page.
func (m *Mount) grow(f *writeback.File, v writeback.Version, a writeback.Attr) bool {
	st := f.Stat()
	n := m.tree.find(m.root, st.Key)
	if n == nil || m.o.Changes == nil || v.Same(st.Base) {
		return f.Grow(v, a)
	}
	n.growing()
	if !f.Grow(v, a) {
		n.grown(1)
		return false
	}
	m.o.Changes.addGrown(n)
	return true
}

// growing notes that n is about to grow, and that the kernel's pages are old from then on.
func (n *node) growing() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.growths++; n.growths == 1 {
		n.dropped = make(chan struct{})
	}
}

// grown notes that the kernel has dropped the pages from before k growths.
func (n *node) grown(k int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.growths -= k; n.growths == 0 {
		close(n.dropped)
	}
}

// awaitPages waits, unless ctx or the mount ends first, until the kernel has no pages from before n grew. It
// is for requests that hold none of them: looking up, opening and asking for attributes. Without patience it
// fails with errUnknown instead.
func (n *node) awaitPages(ctx context.Context, patience bool) error {
	n.mu.Lock()
	dropped, growths := n.dropped, n.growths
	n.mu.Unlock()
	switch {
	case growths == 0:
		return nil
	case !patience:
		return errUnknown
	}
	select {
	case <-n.m.ctx.Done():
		return n.m.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-dropped:
		return nil
	}
}
