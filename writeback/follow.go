package writeback

import (
	"errors"
	"fmt"

	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// The rename of a file that has a record in the journal, or replaces one that has, is recorded too: between
// the copy and the records under the new names, a kill would leave changes of objects that are nowhere.

// recordFileRename notes that f's object, version v, is about to move. The returned function notes that it
// has moved, or will not.
func (f *File) recordFileRename(src, dst string, v Version) (forget func(), err error) {
	s := f.s
	s.mu.Lock()
	target := s.names.at(dst).file
	s.mu.Unlock()
	if !f.hasRecord() && !target.hasRecord() {
		return func() {}, nil
	}
	s.mu.Lock()
	s.ino++
	r := journal.TreeRename{ID: s.ino, Src: src, Dst: dst, Since: s.now(), Version: versionRecord(v)}
	if target != nil {
		r.Replaced = target.ino
	}
	s.mu.Unlock()
	b := s.journal.Begin()
	b.PutRename(r)
	if err := b.Commit(journal.Sync); err != nil {
		return nil, fmt.Errorf("journal: %w", stagingError(err))
	}
	return func() { s.forgetRename(r.ID) }, nil
}

// hasRecord reports whether the journal knows f, which may be nil.
func (f *File) hasRecord() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journalled
}

// finishFileRename settles a rename that an earlier mount began: if the object is under its new name, the old
// one goes, and the changes that wait for it follow. Otherwise it did not happen.
func (s *Store) finishFileRename(r journal.TreeRename) error {
	old, errOld := s.Client.Head(s.ctx, r.Src, nil)
	copied, errNew := s.Client.Head(s.ctx, r.Dst, nil)
	for _, err := range []error{errOld, errNew} {
		if err != nil && !errors.Is(err, cos.ErrNotFound) {
			return err
		}
	}
	v := versionOfRecord(r.Version)
	stillOld := errOld == nil && old.ETag == v.ETag
	switch {
	case errNew != nil || errOld == nil && !stillOld:
	case stillOld && !sameContent(VersionOf(copied, s.now()), VersionOf(old, s.now())):
	case errOld != nil && copied.Size != v.Size, errOld != nil && copied.LastModified.Before(r.Since.Add(-clockSlack)):
	default:
		if _, err := s.deleteVersion(r.Src, v); err != nil {
			return err
		}
		if err := s.followRename(r, VersionOf(copied, s.now())); err != nil {
			return err
		}
	}
	s.forgetRename(r.ID)
	return nil
}

// sameContent reports whether two objects have the same bytes.
func sameContent(a, b Version) bool {
	return a.Same(b) || a.Size == b.Size && a.HasCRC64 && b.HasCRC64 && a.CRC64 == b.CRC64
}

// followRename moves the changes that a recovered file has at the old name to v, under the new one. Those of
// what was there before are forgotten.
func (s *Store) followRename(r journal.TreeRename, v Version) error {
	s.mu.Lock()
	f := s.names.at(r.Src).file
	s.names.drop(r.Src)
	s.mu.Unlock()
	s.loseReplaced(r.Dst, r.Replaced)
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.base
	f.base, f.attempt = v, nil
	f.closeReaderLocked()
	s.moveName(f, r.Src, r.Dst, was)
	return f.rejournalLocked()
}
