package writeback

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// Errors of a journal that cannot be opened, from Open, ReadLeft and OpenOffline.
var (
	ErrForeign = journal.ErrForeign // it belongs to another bucket or prefix
	ErrFormat  = journal.ErrFormat  // another version wrote it
	ErrLocked  = journal.ErrLocked  // another process has it open
)

// Left is what a mount that is gone left in its directory.
type Left struct {
	Bucket, Prefix string       // whose it is; empty if there is no journal
	Files          []FileStatus // as Status tells them; nothing is open, and nothing uploading
	Removals       int          // deletions to be made
	Renames        int          // directory renames to be completed
	Uploads        int          // multipart uploads to be aborted
}

// Empty reports whether there is nothing to recover.
func (l *Left) Empty() bool { return len(l.Files)+l.Removals+l.Renames+l.Uploads == 0 }

// ReadLeft reads what the journal in dir, the Dir of a Store that is gone, holds. It changes nothing and
// does not ask the service. A directory without a journal holds nothing. The error is ErrLocked if the
// Store is not gone.
func ReadLeft(dir string) (*Left, error) {
	j, id, err := journal.OpenExisting(filepath.Join(dir, "journal"), journal.ReadOnly, journal.Options{})
	if errors.Is(err, iofs.ErrNotExist) {
		return new(Left), nil
	}
	if err != nil {
		return nil, err
	}
	st, err := j.Load()
	if err := errors.Join(err, j.Close()); err != nil {
		return nil, err
	}
	l := &Left{Bucket: id.Bucket, Prefix: id.Prefix, Removals: len(st.Removals), Renames: len(st.Renames)}
	for _, u := range st.Uploads {
		if !u.Keep {
			l.Uploads++
		}
	}
	held, err := stagedSizes(filepath.Join(dir, "staging"), st.Deltas)
	if err != nil {
		return nil, err
	}
	for _, r := range st.Inodes {
		f, err := recordStatus(r, held)
		if err != nil {
			return nil, fmt.Errorf("journal record of %q: %w", r.Key, err)
		}
		l.Files = append(l.Files, f)
	}
	slices.SortFunc(l.Files, compareStatus)
	return l, nil
}

// stagedSizes tells how long each staging file in dir is, by name, or will be with the deltas in it.
func stagedSizes(dir string, deltas []journal.Delta) (map[string]int64, error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, e := range list {
		fi, err := e.Info()
		if err != nil {
			return nil, err
		}
		sizes[e.Name()] = fi.Size()
	}
	for _, d := range deltas {
		name := stagingName(d.Ino, d.Src)
		sizes[name] = max(sizes[name], d.Off+int64(len(d.Data)))
	}
	return sizes, nil
}

// recordStatus describes a file as the next mount would find it. held are the sizes of staging files.
func recordStatus(r journal.Inode, held map[string]int64) (FileStatus, error) {
	ext, err := extentsOf(r.Extents)
	if err != nil {
		return FileStatus{}, err
	}
	missing := ext.Any(func(e extent.Extent) bool {
		return e.Kind == extent.Staged && held[stagingName(r.Ino, e.Src)] < e.SrcOff+e.Len()
	})
	st := FileStatus{Ino: r.Ino, Key: r.Key, State: StateWaiting, Size: r.Size, Left: ext.Dirty(), Since: r.Since, Err: r.Err, Behind: r.Behind}
	switch {
	case missing:
		st.State = StateDamaged
	case r.Conflict:
		st.State = StateConflict
	case r.Err != "":
		st.State = StateFailed
	}
	return st, nil
}

// Offline is the write state that a mount left behind, to decide upon file by file. Nothing of it is
// carried out but what is asked for. No other process can have it meanwhile.
type Offline struct{ s *Store }

// OpenOffline opens what a Store that is gone left in o.Dir. Prefix is not needed; without Client and
// Blocks, nothing can be committed, and nothing that is only in COS be exported. Work ends with ctx. The
// error is fs.ErrNotExist if no Store was ever there, else one of those of Open.
func OpenOffline(ctx context.Context, o Options) (*Offline, error) {
	j, id, err := journal.OpenExisting(filepath.Join(o.Dir, "journal"), journal.ReadWrite, journal.Options{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	if o.Client != nil && o.Client.Bucket() != id.Bucket {
		return nil, errors.Join(fmt.Errorf("%w: it holds changes of %s", ErrForeign, id.Bucket), j.Close())
	}
	o.Prefix = id.Prefix
	s := &Store{Options: o.withDefaults(), names: make(names), parked: make(map[uint64]*File), journal: j}
	ctx, s.cancel = context.WithCancel(ctx)
	s.ctx = cos.WithUnclear(ctx, s.noteUnclear)
	s.late.settle, s.late.now = s.SettleTime, s.now
	s.lazy, s.removals = newLazyQueue(s), newRemovals(s)
	s.orphans = newOrphans(s)
	s.lazy.stop() // it takes nothing any more: only what is asked for is committed
	off := &Offline{s}
	st, err := j.Load()
	if err == nil {
		err = s.replay(st)
	}
	if err != nil {
		return nil, errors.Join(err, off.Close())
	}
	for _, u := range st.Uploads {
		if f := s.find(u.Ino); u.Keep && f != nil {
			f.keptUpload(u)
		}
	}
	return off, nil
}

// Close gives the directory back. What was neither committed nor dropped stays in it.
func (o *Offline) Close() error {
	o.s.cancel()
	o.s.mu.Lock()
	files := o.s.allFilesLocked()
	o.s.mu.Unlock()
	for _, f := range files {
		f.discard()
	}
	return o.s.journal.Close()
}

// Prefix is that of the mount: every key begins with it.
func (o *Offline) Prefix() string { return o.s.Prefix }

// Status is that of the Store.
func (o *Offline) Status() []FileStatus { return o.s.Status() }

// Export is that of the Store.
func (o *Offline) Export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]Gap, error) {
	return o.s.Export(ctx, ino, w, partial)
}

// Retry is that of the Store.
func (o *Offline) Retry(ctx context.Context, ino uint64) (Replaced, error) {
	return o.s.Retry(ctx, ino)
}

// Drop is that of the Store.
func (o *Offline) Drop(ino uint64) error { return o.s.Drop(ino) }
