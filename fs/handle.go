package fs

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// handle is one open(2) of a file.
type handle struct {
	n      *node
	wb     *writeback.Handle
	writes bool // open for writing
	keep   bool // the kernel's pages are of this version

	wrong atomic.Bool // bytes were handed out that are not this version's: no more are
}

var (
	_ gofs.FileReader    = (*handle)(nil)
	_ gofs.FileWriter    = (*handle)(nil)
	_ gofs.FileFlusher   = (*handle)(nil)
	_ gofs.FileReleaser  = (*handle)(nil)
	_ gofs.FileAllocater = (*handle)(nil)
	_ gofs.FileLseeker   = (*handle)(nil)
)

// newHandle opens f, the File of n.
func (n *node) newHandle(f *writeback.File, flags uint32) *handle {
	base := f.Stat().Base
	h := &handle{
		n: n, wb: f.Open(flags&syscall.O_APPEND != 0),
		writes: flags&syscall.O_ACCMODE != syscall.O_RDONLY, keep: n.pagesAre(base),
	}
	n.setPages(base)
	n.hold(f)
	return h
}

// openFlags tells the kernel whether it may keep the pages of the last open.
func (h *handle) openFlags() uint32 {
	if h.keep {
		return fuse.FOPEN_KEEP_CACHE
	}
	return 0
}

// settled notes, after a commit, that the kernel's pages are of the version it made: all bytes went
// through them.
func (h *handle) settled() {
	if st := h.wb.File().Stat(); !st.DirtyData {
		h.n.setPages(h.pages(st))
	}
}

// Read fills dest from off. Only the end of the file gives less: the kernel takes a short read for
// it. A file that is gone from the service is ESTALE, not ENOENT: it was there when it was opened.
func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if h.wrong.Load() {
		return nil, syscall.EIO // the kernel tries once more what failed ahead of a reader
	}
	ctx, done := patient(ctx)
	defer done()
	k, err := h.wb.ReadAt(ctx, dest, off)
	if errors.Is(err, cos.ErrNotFound) {
		err = errors.Join(writeback.ErrStale, err)
	}
	if errors.Is(err, cache.ErrChecksum) {
		h.disown()
	}
	if err != nil {
		return nil, h.n.m.fail("read", h.n.label(), err)
	}
	return fuse.ReadResultData(dest[:k]), 0
}

// disown makes the kernel forget what it was given, because the whole of it is not the object.
func (h *handle) disown() {
	h.wrong.Store(true)
	if c := h.n.m.o.Changes; c != nil {
		c.Add(h.wb.File().Stat().Key)
	}
}

// pages is what the kernel has of st, which is not dirty.
func (h *handle) pages(st writeback.Stat) writeback.Version {
	if h.wrong.Load() {
		return writeback.Version{}
	}
	return st.Base
}

// Write stores data at off, or at the end of the file for O_APPEND. It goes to the staging file.
func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	k, err := h.wb.WriteAt(data, off)
	if err != nil {
		return 0, h.n.m.fail("write", h.n.label(), err)
	}
	return uint32(k), 0
}

// Flush is sent by each close(2) of a descriptor: it commits if bytes were written. An interrupt does
// not end it, for then the bytes would be lost and close would not say so. Who only reads has written
// nothing: to commit what others are still writing, and tell a reader that it was refused, is not asked for.
func (h *handle) Flush(context.Context) syscall.Errno {
	if !h.writes {
		return 0
	}
	err := h.wb.Flush()
	h.settled()
	return h.n.m.fail("flush", h.n.label(), err)
}

// Release is the end of the handle, some time after close(2) returned. It commits an empty file.
func (h *handle) Release(context.Context) syscall.Errno {
	return h.n.m.fail("release", h.n.label(), h.close())
}

func (h *handle) close() error {
	f := h.wb.File()
	err := h.wb.Close()
	if st := f.Stat(); !st.DirtyData {
		h.n.setPages(h.pages(st))
		h.n.m.facts.outdate(st.Key, st.Base)
	}
	h.n.unhold()
	return err
}

// Allocate is fallocate(2) without those modes that would move bytes.
func (h *handle) Allocate(_ context.Context, off, size uint64, mode uint32) syscall.Errno {
	const known = unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	switch {
	case mode&^uint32(known) != 0:
		return syscall.EOPNOTSUPP
	case off > cos.MaxObjectBytes || size > cos.MaxObjectBytes || off+size > cos.MaxObjectBytes:
		return syscall.EFBIG
	}
	return h.n.m.fail("fallocate", h.n.label(), h.wb.Allocate(int64(off), int64(size), mode))
}

// Lseek finds data and holes: a file is all data, with the hole that every file has at its end.
func (h *handle) Lseek(_ context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	size := uint64(h.wb.File().Stat().Size)
	switch {
	case off >= size:
		return 0, syscall.ENXIO
	case whence == unix.SEEK_DATA:
		return off, 0
	case whence == unix.SEEK_HOLE:
		return size, 0
	}
	return 0, syscall.EINVAL
}
