package fs

import (
	"context"
	"errors"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"

	"cosfuse/writeback"
)

// Rename moves a file or a directory. A file that was never committed moves without a request, others
// by a copy and a deletion in COS; a directory moves key by key. It returns when COS has done it, and
// an interrupt does not end it half way.
func (n *node) Rename(ctx context.Context, name string, newParent gofs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	if flags&^uint32(unix.RENAME_NOREPLACE) != 0 {
		return syscall.EINVAL // exchanging two names cannot be done in one step
	}
	to, ok := newParent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if err := n.rename(ctx, name, to, newName, flags); err != nil {
		return n.m.fail("rename", n.label()+name, err)
	}
	return 0
}

// move is a rename that has been looked at.
type move struct {
	n      *node
	to     *node  // directory
	name   string // new one
	comp   component
	target *node // what is replaced; nil if nothing
}

func (n *node) rename(ctx context.Context, name string, to *node, newName string, flags uint32) error {
	mv := move{to: to, name: newName}
	var err error
	if mv.n, err = n.childNode(ctx, name); err != nil {
		return err
	}
	if err := n.m.findTarget(ctx, &mv); err != nil {
		return err
	}
	if mv.target != nil && flags&unix.RENAME_NOREPLACE != 0 {
		return syscall.EEXIST
	}
	if mv.target == mv.n {
		return nil
	}
	if err := n.m.renewMarker(ctx, mv.n); err != nil {
		return err
	}
	release, err := n.m.tree.claim(ctx, mv.n, mv.target)
	if err != nil {
		return err
	}
	defer release()
	if err := n.m.carryOut(ctx, &mv); err != nil {
		return err
	}
	n.m.tree.move(mv.n, mv.to, mv.name, mv.comp)
	n.touch()
	to.touch()
	return nil
}

// findTarget looks at what the new name stands for now.
func (m *Mount) findTarget(ctx context.Context, mv *move) error {
	comp, _, err := m.free(ctx, mv.to, mv.name)
	mv.comp = comp
	if !errors.Is(err, syscall.EEXIST) {
		return err
	}
	if mv.target, err = mv.to.childNode(ctx, mv.name); err != nil {
		return err
	}
	switch {
	case mv.n.IsDir() && !mv.target.IsDir():
		return syscall.ENOTDIR
	case !mv.n.IsDir() && mv.target.IsDir():
		return syscall.EISDIR
	}
	return nil
}

// carryOut does in COS what the rename asks for. The names are claimed.
func (m *Mount) carryOut(ctx context.Context, mv *move) error {
	src, ok := m.tree.claimedKey(mv.n)
	if !ok {
		return syscall.ENOENT
	}
	dirKey, err := m.tree.key(ctx, mv.to)
	if err != nil {
		return err
	}
	dst := dirKey + mv.comp.seg
	if mv.n.IsDir() {
		dst += "/"
	}
	if errno := checkKey(dst); errno != 0 {
		return errno
	}
	if mv.n.IsDir() {
		err = m.renameDir(ctx, mv, src, dst)
	} else {
		err = m.renameFile(ctx, mv, src, dst)
	}
	if err != nil {
		return err
	}
	srcDir, _ := splitKey(src)
	return m.keepDirectory(ctx, srcDir)
}

func (m *Mount) renameFile(ctx context.Context, mv *move, src, dst string) error {
	f, err := m.acquireClaimed(ctx, mv.n)
	if err != nil {
		return err
	}
	defer f.Release()
	if err := m.o.Store.Rename(f, dst, mv.target != nil); err != nil {
		return err
	}
	m.facts.drop(src)
	m.facts.drop(dst)
	return nil
}

func (m *Mount) renameDir(ctx context.Context, mv *move, src, dst string) error {
	if mv.target != nil {
		if _, err := m.emptyDir(ctx, dst); err != nil {
			return err
		}
		if err := m.dropOldMarker(ctx, mv.target, dst); err != nil {
			return err
		}
	}
	if err := m.o.Store.RenameTree(src, dst); err != nil {
		return err
	}
	srcDir, _ := splitKey(src)
	m.forgetTree(src)
	m.forgetTree(dst)
	// The listing of the old place shows a prefix that lives by its names alone until it is asked
	// for again.
	m.dirs.Drop(srcDir)
	m.noteRemoved(src)
	m.facts.prefixes.Put(dst, true)
	return nil
}

// claimedKey returns the key of n, whose name the caller has claimed.
func (t *tree) claimedKey(n *node) (key string, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return n.keyLocked()
}

// outdate forgets what was known of key before version v was made of it.
func (fs *facts) outdate(key string, v writeback.Version) {
	if f, _, ok := fs.heads.Get(key); ok && !f.ver.Same(v) {
		fs.heads.Drop(key)
	}
}
