package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/writeback"
)

// Open opens a file. Unless its version was confirmed within the last second (relaxed: the TTL) this asks
// HEAD, so that what another mount committed is seen. If the version changed, the answer is ESTALE once: the kernel
// then looks the name up again, gets the new size, and comes back.
func (n *node) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	h, err := n.open(ctx, flags)
	if err != nil {
		return nil, 0, n.m.fail("open", n.label(), err)
	}
	return h, h.openFlags(), 0
}

func (n *node) open(ctx context.Context, flags uint32) (*handle, error) {
	f, err := n.m.acquire(ctx, n)
	if errors.Is(err, syscall.ENOENT) {
		err = syscall.ESTALE // gone meanwhile: the kernel looks again, or creates
	}
	if err != nil {
		return nil, err
	}
	defer f.Release() // the handle holds its own
	if err := n.m.revalidate(ctx, f); err != nil {
		if f.Stat().Unlinked {
			n.m.tree.detach(n) // the name is the newer version's: it gets a node of its own
		}
		return nil, err
	}
	h := n.newHandle(f, flags)
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		n.m.readAhead(n, f.Stat().Key)
	}
	if flags&syscall.O_TRUNC != 0 {
		if err := h.wb.Replace(); err != nil {
			h.close()
			return nil, err
		}
	}
	return h, nil
}

// trusted is how old a confirmation of a version may be for an open to do without a new one.
func (m *Mount) trusted() time.Duration {
	if m.o.Consistency == Relaxed {
		return max(m.o.MetaTTL, confirmedRecently)
	}
	return confirmedRecently
}

// revalidate makes sure that f is based on what the service has now. What is dirty here stays as it
// is: a conflict shows when it is committed.
func (m *Mount) revalidate(ctx context.Context, f *writeback.File) error {
	st := f.Stat()
	if st.Base.Absent() || st.DirtyData || young(m.o.Now(), st.Base.Confirmed, m.trusted()) {
		return nil
	}
	now, asked, err := m.facts.head(ctx, st.Key)
	switch {
	case err != nil:
		return err
	case asked.Before(f.Stat().Base.Confirmed):
		return nil // the answer is older than a commit of ours
	case !now.found:
		return syscall.ESTALE
	case now.ver.Same(st.Base):
		f.Confirm(now.ver, now.attr)
		return nil
	}
	if f.Rebase(now.ver, now.attr) || m.grow(f, now.ver, now.attr) || f.Part() {
		return syscall.ESTALE
	}
	return nil
}

// Create makes a file and opens it; one that exists is opened, unless O_EXCL is given. In a
// directory whose names are known it sends nothing: a file is committed when its bytes are flushed,
// or empty at its last close.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	child, h, err := n.create(ctx, name, flags, mode, out)
	if err != nil {
		return nil, nil, 0, n.m.fail("create", n.label()+name, err)
	}
	return &child.Inode, h, h.openFlags(), 0
}

func (n *node) create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*node, *handle, error) {
	how := writeback.CreateMode{Excl: flags&syscall.O_EXCL != 0, Trunc: flags&syscall.O_TRUNC != 0}
	child, f, err := n.make(ctx, name, syscall.S_IFREG|mode, 0, how, out)
	if errors.Is(err, syscall.EEXIST) && !how.Excl {
		return n.createExisting(ctx, name, flags, out)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Release()
	if err := f.Claim(); err != nil {
		key := f.Stat().Key
		n.m.abandon(child, f)
		n.m.winner(ctx, key, err)
		return nil, nil, err
	}
	return child, child.newHandle(f, flags), nil
}

// winner looks at what somebody else created first, so that the loser sees it at once: a listing from before
// would hide it for a while.
func (m *Mount) winner(ctx context.Context, key string, err error) {
	if !errors.Is(err, writeback.ErrExists) {
		return
	}
	if _, _, err := m.facts.head(ctx, key); err != nil {
		m.fail("lookup", key, err)
	}
}

// createExisting opens what somebody made since the kernel looked.
func (n *node) createExisting(ctx context.Context, name string, flags uint32, out *fuse.EntryOut) (*node, *handle, error) {
	child, err := n.lookup(ctx, name, out, true)
	if err != nil {
		return nil, nil, err
	}
	if child.Mode() != syscall.S_IFREG {
		return nil, nil, syscall.EEXIST
	}
	h, err := child.open(ctx, flags)
	if err != nil {
		return nil, nil, err
	}
	o := fileObject(h.wb.File().Stat(), n.m.o.Now())
	n.m.fillEntry(out, &o)
	return child, h, nil
}

// make creates the object of a new file, directory, link or special file called name, and its node. dev is
// the number of a device. The error is EEXIST if there is one already. The File is acquired.
func (n *node) make(ctx context.Context, name string, mode, dev uint32, how writeback.CreateMode, out *fuse.EntryOut) (*node, *writeback.File, error) {
	comp, proven, err := n.m.free(ctx, n, name)
	if err != nil {
		return nil, nil, err
	}
	attr, err := n.m.newAttr(ctx, n, mode)
	if err != nil {
		return nil, nil, err
	}
	if attr.IsDevice() {
		attr.Major, attr.Minor = splitDevice(dev)
	}
	f, key, err := n.m.createIn(ctx, n, comp, attr, how)
	if err != nil {
		return nil, nil, err
	}
	n.m.created(key, proven)
	child := n.m.tree.add(ctx, n, name, comp, mode)
	n.touch()
	o := fileObject(f.Stat(), n.m.o.Now())
	child.remember(o)
	n.m.fillEntry(out, &o)
	return child, f, nil
}

// createIn creates the object comp of directory dir, which cannot be renamed meanwhile.
func (m *Mount) createIn(ctx context.Context, dir *node, comp component, a writeback.Attr, how writeback.CreateMode) (f *writeback.File, key string, err error) {
	kerr := m.tree.keyed(ctx, dir, func(dirKey string) {
		key = dirKey + comp.seg
		if a.Mode&typeMask == syscall.S_IFDIR {
			key += "/"
		}
		if errno := checkKey(key); errno != 0 {
			err = errno
			return
		}
		f, err = m.o.Store.Create(key, a, how)
	})
	if kerr != nil {
		return nil, "", kerr
	}
	return f, key, err
}

// newAttr gives something new the caller's identity; in a setgid directory, the directory's group,
// and to a new directory the bit as well.
func (m *Mount) newAttr(ctx context.Context, dir *node, mode uint32) (writeback.Attr, error) {
	a := writeback.Attr{Mode: mode}
	if caller, ok := fuse.FromContext(ctx); ok {
		a.UID, a.GID = caller.Uid, caller.Gid
	}
	parent, err := m.lastKnown(ctx, dir)
	if err != nil {
		return a, err
	}
	if parent.attr.Mode&syscall.S_ISGID != 0 {
		a.GID = parent.attr.GID
		if mode&typeMask == syscall.S_IFDIR {
			a.Mode |= syscall.S_ISGID
		}
	}
	return m.bornAttr(a), nil
}

// lastKnown is what the kernel was told of dir: it decided by that whether the caller may write. Only
// if that has been forgotten is the service asked.
func (m *Mount) lastKnown(ctx context.Context, dir *node) (object, error) {
	if o := dir.remembered(); o.attr.Mode != 0 {
		return o, nil
	}
	return m.stat(ctx, dir)
}
