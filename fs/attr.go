package fs

import (
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
	if f := n.openFile(); f != nil {
		st := f.Stat()
		if st.Unlinked || st.Dirty || m.young(st.Base.Confirmed, m.o.MetaTTL) {
			o := fileObject(st, m.o.Now())
			return o, m.settleTime(ctx, &o, f, true)
		}
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
	o, err := m.statKey(ctx, n, key)
	if err != nil {
		return object{}, err
	}
	n.remember(o)
	return o, nil
}

// statKey describes the object of n, which is at key.
func (m *Mount) statKey(ctx context.Context, n *node, key string) (object, error) {
	switch {
	case key == "":
		return m.bareDirectory("/", m.o.Now()), nil // the whole bucket has no marker
	case n.IsDir():
		return m.directory(ctx, key, true)
	}
	dirKey, seg := splitKey(key)
	return m.fileObject(ctx, nil, m.question(dirKey, seg), true)
}

// Setattr changes size, mode, owner and mtime. Access times are accepted and not kept. It costs no
// request but for the size of a file that nobody has open, which is committed before it returns;
// other attributes are sent a moment later, together.
func (n *node) Setattr(ctx context.Context, fh gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if err := n.setattr(ctx, fh, in); err != nil {
		return n.m.fail("setattr", n.label(), err)
	}
	o, err := n.m.stat(ctx, n)
	if err != nil {
		return n.m.fail("setattr", n.label(), err)
	}
	n.m.fillAttr(out, &o)
	return 0
}

func (n *node) setattr(ctx context.Context, fh gofs.FileHandle, in *fuse.SetAttrIn) error {
	change, some := attrChange(in)
	size, resize := in.GetSize()
	if !some && !resize {
		return nil
	}
	f, err := n.m.writable(ctx, n)
	if err != nil {
		return err
	}
	defer f.Release()
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
	n.m.facts.drop(f.Stat().Key)
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
		return nil
	}
	return change, setMode || setUID || setGID || setMtime
}

// writable acquires the File whose attributes are n's. A directory without a marker gets one to
// carry them; the root of a whole bucket cannot have one, and is refused.
func (m *Mount) writable(ctx context.Context, n *node) (*writeback.File, error) {
	if f := n.openFile(); f != nil {
		if st := f.Stat(); st.Unlinked {
			return m.o.Store.Acquire(st.Key, st.Base, st.Attr), syscall.ESTALE
		}
	}
	o, err := m.stat(ctx, n)
	if err != nil {
		return nil, err
	}
	return m.acquire(ctx, n, o)
}

// acquire acquires the File of n, which o describes.
func (m *Mount) acquire(ctx context.Context, n *node, o object) (f *writeback.File, err error) {
	if o.key == "/" || o.gone {
		return nil, syscall.EPERM
	}
	kerr := m.tree.keyed(ctx, n, func(key string) { f, err = m.acquireKey(key, o) })
	if kerr != nil {
		return nil, kerr
	}
	return f, err
}

// acquireKey acquires the File of key, which o describes, unless a directory has to be given a
// marker first.
func (m *Mount) acquireKey(key string, o object) (*writeback.File, error) {
	if l, ok := m.o.Store.Local(key); o.bare && (!ok || l.File == nil) {
		return m.o.Store.Create(key, m.bornAttr(o.attr), writeback.CreateMode{})
	}
	return m.o.Store.Acquire(key, o.ver, o.attr), nil
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
	key, err := n.m.tree.key(ctx, n)
	if err == nil {
		err = n.m.o.Store.SyncDir(n.m.ctx, key)
	}
	return n.m.fail("fsync", key, err)
}
