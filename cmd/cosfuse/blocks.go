package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/fs"
)

// Directories in a cache directory where what was read is kept: the bytes of objects, and their attributes.
const (
	blocksName = "blocks"
	notesName  = "attributes"
)

// maxNotes bounds what attributes take on disk, and with that the memory for knowing which are there.
const maxNotes = 64 << 20

// fetches are under way at most at the same time, three quarters of them ahead of readers. Small files take a
// round trip each, however small: at
// 15 ms this is 1,600 a second.
const fetches = 32

// blocksOptions are those of the mount's block cache.
func (o *mountOptions) blocksOptions(log *slog.Logger) cache.BlocksOptions {
	b := cache.BlocksOptions{
		MemoryBytes: o.blocksMemory(),
		Connections: fetches,
		Resume:      brokeOff,
		Checksum:    &cache.Checksum{Of: cos.CRC64, Combine: cos.CRC64Combine},
	}
	if o.diskCache > 0 {
		b.Disk = &cache.DiskOptions{
			Dir: filepath.Join(o.cacheDir, blocksName), MaxBytes: int64(o.diskCache), MinFreeBytes: int64(o.diskFree), Logger: log,
		}
	}
	return b
}

// openNotes opens what is kept of attributes: up to an eighth of what may be kept altogether.
func (o *mountOptions) openNotes(log *slog.Logger) (*cache.Notes, error) {
	if o.diskCache <= 0 || o.stat == statSource(fs.FromListings) {
		return nil, nil
	}
	return cache.OpenNotes(cache.NotesOptions{
		Dir: filepath.Join(o.cacheDir, notesName), MaxBytes: min(max(int64(o.diskCache)/8, 1), maxNotes),
		MinFreeBytes: int64(o.diskFree), Logger: log,
	})
}

// dropKept deletes what mounts keep of what they read. None may be using it.
func (o *mountOptions) dropKept() error {
	return errors.Join(os.RemoveAll(filepath.Join(o.cacheDir, blocksName)), os.RemoveAll(filepath.Join(o.cacheDir, notesName)))
}

// brokeOff is true of a download that ended early and may be continued where it did: what the service
// said of the object is not. A body that is shorter than its header said is ErrBadResponse.
func brokeOff(err error) bool {
	return errors.Is(err, cos.ErrTransport) || errors.Is(err, cos.ErrStalled) || errors.Is(err, cos.ErrBadResponse)
}

// explainKept says what to do about the directory called name in the cache directory, which cannot be used.
func explainKept(err error, name string) error {
	switch {
	case errors.Is(err, cache.ErrDiskFormat):
		return machineError("remove the directory "+name+" of the cache directory: it holds nothing but copies", "%w", err)
	case errors.Is(err, cache.ErrDiskLocked):
		return machineError("use another --cache-dir", "%w", err)
	}
	return usageError("see --memory and --disk-cache-size in \"cosfuse mount --help\"", "%w", err)
}
