package writeback

import (
	"errors"
	"fmt"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// Remove takes f's name away, as unlink(2) or rmdir(2) (the caller knows that the directory is empty). An
// object is deleted before Remove returns, or with others a moment later if it is not the first in its
// directory; but if the file is open and its bytes are only in COS the deletion waits for the last close.
// A file never committed costs no request.
func (s *Store) Remove(f *File) error {
	t, err := f.enterToChange()
	if err != nil {
		return err
	}
	defer t.done()
	if err := f.giveUpBehind(); err != nil {
		return err
	}
	going := s.going(f.Stat().Key) // what f was to replace goes without us
	f.mu.Lock()
	key, base, journalled := f.key, f.base, f.journalled
	inCOS := !base.Absent() || f.shadows && !going || isDirKey(key) && !f.neverCommitted
	wait := inCOS && f.handles > 0 && f.ext.Any(func(e extent.Extent) bool { return e.Kind == extent.Base })
	f.mu.Unlock()
	known := !base.Absent() || isDirKey(key) // else the journal could not say what is meant
	later := inCOS && !wait && (s.late.left([]string{key}, nil) > 0 || known && s.removals.burst(key))
	now := inCOS && !wait && !later && journalled && known
	if wait || later || now {
		if err := s.recordRemoval(key, base); err != nil {
			return err
		}
	}
	s.Failpoint(fpRemoveRecorded)
	if inCOS && !wait && !later {
		if err := s.Client.Delete(s.ctx, key, nil); err != nil && !errors.Is(err, cos.ErrNotFound) {
			if now {
				s.forgetRemoval(key)
			}
			return fmt.Errorf("delete %q: %w", key, err)
		}
		s.removals.confirmed(key)
	}
	s.Failpoint(fpRemoveDeleted)
	f.detach(key, base, inCOS, wait, later)
	s.Failpoint(fpRemoveDetached)
	if now {
		s.forgetRemoval(key)
	}
	f.mu.Lock()
	e := f.takeEarlyLocked()
	f.mu.Unlock()
	s.dropEarly(s.ctx, e)
	return nil
}

// recordRemoval notes that key, as version v, is to be deleted.
func (s *Store) recordRemoval(key string, v Version) error {
	b := s.journal.Begin()
	b.PutRemoval(journal.Removal{Key: key, Version: versionRecord(v), Since: s.now()})
	if err := b.Commit(journal.Sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	return nil
}

// detach takes f out of the tree of names; doom leaves its object to deleteDoomed, and later to the queue. Whoever
// makes a new file of that name finds that out from now on.
func (f *File) detach(key string, base Version, inCOS, doom, later bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlinked, f.doomed = true, doom && f.handles > 0
	f.ctime = f.s.now()
	if err := f.forgetLocked(journal.Sync); err != nil { // synced: a crash must not bring the file back
		f.s.Logger.Error("a removed file stays in the journal", "ino", f.ino, "key", key, "err", err)
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	e := f.s.names.at(key)
	if e.file == f {
		e.file = nil
	}
	if f.doomed {
		e.doomed = f
		f.s.removals.hold(key, true)
	}
	if later || doom && !f.doomed { // its last handle was closed since it was looked at
		f.s.removals.add(key, base)
	}
	if inCOS {
		f.s.recordDeletedLocked(key, base)
		return
	}
	f.s.names.drop(key)
}

// deleteAllDoomed deletes the objects of all files that were unlinked while open. Their last close may still be
// on its way when the mount ends: the kernel tells of it later.
func (s *Store) deleteAllDoomed() error {
	s.mu.Lock()
	var doomed []*File
	for _, key := range s.names.below("") {
		if f := s.names.get(key).doomed; f != nil {
			doomed = append(doomed, f)
		}
	}
	s.mu.Unlock()
	var err error
	for _, f := range doomed {
		err = errors.Join(err, f.deleteDoomed())
	}
	return err
}

// deleteDoomed deletes the object of a file that was unlinked while open, at its last close; unless a
// commit of a new file of that name replaced it meanwhile.
func (f *File) deleteDoomed() error {
	t, err := f.enter()
	if err != nil {
		return err
	}
	defer t.done()
	f.mu.Lock()
	key, base := f.key, f.base
	f.doomed = false
	f.mu.Unlock()
	s := f.s
	s.mu.Lock()
	e := s.names.get(key)
	mine := e != nil && e.doomed == f
	s.mu.Unlock()
	if !mine {
		return nil
	}
	if err := s.late.wait(s.ctx, []string{key}, nil); err != nil {
		return err
	}
	left, err := s.deleteVersion(key, base)
	s.Failpoint(fpDoomedDeleted)
	s.mu.Lock()
	e.doomed = nil
	s.removals.hold(key, false)
	if (err != nil || left) && e.file == nil {
		e.changed = false // an object is there, and so is its name
	} else if e.file == nil {
		s.recordDeletedLocked(key, base)
	}
	s.names.drop(key)
	s.mu.Unlock()
	s.forgetRemoval(key)
	if left {
		s.Changed(key)
	}
	if err != nil {
		s.Logger.Error("an unlinked file could not be deleted and is back", "key", key, "err", err)
		s.Changed(key)
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// deleteVersion deletes the object at key if it is still version v, which was meant a while ago. left says
// that it is somebody's newer one, and was left alone. It needs the turn.
func (s *Store) deleteVersion(key string, v Version) (left bool, err error) {
	i, err := s.Client.Head(s.ctx, key, nil)
	switch {
	case errors.Is(err, cos.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case i.ETag != v.ETag && !(isDirKey(key) && v.Absent()): // a marker is like any other
		return true, nil
	}
	if err := s.Client.Delete(s.ctx, key, nil); err != nil && !errors.Is(err, cos.ErrNotFound) {
		return false, err
	}
	return false, nil
}
