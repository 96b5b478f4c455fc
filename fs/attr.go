package fs

import (
	"cmp"
	"context"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/cos"
	"cosfuse/writeback"
)

// Getattr tells what stat(2) shows. It costs at most one HEAD, and none while the object is dirty or
// known within the TTL.
func (n *node) Getattr(ctx context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	o, err := n.m.stat(ctx, n)
	if err != nil {
		return n.m.fail("getattr", n.label(), err)
	}
	n.m.fillAttr(out, &o)
	return 0
}

// label names n in log lines.
func (n *node) label() string {
	n.m.tree.mu.RLock()
	defer n.m.tree.mu.RUnlock()
	if key, ok := n.keyLocked(); ok {
		return key
	}
	return n.name
}

// stat describes n by its identity: an open file is what its handles read, an unlinked one what it
// was.
func (m *Mount) stat(ctx context.Context, n *node) (object, error) {
	if f := n.openFile(); f != nil && f.Stat().Unlinked {
		return fileObject(f.Stat(), m.o.Now()), nil
	}
	if m.tree.isGone(n) {
		o := n.remembered()
		o.gone, o.asked = true, m.o.Now()
		return o, nil
	}
	key, err := m.tree.key(ctx, n)
	if err != nil {
		return object{}, err
	}
	if m.plainly() && n.IsDir() {
		o := m.bareDirectory(cmp.Or(key, "/"), m.o.Now())
		n.remember(o)
		return o, nil
	}
	o, err := m.statKey(ctx, n, key)
	if err != nil {
		return object{}, err
	}
	if err := n.awaitPages(ctx, true); err != nil {
		return object{}, err
	}
	m.plain(&o)
	n.overlay(&o)
	n.remember(o)
	return o, nil
}

// statKey describes the object of n, which is at key.
func (m *Mount) statKey(ctx context.Context, n *node, key string) (object, error) {
	switch {
	case key == "":
		return m.bareDirectory("/", m.o.Now()), nil // the whole bucket has no marker
	case n.IsDir():
		o, err := m.directory(ctx, key, m.o.Now(), true)
		if err != nil {
			return object{}, err
		}
		return m.lendAttr(ctx, n, o)
	}
	dirKey, seg := splitKey(key)
	return m.fileObject(ctx, nil, m.question(dirKey, seg, m.look(dirKey, key), m.o.Now()), true)
}

// Setattr changes size, mode, owner and times. It costs no
// request but for the size of a file that nobody has open, which is committed before it returns;
// other attributes are sent a moment later, together.
func (n *node) Setattr(ctx context.Context, fh gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	if err := n.setattr(ctx, fh, in); err != nil {
		return n.m.fail("setattr", n.label(), err)
	}
	o, err := n.m.stat(ctx, n)
	if err != nil {
		return n.m.fail("setattr", n.label(), err)
	}
	n.m.fillAttr(out, &o)
	out.Ino = n.StableAttr().Ino // go-fuse fills it into every other answer, and the kernel believes this one
	return 0
}

func (n *node) setattr(ctx context.Context, fh gofs.FileHandle, in *fuse.SetAttrIn) (err error) {
	change, some := attrChange(in)
	size, resize := in.GetSize()
	if !some && !resize {
		return nil
	}
	if err := n.m.renewMarker(ctx, n); err != nil {
		return err
	}
	f := n.openFile()
	if f == nil || !f.Stat().Unlinked { // without a name, the open file is all there is
		if f, err = n.m.acquire(ctx, n); err != nil {
			return err
		}
		defer f.Release()
	}
	if resize {
		if err := resizeFile(n.m.ctx, f, fh, size); err != nil {
			return err
		}
	}
	if some {
		if err := f.SetAttr(change); err != nil {
			return err
		}
	}
	if _, set := in.GetMTime(); set {
		n.dated()
	}
	n.m.facts.drop(f.Stat().Key)
	n.redate()
	return nil
}

// resizeFile sets the size through the handle if there is one. It is not interrupted.
func resizeFile(ctx context.Context, f *writeback.File, fh gofs.FileHandle, size uint64) error {
	if size > cos.MaxObjectBytes {
		return syscall.EFBIG
	}
	if h, ok := fh.(*handle); ok && h.wb != nil {
		return h.wb.Truncate(int64(size))
	}
	return f.Truncate(ctx, int64(size))
}

// attrChange turns a request into a change of attributes; some is false if it has none to make.
func attrChange(in *fuse.SetAttrIn) (change func(*writeback.Attr) error, some bool) {
	mode, setMode := in.GetMode()
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	mtime, setMtime := in.GetMTime()
	atime, setAtime := in.GetATime()
	change = func(a *writeback.Attr) error {
		if setMode {
			a.Mode = a.Mode&typeMask | mode&^uint32(typeMask)
		}
		if setUID {
			a.UID = uid
		}
		if setGID {
			a.GID = gid
		}
		if setMtime {
			a.Mtime = mtime
		}
		if setAtime {
			a.Atime = atime
		}
		return nil
	}
	return change, setMode || setUID || setGID || setMtime || setAtime
}

// acquire returns the File of n for the caller to release: the one in use, or one that starts from
// the object's present version. A directory without a marker gets one to carry what is to be changed;
// the root of a whole bucket cannot have one and is EPERM. The error is ESTALE if n has no name.
func (m *Mount) acquire(ctx context.Context, n *node) (*writeback.File, error) {
	for {
		key, err := m.tree.key(ctx, n)
		if err != nil {
			return nil, err
		}
		o, err := m.statKey(ctx, n, key)
		if err == nil {
			o, err = m.whole(ctx, o)
		}
		if err != nil {
			return nil, err
		}
		var f *writeback.File
		kerr := m.tree.keyed(ctx, n, func(now string) {
			if now == key {
				f, err = m.acquireKey(key, o)
			}
		})
		if err = cmp.Or(kerr, err); f != nil || err != nil {
			return f, err
		}
	}
}

// acquireClaimed is acquire for a node whose name the caller has claimed.
func (m *Mount) acquireClaimed(ctx context.Context, n *node) (*writeback.File, error) {
	key, ok := m.tree.claimedKey(n)
	if !ok {
		return nil, syscall.ENOENT
	}
	for {
		o, err := m.statKey(ctx, n, key)
		if err == nil {
			o, err = m.whole(ctx, o)
		}
		if err != nil {
			return nil, err
		}
		if f, err := m.acquireKey(key, o); f != nil || err != nil {
			return f, err
		}
	}
}

// acquireKey acquires the File of key, which o describes. It returns neither a File nor an error if o
// is outdated: between looking and acquiring, a commit may have ended and its File been dropped. To
// start from the older version, or from none, would take our own change for somebody else's.
func (m *Mount) acquireKey(key string, o object) (*writeback.File, error) {
	if o.key == "/" {
		return nil, syscall.EPERM
	}
	l, ok := m.o.Store.Local(key)
	if o.bare && (!ok || l.File == nil) {
		m.dirs.Drop(key) // it says that there is no marker
		return m.o.Store.Create(key, m.bornAttr(o.attr), writeback.CreateMode{})
	}
	f := m.o.Store.Acquire(key, o.ver, o.attr)
	st := f.Stat()
	l, ok = m.o.Store.Local(key)
	newer := ok && !l.Deleted && !l.Version.Absent() && !l.Version.Same(st.Base) && l.At.After(o.asked)
	if !st.Dirty && (newer || st.Base.Absent() && !o.bare) {
		f.Release()
		return nil, nil
	}
	if o.attr.Known {
		f.Confirm(o.ver, o.attr) // whoever acquired it first may not have known
	}
	return f, nil
}

// bornAttr completes the attributes of something made here.
func (m *Mount) bornAttr(a writeback.Attr) writeback.Attr {
	a.Known = true
	if a.Mtime.IsZero() {
		a.Mtime = m.o.Now()
	}
	return a
}

// Statfs tells numbers of our own: a bucket has no size. It never asks anybody.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	const (
		blockSize = 4096
		blocks    = 1 << 38 // 1 PiB
		files     = 1 << 40
	)
	out.Bsize, out.Frsize = blockSize, blockSize
	out.Blocks, out.Bfree, out.Bavail = blocks, blocks, blocks
	out.Files, out.Ffree = files, files
	out.NameLen = maxNameBytes
	return 0
}

// Fsync commits what a file has not in COS yet; of a directory, its marker and what is new directly
// in it. It is not interrupted.
func (n *node) Fsync(ctx context.Context, fh gofs.FileHandle, _ uint32) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		err := h.wb.Fsync(n.m.ctx)
		h.settled()
		return n.m.fail("fsync", n.label(), err)
	}
	if n.m.tree.isGone(n) {
		return 0 // a directory that was removed has nothing to commit
	}
	key, err := n.m.tree.key(ctx, n)
	if err == nil {
		err = n.m.o.Store.SyncDir(n.m.ctx, key)
	}
	return n.m.fail("fsync", key, err)
}
