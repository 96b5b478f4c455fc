package fs

import (
	"context"
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

// tree knows where every live inode is, so that a key can be told at any instant and renames are
// seen by everyone at once. go-fuse has a tree as well, but changes it only after a handler has
// returned.
type tree struct {
	mu   sync.RWMutex  // guards the fields of place in every node; no network call under it
	idle chan struct{} // closed and replaced whenever a claim ends
}

// place is where a node is. Guarded by tree.mu.
type place struct {
	parent   *node // nil for the root
	comp     component
	name     string
	children map[string]*node // live ones only, by name; nil until the first
	gone     bool             // unlinked, replaced or moved out of sight: no key any more
	claimed  bool             // its name is being changed
	busy     int              // claims on nodes below
}

func newTree() *tree { return &tree{idle: make(chan struct{})} }

// keyLocked returns the key of n, which for a directory ends in "/" (the root's is the mounted
// prefix). ok is false if n has none any more.
func (n *node) keyLocked() (key string, ok bool) {
	if n.parent == nil {
		return n.m.o.Prefix, true
	}
	if n.gone {
		return "", false
	}
	dir, ok := n.parent.keyLocked()
	if !ok {
		return "", false
	}
	if n.IsDir() {
		return dir + n.comp.seg + "/", true
	}
	return dir + n.comp.seg, true
}

// claimedLocked reports whether the name of n or of a directory above it is being changed.
func (n *node) claimedLocked() bool {
	for p := n; p != nil; p = p.parent {
		if p.claimed {
			return true
		}
	}
	return false
}

// keyed calls fn with the key of n while nobody can rename it. It waits for a rename or removal
// under way, unless ctx ends first. fn must neither wait for the network nor use the tree. The error
// is ESTALE if n has no key any more.
func (t *tree) keyed(ctx context.Context, n *node, fn func(key string)) error {
	for {
		t.mu.RLock()
		if n.claimedLocked() {
			idle := t.idle
			t.mu.RUnlock()
			if err := wait(ctx, idle); err != nil {
				return err
			}
			continue
		}
		key, ok := n.keyLocked()
		if ok {
			fn(key)
		}
		t.mu.RUnlock()
		if !ok {
			return syscall.ESTALE
		}
		return nil
	}
}

// key returns the key of n, waiting as keyed does. It may be outdated at once: what must not be is
// done in keyed.
func (t *tree) key(ctx context.Context, n *node) (key string, err error) {
	err = t.keyed(ctx, n, func(k string) { key = k })
	return key, err
}

// claim makes the caller the only one who changes the names of ns (nil ones are skipped) and of all
// that is below them: it waits for other claims on them, above or below. End the claim by calling
// release.
func (t *tree) claim(ctx context.Context, ns ...*node) (release func(), err error) {
	for {
		t.mu.Lock()
		if !anyBusyLocked(ns) {
			break
		}
		idle := t.idle
		t.mu.Unlock()
		if err := wait(ctx, idle); err != nil {
			return nil, err
		}
	}
	defer t.mu.Unlock()
	var above []*node // as of now: what is claimed may move
	for _, n := range ns {
		if n == nil {
			continue
		}
		n.claimed = true
		for p := n.parent; p != nil; p = p.parent {
			p.busy++
			above = append(above, p)
		}
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, n := range ns {
			if n != nil {
				n.claimed = false
			}
		}
		for _, p := range above {
			p.busy--
		}
		close(t.idle)
		t.idle = make(chan struct{})
	}, nil
}

func anyBusyLocked(ns []*node) bool {
	for _, n := range ns {
		if n != nil && (n.busy > 0 || n.claimedLocked()) {
			return true
		}
	}
	return false
}

func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// child returns the live node called name in dir, or nil.
func (t *tree) child(dir *node, name string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.childLocked(dir, name)
}

// childLocked falls back on go-fuse's tree: a node that the kernel forgot in the very moment in which
// a lookup handed it out again is missing in ours.
func (t *tree) childLocked(dir *node, name string) *node {
	if n := dir.children[name]; n != nil {
		return n
	}
	in := dir.GetChild(name)
	if in == nil {
		return nil
	}
	n, ok := in.Operations().(*node)
	if !ok || n.gone || n.parent != dir || n.name != name {
		return nil
	}
	dir.putLocked(n)
	return n
}

// settled waits, unless ctx ends first, until nobody is changing what name in dir stands for. A lookup
// that did not wait would hand out a node that is about to be replaced, for an open that would then
// fail.
func (t *tree) settled(ctx context.Context, dir *node, name string) error {
	for {
		t.mu.RLock()
		n, idle := dir.children[name], t.idle
		busy := n != nil && n.claimed
		t.mu.RUnlock()
		if !busy {
			return nil
		}
		if err := wait(ctx, idle); err != nil {
			return err
		}
	}
}

// enter returns the node called name in dir, making one if there is none of this type. A node of
// another type loses its name: somebody replaced the object.
func (t *tree) enter(ctx context.Context, dir *node, name string, comp component, mode uint32) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.childLocked(dir, name); n != nil {
		if n.Mode() == mode&typeMask {
			return n
		}
		n.gone = true
	}
	return t.addLocked(ctx, dir, name, comp, mode)
}

// add makes a node for something new called name in dir. A node of that name loses it.
func (t *tree) add(ctx context.Context, dir *node, name string, comp component, mode uint32) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.childLocked(dir, name); n != nil {
		n.gone = true
	}
	return t.addLocked(ctx, dir, name, comp, mode)
}

// addLocked leaves the inode number to go-fuse, which never uses one twice: a number derived from
// the key would give two live files one identity after "mv a b; touch a".
func (t *tree) addLocked(ctx context.Context, dir *node, name string, comp component, mode uint32) *node {
	n := &node{m: dir.m, place: place{parent: dir, comp: comp, name: name}}
	dir.NewInode(ctx, n, gofs.StableAttr{Mode: mode & typeMask})
	dir.putLocked(n)
	return n
}

func (n *node) putLocked(child *node) {
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	n.children[child.name] = child
}

// detach takes the name from n: it was unlinked.
func (t *tree) detach(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.leaveLocked()
	n.gone = true
}

// leaveLocked takes n out of its directory's children.
func (n *node) leaveLocked() {
	if n.parent != nil && n.parent.children[n.name] == n {
		delete(n.parent.children, n.name)
	}
}

// move renames n to name in dir. What was there loses its name.
func (t *tree) move(n, dir *node, name string, comp component) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.childLocked(dir, name); old != nil && old != n {
		old.gone = true
	}
	n.leaveLocked()
	n.parent, n.name, n.comp = dir, name, comp
	dir.putLocked(n)
}

// forget drops a node that the kernel forgot, unless a lookup has handed it out again.
func (t *tree) forget(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	//lint:ignore SA1019 this is called by OnForget, and asks whether it still holds
	if n.Forgotten() {
		n.leaveLocked()
	}
}

// above returns the directory that n is in, nil for the root and for what has no name any more.
func (t *tree) above(n *node) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n.gone {
		return nil
	}
	return n.parent
}

// entry returns the directory that n is in and its name there, nil for the root and for what has no name.
func (t *tree) entry(n *node) (dir *node, name string) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n.gone {
		return nil, ""
	}
	return n.parent, n.name
}

// isGone reports whether n was unlinked.
func (t *tree) isGone(n *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := n.keyLocked()
	return !ok
}

// find returns the live node of key below root, or nil. An object that a directory hides is found
// by its own key, too.
func (t *tree) find(root *node, key string) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := root
	base, _ := root.keyLocked()
	if len(key) < len(base) || key[:len(base)] != base {
		return nil
	}
	for rest := key[len(base):]; rest != ""; {
		seg, dir := rest, false
		for i := range len(rest) {
			if rest[i] == '/' {
				seg, dir = rest[:i], true
				break
			}
		}
		if dir {
			rest = rest[len(seg)+1:]
		} else {
			rest = ""
		}
		if n = n.childBySegLocked(seg, dir); n == nil {
			return nil
		}
	}
	return n
}

func (n *node) childBySegLocked(seg string, dir bool) *node {
	for _, hidden := range []bool{false, true} {
		name, _ := component{seg: seg, hidden: hidden}.name()
		if c := n.children[name]; c != nil && c.IsDir() == dir {
			return c
		}
	}
	return nil
}

// walk calls fn for every live node below n, n included, without a lock held.
func (t *tree) walk(n *node, fn func(*node)) {
	fn(n)
	t.mu.RLock()
	children := make([]*node, 0, len(n.children))
	for _, c := range n.children {
		children = append(children, c)
	}
	t.mu.RUnlock()
	for _, c := range children {
		t.walk(c, fn)
	}
}
