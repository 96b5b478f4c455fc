package cache

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"cosfuse/cache/internal/disk"
)

// Errors of NewBlocks about the directory of DiskOptions.
var (
	// ErrDiskFormat says that the directory holds something else, or a cache of a newer program.
	ErrDiskFormat = disk.ErrFormat
	// ErrDiskLocked says that another process has the directory.
	ErrDiskLocked = disk.ErrLocked
)

// DiskOptions of a directory that keeps blocks behind those in memory.
type DiskOptions struct {
	// Dir is made if it does not exist. It must be empty or a cache from before, and is locked
	// against other processes.
	Dir string
	// MaxBytes bounds the directory. 0 is 10 GiB. Each block costs about 100 bytes of memory outside
	// of BlocksOptions.MemoryBytes, that of a small object as much as one of 128 KiB.
	MaxBytes int64
	// MinFreeBytes is what stays free on the filesystem: below it blocks are evicted and none are
	// written. 0 is no floor.
	MinFreeBytes int64
	// Patience is how long a fetch waits, in all, until the disk has room in its queue for what was
	// fetched; then blocks are left out until the disk has caught up. 0 is a second: what is read faster
	// than the disk writes is then read as fast as the disk writes, down to some 30 MB/s.
	Patience time.Duration
	// Logger gets one Error when the disk fails and one Warn when a block is damaged. nil is none.
	Logger *slog.Logger
	// FreeBytes returns the free space of the filesystem that dir is on. nil asks the system.
	FreeBytes func(dir string) (int64, error)
}

// DiskUsage tells what the disk cache holds, and counts since the Blocks was made.
type DiskUsage struct {
	Bytes     int64 // on disk, with what is dropped but not yet reclaimed
	Blocks    int64
	Objects   int64
	Hits      int64 // blocks that were read from it
	Evictions int64 // blocks given up for space
	Damaged   int64 // blocks that did not verify and were fetched again
	Skipped   int64 // blocks not written, because the disk was behind or below its free-space floor
	Enabled   bool  // false if there is none, or it failed
}

// DiskUsage returns the counters of the disk cache. It does not block.
func (b *Blocks) DiskUsage() DiskUsage {
	if b.disk == nil {
		return DiskUsage{}
	}
	return usageOf(b.disk.Usage())
}

func usageOf(u disk.Usage) DiskUsage {
	return DiskUsage{
		Bytes: u.Bytes, Blocks: u.Blocks, Objects: u.Objects, Hits: u.Hits, Evictions: u.Evictions,
		Damaged: u.Damaged, Skipped: u.Skipped, Enabled: !u.Failed,
	}
}

// TrimDisk evicts the oldest blocks from disk until at most size bytes are left; 0 empties it. It
// blocks while files are deleted.
func (b *Blocks) TrimDisk(size int64) {
	if b.disk != nil {
		b.disk.Trim(size)
	}
}

// openDisk opens the disk cache, if there is to be one. A disk that fails is done without, loudly;
// a directory that is not ours to use is an error.
func openDisk(o *DiskOptions, queueBytes int64) (*disk.Store, error) {
	if o == nil {
		return nil, nil
	}
	s, err := disk.Open(disk.Options{
		Dir: o.Dir, MaxBytes: o.MaxBytes, MinFreeBytes: o.MinFreeBytes,
		QueueBytes: queueBytes, Logger: o.Logger, FreeBytes: o.FreeBytes,
	})
	for _, failing := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS} {
		if errors.Is(err, failing) {
			if o.Logger != nil {
				o.Logger.Error("disk cache cannot be opened, going on without it", "op", "cache", "err", err)
			}
			return nil, nil
		}
	}
	return s, err
}

// onDisk reports whether the disk cache is likely to have a block. It needs no lock.
func (b *Blocks) onDisk(o *object, idx int64) bool {
	return b.disk != nil && b.disk.Has(o.disk, idx)
}

// readDisk fills blk from disk, and reports whether it could.
func (b *Blocks) readDisk(blk *block) bool {
	return b.disk != nil && b.disk.Get(blk.obj.disk, blk.idx, blk.buf)
}

// defaultPatience is that of DiskOptions.
const defaultPatience = time.Second

// patience of one flight.
func (b *Blocks) patience() *disk.Patience {
	if b.o.Disk == nil {
		return nil
	}
	return &disk.Patience{Left: cmp.Or(b.o.Disk.Patience, defaultPatience)}
}

// pinLocked keeps a block that landed until writeDisk is done with it, and reports whether it is to be
// written. Of an old version nothing is kept on disk: one version of a key is.
func (b *Blocks) pinLocked(blk *block) bool {
	if b.disk == nil || !b.newestLocked(blk.obj) {
		return false
	}
	blk.pinned = true
	blk.obj.pins++
	return true
}

// unpin is called when the disk needs the block no more.
func (b *Blocks) unpin(blk *block) {
	b.mu.Lock()
	defer b.mu.Unlock()
	blk.pinned = false
	blk.obj.pins--
	b.recycleLocked(blk)
	b.reapLocked(blk.obj)
}

// writeDisk offers a pinned block to the disk cache, for which it may wait. fell is what the object's
// count said when the block was pinned.
func (b *Blocks) writeDisk(ctx context.Context, blk *block, fell int64, patience *disk.Patience) {
	o, idx := blk.obj, blk.idx
	b.disk.Put(ctx, o.disk, idx, blk.buf, patience, func() { b.unpin(blk) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.fell != fell || !b.newestLocked(o) {
		b.disk.Remove(o.disk, idx) // dropped, or outdated, just before it was queued
	}
}

// newestLocked reports whether no other version of the object's key was seen later.
func (b *Blocks) newestLocked(o *object) bool {
	for _, v := range b.versions[o.id.Key] {
		if v.born > o.born {
			return false
		}
	}
	return true
}
