package writeback

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"cosfuse/writeback/extent"
)

// FileState says what stands between a file and COS.
type FileState string

// The states of a file that is not in COS as it is here.
const (
	StateWaiting   FileState = "waiting"   // to be committed: at close, or a moment after the last change
	StateUploading FileState = "uploading" // a commit is under way
	StateFailed    FileState = "failed"    // the last commit failed; it is tried again
	StateConflict  FileState = "conflict"  // another writer was first; kept until the user decides
	StateDamaged   FileState = "damaged"   // staged bytes are missing; kept until the user decides
)

// Kept reports whether a file in this state is never committed unless the user says so.
func (s FileState) Kept() bool { return s == StateConflict || s == StateDamaged }

// FileStatus tells of one file, directory or symlink that is not in COS as it is here.
type FileStatus struct {
	Ino   uint64 // names it to Export, Retry and Drop
	Key   string // a directory's ends in "/"
	State FileState
	Size  int64     // of the whole file, in bytes
	Left  int64     // bytes that are not in COS; 0 if only attributes are not
	Since time.Time // when it became dirty; zero if nothing was written to it yet
	Open  bool      // somebody has it open
	Err   string    // of the last commit; "" if it has not failed

	// Behind is the key at which its object still is, because the rename of a directory could not move it;
	// "" = Key. Drop gives it that name back.
	Behind string
}

// Status tells of everything dirty and everything kept, in the order of keys. It may wait for the local
// disk, never for the network.
func (s *Store) Status() []FileStatus {
	s.mu.Lock()
	files := s.allFilesLocked()
	s.mu.Unlock()
	var out []FileStatus
	for _, f := range files {
		if st, ok := f.status(); ok {
			out = append(out, st)
		}
	}
	slices.SortFunc(out, compareStatus)
	return out
}

// compareStatus orders by key, and by age where one key has several.
func compareStatus(a, b FileStatus) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Ino, b.Ino))
}

// status describes f; ok is false if f is clean.
func (f *File) status() (st FileStatus, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.keptLocked() && !f.committing && !f.dirtyLocked() {
		return FileStatus{}, false
	}
	st = FileStatus{Ino: f.ino, Key: f.key, State: f.stateLocked(), Size: f.size, Left: f.leftLocked(), Since: f.dirtySince,
		Open: f.handles > 0, Behind: f.behind}
	if err := cmp.Or(f.lastErr, f.err); err != nil {
		st.Err = err.Error()
	}
	return st, true
}

// leftLocked counts the dirty bytes that have not arrived at the service.
func (f *File) leftLocked() int64 {
	left := f.ext.Dirty()
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Sent {
			left += e.Len()
		}
	}
	if f.committing {
		return max(0, left-f.sent.Load())
	}
	return max(0, left-f.arrivedLocked())
}

// keptLocked reports whether f is out of the tree, but in the journal for the user to decide.
func (f *File) keptLocked() bool { return f.unlinked && (f.conflict || f.damaged) && f.journalled }

// stateLocked names the state of a file that is dirty or kept.
func (f *File) stateLocked() FileState {
	switch {
	case f.damaged:
		return StateDamaged
	case f.committing:
		return StateUploading
	case f.conflict:
		return StateConflict
	case f.lastErr != nil, f.err != nil:
		return StateFailed
	}
	return StateWaiting
}

// SyncBelow commits what is dirty at key and below it, taken as a directory; "" is everything. It waits;
// the error joins all failures. Once ctx ends no further commit is begun.
func (s *Store) SyncBelow(ctx context.Context, key string) error {
	return s.syncFiles(ctx, func(st Stat) bool { return Below(st.Key, key) }, strings.TrimSuffix(key, "/"))
}

// SyncKey is SyncBelow for what is at key alone.
func (s *Store) SyncKey(ctx context.Context, key string) error {
	return s.syncFiles(ctx, func(st Stat) bool { return st.Key == key }, key)
}

// Below reports whether the key k is the file or directory named by dir, or lies below it; "" is the root.
func Below(k, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	rest, ok := strings.CutPrefix(k, dir)
	return ok && (dir == "" || rest == "" || rest[0] == '/')
}
