package fs

import (
	"context"
	"errors"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"

	"cosfuse/writeback"
)

var _ gofs.NodeCopyFileRanger = (*node)(nil)

// maxCopyRange is what one answer can tell, in whole pages.
const maxCopyRange = 1<<32 - 4096

// CopyFileRange is copy_file_range(2), which cp uses, between two files of the mount: what COS has is copied
// there, when the file that it becomes part of is committed. EXDEV makes the kernel read and write the bytes
// instead. It waits for a commit of the source, and is not interrupted.
func (n *node) CopyFileRange(_ context.Context, in gofs.FileHandle, offIn uint64, _ *gofs.Inode, out gofs.FileHandle, offOut, size, _ uint64) (uint32, syscall.Errno) {
	src, ok1 := in.(*handle)
	dst, ok2 := out.(*handle)
	if !ok1 || !ok2 {
		return 0, syscall.EBADF
	}
	k, err := dst.wb.CopyRange(n.m.ctx, int64(offOut), src.wb, int64(offIn), int64(min(size, maxCopyRange)))
	if errors.Is(err, writeback.ErrCopyBytes) {
		return 0, toErrno(err) // an everyday answer
	}
	if err != nil {
		return 0, n.m.fail("copy_file_range", dst.n.label(), err)
	}
	return uint32(k), 0
}
