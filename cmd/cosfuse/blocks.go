package main

import (
	"errors"
	"log/slog"
	"path/filepath"

	"cosfuse/cache"
	"cosfuse/cos"
)

// blocksName is the directory in a cache directory where bytes that were read are kept.
const blocksName = "blocks"

// fetches are under way at most at the same time, three quarters of them ahead of readers. Small files take a
// round trip each, however small: at
// 15 ms this is 1,600 a second.
const fetches = 32

// blocksOptions are those of the mount's block cache.
func (o *mountOptions) blocksOptions(log *slog.Logger) cache.BlocksOptions {
	b := cache.BlocksOptions{
		MemoryBytes: int64(o.memory),
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

// brokeOff is true of a download that ended early and may be continued where it did: what the service
// said of the object is not. A body that is shorter than its header said is ErrBadResponse.
func brokeOff(err error) bool {
	return errors.Is(err, cos.ErrTransport) || errors.Is(err, cos.ErrStalled) || errors.Is(err, cos.ErrBadResponse)
}

// explainBlocks says what to do about a block cache that cannot be made.
func explainBlocks(err error) error {
	switch {
	case errors.Is(err, cache.ErrDiskFormat):
		return machineError("remove the directory "+blocksName+" of the cache directory: it holds nothing but copies", "%w", err)
	case errors.Is(err, cache.ErrDiskLocked):
		return machineError("use another --cache-dir", "%w", err)
	}
	return usageError("see --memory and --disk-cache-size in \"cosfuse mount --help\"", "%w", err)
}
