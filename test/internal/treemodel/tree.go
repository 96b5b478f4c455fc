package treemodel

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kind is what an inode is.
type kind uint8

const (
	file kind = iota
	directory
	link
)

// inode is one file, directory or symbolic link of the model.
type inode struct {
	kind   kind
	mode   uint32 // permissions
	data   []byte // of a file; never changed in place
	target string // of a link; always dangling
	mtime  time.Time
	timed  bool // mtime is known: it was asked for or seen, and nothing was written since
	dated  bool // it was only seen: an object that carries no time has another one once it was copied
	kids   map[string]*inode

	tag *byte // tells inodes apart, and is the same in clones

	nameless bool // unlinked, or replaced by a rename
	stale    bool // its object may be gone while it is open: reads may fail with ESTALE

	// What a crash may leave: one of past, the oldest first; the newest is data. If it was never
	// acknowledged (kept is false) the name may be gone as well, or show what a rename hid: under.
	past  []version
	kept  bool
	under *inode
	wrote bool // bytes came that no close acknowledged

	acks   int       // how often something was acknowledged
	before []version // past as it was before the last time
}

// version is what a file's bytes were at some time.
type version struct {
	data []byte

	written bool // by a write at off, before which they were was
	was     []byte
	off     int64
}

// tree is the model of a file system.
type tree struct{ root *inode }

func newTree() *tree {
	return &tree{root: &inode{kind: directory, mode: 0o755, kids: map[string]*inode{}, kept: true}}
}

// clone copies the tree. Names in copied map old inodes to new ones.
func (t *tree) clone(copied map[*inode]*inode) *tree { return &tree{root: t.root.clone(copied)} }

func (n *inode) clone(copied map[*inode]*inode) *inode {
	if n == nil {
		return nil
	}
	if c := copied[n]; c != nil {
		return c
	}
	c := *n
	copied[n] = &c
	c.past = slices.Clone(n.past)
	c.under = n.under.clone(copied)
	if n.kids != nil {
		c.kids = maps.Clone(n.kids)
		for name, k := range n.kids {
			c.kids[name] = k.clone(copied)
		}
	}
	return &c
}

// walk finds p. The error is that of a path walk; parent and name are set if the parent exists.
func (t *tree) walk(p string) (parent *inode, name string, n *inode, errno syscall.Errno) {
	at := t.root
	dir, name := path.Split(p)
	for _, c := range strings.Split(strings.Trim(dir, "/"), "/") {
		if c == "" {
			continue
		}
		k := at.kids[c]
		switch {
		case k == nil, k.kind == link:
			return nil, name, nil, syscall.ENOENT // links dangle
		case k.kind == file:
			return nil, name, nil, syscall.ENOTDIR
		}
		at = k
	}
	return at, name, at.kids[name], 0
}

// follow is walk for operations that follow a link at the end: it dangles.
func (t *tree) follow(p string) (*inode, syscall.Errno) {
	if p == "." {
		return t.root, 0
	}
	_, _, n, errno := t.walk(p)
	switch {
	case errno != 0:
		return nil, errno
	case n == nil, n.kind == link:
		return nil, syscall.ENOENT
	}
	return n, 0
}

// set is a change of n's bytes.
func (n *inode) set(data []byte) {
	n.data, n.timed = data, false
	n.past = append(n.past, version{data: data})
}

func (n *inode) writeAt(p []byte, off int64) {
	data := make([]byte, max(int64(len(n.data)), off+int64(len(p))))
	copy(data, n.data)
	copy(data[off:], p)
	was := n.data
	n.set(data)
	n.past[len(n.past)-1] = version{data: data, written: true, was: was, off: off}
	n.wrote = true
}

// page is where the kernel may cut a write into several requests, which a commit can come between.
const page = 4096

// torn reports whether data is what a part of the write leaves that made v.
func (v version) torn(data []byte) bool {
	if !v.written {
		return false
	}
	end := int64(commonPrefix(data, v.data))
	for cut := end / page * page; cut > v.off; cut -= page {
		rest := v.was[min(cut, int64(len(v.was))):]
		if int64(len(data)) == cut+int64(len(rest)) && bytes.Equal(data[cut:], rest) {
			return true
		}
	}
	return false
}

func (n *inode) truncate(size int64) {
	n.timed = false
	if size == int64(len(n.data)) {
		return
	}
	data := make([]byte, size)
	copy(data, n.data)
	n.set(data)
	n.wrote = size != 0
}

// ack notes that what n is now was acknowledged.
func (n *inode) ack() {
	n.acks, n.before = n.acks+1, n.past
	n.past, n.kept, n.under, n.wrote = []version{{data: n.data}}, true, nil, false
}

// ackAll is what a sync acknowledges.
func (n *inode) ackAll() {
	n.ack()
	for _, k := range n.kids {
		k.ackAll()
	}
}

// create makes a child.
func (n *inode) create(name string, k *inode) *inode {
	n.kids[name] = k
	k.tag = new(byte)
	k.past = []version{{data: k.data}}
	return k
}

// drop notes that n lost its name.
func (n *inode) drop() { n.nameless = true }

func (t *tree) mkdir(p string, mode uint32) syscall.Errno {
	parent, name, n, errno := t.walk(p)
	switch {
	case errno != 0:
		return errno
	case n != nil:
		return syscall.EEXIST
	}
	parent.create(name, &inode{kind: directory, mode: mode, kids: map[string]*inode{}, kept: true})
	return 0
}

func (t *tree) symlink(target, p string) syscall.Errno {
	parent, name, n, errno := t.walk(p)
	switch {
	case errno != 0:
		return errno
	case n != nil:
		return syscall.EEXIST
	}
	parent.create(name, &inode{kind: link, mode: 0o777, target: target, kept: true})
	return 0
}

func (t *tree) unlink(p string) syscall.Errno {
	parent, name, n, errno := t.walk(p)
	switch {
	case errno != 0:
		return errno
	case n == nil:
		return syscall.ENOENT
	case n.kind == directory:
		return syscall.EISDIR
	}
	delete(parent.kids, name)
	n.drop()
	return 0
}

func (t *tree) rmdir(p string) syscall.Errno {
	parent, name, n, errno := t.walk(p)
	switch {
	case errno != 0:
		return errno
	case n == nil:
		return syscall.ENOENT
	case n.kind != directory:
		return syscall.ENOTDIR
	case len(n.kids) > 0:
		return syscall.ENOTEMPTY
	}
	delete(parent.kids, name)
	n.drop()
	return 0
}

// below reports whether n is dir or in it.
func below(dir, n *inode) bool {
	if dir == n {
		return true
	}
	for _, k := range dir.kids {
		if below(k, n) {
			return true
		}
	}
	return false
}

// rename is rename(2), in the order in which the kernel looks.
func (t *tree) rename(from, to string) syscall.Errno {
	fp, fname, n, errno := t.walk(from)
	if errno != 0 {
		return errno
	}
	tp, tname, old, errno := t.walk(to)
	switch {
	case errno != 0:
		return errno
	case n == nil:
		return syscall.ENOENT
	case below(n, tp):
		return syscall.EINVAL
	case old != nil && old != n && below(old, fp):
		return syscall.ENOTEMPTY
	case old == n:
		return 0
	case old == nil:
	case n.kind == directory && old.kind != directory:
		return syscall.ENOTDIR
	case n.kind != directory && old.kind == directory:
		return syscall.EISDIR
	case len(old.kids) > 0:
		return syscall.ENOTEMPTY
	}
	if old != nil {
		old.drop()
		old.stale = true
	}
	delete(fp.kids, fname)
	tp.kids[tname] = n
	n.redate()
	if !n.kept {
		n.under = old
	}
	return 0
}

// redate notes that everything in n was copied.
func (n *inode) redate() {
	for _, k := range n.kids {
		k.timed = k.timed && !k.dated
		k.redate()
	}
}

func (t *tree) truncate(p string, size int64) (*inode, syscall.Errno) {
	n, errno := t.follow(p)
	switch {
	case errno != 0:
		return nil, errno
	case n.kind == directory:
		return nil, syscall.EISDIR
	}
	n.truncate(size)
	return n, 0
}

// seen is what is found at one path, in the mount or in the bucket.
type seen struct {
	kind   kind
	mode   uint32
	data   []byte
	target string
	mtime  time.Time
}

// fromSeen makes a tree of what was found: after a crash, that is what there is.
func fromSeen(found map[string]seen) *tree {
	t := newTree()
	for _, p := range slices.Sorted(maps.Keys(found)) {
		s := found[p]
		parent, name, _, _ := t.walk(p) // sorted: parents come first
		n := &inode{kind: s.kind, mode: s.mode, data: s.data, target: s.target, mtime: s.mtime, timed: s.kind == file, dated: true, kept: true}
		if s.kind == directory {
			n.kids = map[string]*inode{}
		}
		parent.create(name, n)
	}
	return t
}

// same reports whether s is n with the given bytes.
func (n *inode) same(s seen, data []byte) bool {
	switch {
	case s.kind != n.kind:
		return false
	case n.kind == link:
		return s.target == n.target
	case n.kind == file:
		return bytes.Equal(s.data, data)
	}
	return true
}

// allows reports whether a crash may have left s (nil: nothing) where n is.
func (n *inode) allows(s *seen) bool {
	if !n.kept && n.under == nil && s == nil {
		return true
	}
	if !n.kept && n.under != nil && n.under.allows(s) {
		return true
	}
	if s == nil {
		return false
	}
	if n.kind != file {
		return n.same(*s, nil)
	}
	return slices.ContainsFunc(n.past, func(v version) bool {
		return n.same(*s, v.data) || s.kind == file && v.torn(s.data)
	})
}
