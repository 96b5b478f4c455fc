package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/cache"
	"cosfuse/writeback"
)

// maxTargetBytes is PATH_MAX, less its end.
const maxTargetBytes = 4095

// free makes sure that nothing is called name in dir. proven is when that was known to be so.
func (m *Mount) free(ctx context.Context, dir *node, name string) (comp component, proven time.Time, err error) {
	comp, errno := parseName(name)
	if errno != 0 {
		return comp, proven, errno
	}
	asked := m.o.Now()
	_, err = m.search(ctx, dir, comp, true)
	switch {
	case err == nil:
		return comp, proven, syscall.EEXIST
	case !errors.Is(err, syscall.ENOENT):
		return comp, proven, err
	}
	dirKey, err := m.tree.key(ctx, dir)
	if err != nil {
		return comp, proven, err
	}
	q := m.question(dirKey, comp.seg, m.peek(dirKey), asked)
	if comp.hidden {
		// The name means an object beside a directory. Without the directory it would come back
		// under another name.
		if _, sub := m.beliefs(&q); sub != present {
			return comp, proven, syscall.EINVAL
		}
	}
	return comp, m.provenAbsent(&q), nil
}

// provenAbsent is when the service last showed that the directory q.key+"/" did not exist.
func (m *Mount) provenAbsent(q *question) time.Time {
	b, at := m.facts.belief(q.key+"/", q.localDir.At, q.now, m.o.NegativeTTL)
	if q.listing != nil && q.sub == nil && (b != absent || q.listing.Started.After(at)) {
		return q.listing.Started
	}
	return at
}

// created notes that key was made here. A new directory was empty when it was proven absent.
func (m *Mount) created(key string, proven time.Time) {
	m.facts.drop(key)
	if !isDirKey(key) {
		return
	}
	m.dirs.DropTree(key)
	m.windows.drop(key)
	l := &cache.Listing{Prefix: key, Started: proven}
	m.prove(l)
	m.born.PutAt(key, l, proven)
}

// Mkdir makes a directory. Its marker is sent a moment later, with the attributes that are usually
// set right after.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	child, f, err := n.make(ctx, name, syscall.S_IFDIR|mode&^uint32(typeMask), 0, writeback.CreateMode{Excl: true}, out)
	if err != nil {
		return nil, n.m.fail("mkdir", n.label()+name, err)
	}
	f.Release()
	return &child.Inode, 0
}

// Mknod makes an empty file, a FIFO, a socket or a device. Nothing opens a device here: the mount has nodev.
func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	if mode&typeMask == 0 {
		mode |= syscall.S_IFREG
	}
	if mode&typeMask != syscall.S_IFREG && n.m.plainly() {
		return nil, syscall.EPERM // it would be shown as a file
	}
	child, f, err := n.make(ctx, name, mode, dev, writeback.CreateMode{Excl: true}, out)
	if err != nil {
		return nil, n.m.fail("mknod", n.label()+name, err)
	}
	defer f.Release()
	if err := f.Open(false).Close(); err != nil { // the last close commits the empty object
		return nil, n.m.fail("mknod", n.label()+name, err)
	}
	return &child.Inode, 0
}

// Symlink makes a symbolic link: an object that holds the target, with the type in its mode.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	if target == "" {
		return nil, syscall.ENOENT
	}
	if n.m.plainly() {
		return nil, syscall.EPERM // it would be shown as a file
	}
	if len(target) > maxTargetBytes {
		return nil, syscall.ENAMETOOLONG
	}
	child, f, err := n.make(ctx, name, syscall.S_IFLNK|0o777, 0, writeback.CreateMode{Excl: true}, out)
	if err != nil {
		return nil, n.m.fail("symlink", n.label()+name, err)
	}
	defer f.Release()
	if err := writeTarget(f, target); err != nil {
		n.m.abandon(child, f)
		return nil, n.m.fail("symlink", n.label()+name, err)
	}
	o := fileObject(f.Stat(), n.m.o.Now())
	n.m.fillEntry(out, &o)
	child.rememberTarget(target)
	return &child.Inode, 0
}

// writeTarget commits the content of a symbolic link.
func writeTarget(f *writeback.File, target string) error {
	h := f.Open(false)
	_, err := h.WriteAt([]byte(target), 0)
	if err == nil {
		err = h.Flush()
	}
	return errors.Join(err, h.Close())
}

// abandon takes back something made that could not be committed: its maker is told that it does not
// exist.
func (m *Mount) abandon(n *node, f *writeback.File) {
	m.tree.detach(n)
	if err := m.o.Store.Remove(f); err != nil {
		m.fail("abandon", f.Stat().Key, err)
	}
}

// Readlink returns the target of a symbolic link. The kernel keeps it until told otherwise.
func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	target, err := n.readTarget(ctx)
	if errors.Is(err, syscall.ESTALE) && n.m.tree.isGone(n) {
		// Replaced since it was looked up: the way that was begun leads where it did.
		if old := n.rememberedTarget(); old != "" {
			return []byte(old), 0
		}
	}
	if err != nil {
		return nil, n.m.fail("readlink", n.label(), err)
	}
	n.rememberTarget(string(target))
	return target, 0
}

func (n *node) readTarget(ctx context.Context) ([]byte, error) {
	f, err := n.m.acquire(ctx, n)
	if err != nil {
		return nil, err
	}
	defer f.Release()
	size := f.Stat().Size
	if size > maxTargetBytes {
		return nil, syscall.EIO // another tool's idea of a link
	}
	h := f.Open(false)
	buf := make([]byte, size)
	k, err := h.ReadAt(ctx, buf, 0)
	if err = errors.Join(err, h.Close()); err != nil {
		return nil, err
	}
	return buf[:k], nil
}

// Link is refused: an object has one name.
func (n *node) Link(context.Context, gofs.InodeEmbedder, string, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Tmpfile switches O_TMPFILE off for the mount: such a file is meant to get its name by a hard link.
func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOSYS
}

// Unlink removes a file. The object is deleted before it returns, unless somebody has the file open
// and may still want its bytes: then at the last close.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	err := n.remove(ctx, name, func(child *node, _ string) error {
		return n.m.removeObject(ctx, child)
	})
	if err != nil {
		return n.m.fail("unlink", n.label()+name, err)
	}
	return 0
}

// Rmdir removes an empty directory. It asks the service, not only our view of it: other mounts' files
// and keys that no path can name keep it from being empty.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	err := n.remove(ctx, name, func(child *node, key string) error {
		marker, err := n.m.emptyDir(ctx, key)
		if err != nil {
			return err
		}
		if err := n.m.dropOldMarker(ctx, child, key); err != nil {
			return err
		}
		if l, ok := n.m.o.Store.Local(key); marker || ok && !l.Deleted {
			if err := n.m.removeMarker(key); err != nil {
				return err
			}
		}
		n.m.forgetTree(key)
		n.m.noteRemoved(key)
		return nil
	})
	if err != nil {
		return n.m.fail("rmdir", n.label()+name, err)
	}
	return 0
}

// remove takes name out of the directory by calling rm while nobody can rename it.
func (n *node) remove(ctx context.Context, name string, rm func(child *node, key string) error) error {
	child, err := n.childNode(ctx, name)
	if err != nil {
		return err
	}
	release, err := n.m.tree.claim(ctx, child)
	if err != nil {
		return err
	}
	defer release()
	key, ok := n.m.tree.claimedKey(child)
	if !ok {
		return syscall.ENOENT
	}
	if err := rm(child, key); err != nil {
		return err
	}
	n.m.tree.detach(child)
	n.touch()
	dirKey, _ := splitKey(key)
	return n.m.keepDirectory(ctx, dirKey)
}

// childNode returns the node called name, looking it up if the kernel knows it and we forgot.
func (n *node) childNode(ctx context.Context, name string) (*node, error) {
	if child := n.m.tree.child(n, name); child != nil {
		return child, nil
	}
	return n.lookup(ctx, name, new(fuse.EntryOut), true)
}

// removeObject deletes the object of n, whose name is claimed.
func (m *Mount) removeObject(ctx context.Context, n *node) error {
	f, err := m.acquireClaimed(ctx, n)
	if err != nil {
		return err
	}
	defer f.Release()
	key := f.Stat().Key
	if err := m.o.Store.Remove(f); err != nil {
		return err
	}
	m.facts.drop(key)
	return nil
}

// removeMarker deletes the marker of the directory key, whatever its attributes are.
func (m *Mount) removeMarker(key string) error {
	f := m.o.Store.Acquire(key, writeback.Version{}, writeback.DefaultAttr(key, m.o.Defaults))
	defer f.Release()
	return m.o.Store.Remove(f)
}

// noteRemoved records that nothing is left of the directory key, which a listing may still show.
func (m *Mount) noteRemoved(key string) {
	m.facts.prefixes.Put(key, false)
	m.facts.heads.Put(key, fact{})
}

// emptyDir fails with ENOTEMPTY if anything is in the directory key, and reports whether it has a
// marker in COS.
func (m *Mount) emptyDir(ctx context.Context, key string) (marker bool, err error) {
	if m.hasLocalChildren(key) {
		return false, syscall.ENOTEMPTY
	}
	if err := m.o.Store.FlushRemovals(key); err != nil { // what was unlinked may be refused yet, and be back
		return false, err
	}
	below, marker, err := m.firstBelow(ctx, key, 2)
	if err != nil {
		return false, err
	}
	if below {
		return false, syscall.ENOTEMPTY
	}
	return marker, nil
}

// forgetTree forgets what was cached of the directory key and everything below it.
func (m *Mount) forgetTree(key string) {
	m.windows.drop(key)
	m.dirs.DropTree(key)
	m.born.DropPrefix(key)
	m.counts.DropPrefix(key)
	m.facts.dropTree(key)
}

// keepDirectory gives the directory key a marker if it lives by its names alone and has lost the
// last: it stays a directory until rmdir.
func (m *Mount) keepDirectory(ctx context.Context, key string) error {
	if key == "" || key == m.o.Prefix {
		return nil
	}
	o, err := m.directory(ctx, key, m.o.Now(), true)
	if err != nil || !o.bare || m.hasLocalChildren(key) || m.listsChild(key) {
		return err
	}
	below, marker, err := m.firstBelow(ctx, key, 2)
	if err != nil || below || marker {
		return err
	}
	f, err := m.o.Store.Create(key, m.bornAttr(o.attr), writeback.CreateMode{})
	if errors.Is(err, writeback.ErrExists) {
		return nil
	}
	if err != nil {
		return err
	}
	f.Release()
	m.facts.drop(key)
	m.dirs.Drop(key) // it says that there is no marker
	return nil
}

// listsChild reports whether a cached listing shows a name in the directory key that we did not
// remove. It begins at the end, since names are mostly removed from the front.
func (m *Mount) listsChild(key string) bool {
	l := m.peek(key)
	if l == nil {
		return false
	}
	for i := len(l.Entries) - 1; i >= 0; i-- {
		name := key + l.Entries[i].Name
		if l.Entries[i].Dir {
			name += "/"
		}
		if local, ok := m.o.Store.Local(name); !ok || !local.Deleted {
			return true
		}
	}
	return false
}
