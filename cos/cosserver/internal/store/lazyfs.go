package store

import "github.com/cockroachdb/pebble/v2/vfs"

// lazyFS is the file system of an index that need not survive the machine: its files are never
// synced. Opening and closing an index syncs a dozen times, which is most of what a short test waits
// for.
type lazyFS struct{ vfs.FS }

// lazyFile is a file whose syncs do nothing.
type lazyFile struct{ vfs.File }

// Sync does nothing.
func (lazyFile) Sync() error { return nil }

// SyncData does nothing.
func (lazyFile) SyncData() error { return nil }

// SyncTo does nothing, and says that it did not do everything.
func (lazyFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }

func lazy(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return lazyFile{f}, nil
}

// Create implements vfs.FS.
func (l lazyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazy(l.FS.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (l lazyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return lazy(l.FS.OpenReadWrite(name, c, opts...))
}

// OpenDir implements vfs.FS.
func (l lazyFS) OpenDir(name string) (vfs.File, error) { return lazy(l.FS.OpenDir(name)) }

// ReuseForWrite implements vfs.FS.
func (l lazyFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return lazy(l.FS.ReuseForWrite(oldname, newname, c))
}
