package writeback

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// Rename moves f to the key dst, in COS by a copy and a deletion, or without any request if f was never
// committed. replaces says that something is at dst: it is replaced, and an open File of it lives on
// without a name. Attributes that wait to be sent ride along. It returns when COS has done it.
func (s *Store) Rename(f *File, dst string, replaces bool) error {
	for {
		src := f.Stat().Key
		t, err := s.enterToChange(append(f.keys(), dst), nil)
		if err != nil {
			return fmt.Errorf("rename %q to %q: %w", src, dst, err)
		}
		if f.Stat().Key != src {
			t.done()
			continue
		}
		if err = s.late.wait(s.ctx, []string{src, dst}, nil); err == nil {
			err = s.renameInTurn(f, src, dst, replaces)
		}
		t.done()
		return err
	}
}

// renameInTurn renames with the turn on both keys.
func (s *Store) renameInTurn(f *File, src, dst string, replaces bool) error {
	if err := errors.Join(s.checkOnlyCopy(dst, f), f.moveHere()); err != nil {
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	if err := f.deleteShadowed(src); err != nil {
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	s.keepReplacedAt(dst, f)
	if err := f.completeUpload(); err != nil {
		return err
	}
	f.mu.Lock()
	if f.base.Absent() { // not in COS: an object at dst stays until our commit replaces it
		defer f.mu.Unlock()
		f.fresh, f.shadows = false, false
		if replaces {
			f.shadowLocked()
		}
		s.moveName(f, src, dst, Version{})
		s.Failpoint(fpRenameMoved)
		return f.rejournalLocked()
	}
	c := f.freezeLocked()
	f.mu.Unlock()
	forget, err := f.recordFileRename(src, dst, c.base)
	if err != nil {
		f.unfreeze(c, false)
		return err
	}
	defer forget()
	r, err := s.copyFrozen(c, dst)
	s.Failpoint(fpRenameCopied)
	if err != nil {
		f.unfreeze(c, false)
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	if err := s.Client.Delete(s.ctx, src, nil); err != nil && !errors.Is(err, cos.ErrNotFound) {
		f.unfreeze(c, false)
		s.mu.Lock()
		s.recordLocked(dst, r.v, r.attr)
		s.mu.Unlock()
		return fmt.Errorf("rename %q to %q: copied, but the old name remains: %w", src, dst, err)
	}
	s.Failpoint(fpRenameDeleted)
	f.unfreeze(c, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeReaderLocked()
	f.base, f.aclKnown = r.v, c.aclKnown
	if f.attrSeq == c.attrSeq {
		f.attr = r.attr
	}
	s.moveName(f, src, dst, c.base)
	s.Failpoint(fpRenameMoved)
	return f.rejournalLocked()
}

// deleteShadowed deletes the object that f, never committed, was to replace at src: its name is about to go.
// One whose deletion waits anyway is left to that.
func (f *File) deleteShadowed(src string) error {
	s := f.s
	f.mu.Lock()
	shadows := f.base.Absent() && f.shadows
	f.mu.Unlock()
	s.mu.Lock()
	e := s.names.at(src)
	waits := s.goingLocked(src, e)
	s.mu.Unlock()
	if !shadows || waits {
		return nil
	}
	if err := s.Client.Delete(s.ctx, src, nil); err != nil && !errors.Is(err, cos.ErrNotFound) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordDeletedLocked(src, e.version)
	return nil
}

// rejournalLocked brings f's record up to date after its name changed.
func (f *File) rejournalLocked() error {
	switch {
	case !f.journalled, f.dirtyLocked() && !f.volatile:
		return nil
	case f.dirtyLocked():
		return f.persistLocked()
	}
	return f.forgetLocked(journal.Sync)
}

// copyWithAttr copies the base to dst with the attributes as they are now. A time that only Last-Modified
// told is stated, since a copy has another one.
func (c *snapshot) copyWithAttr(dst string) (result, error) {
	ctx := c.f.s.ctx
	if err := c.learnACL(ctx); err != nil {
		return result{}, err
	}
	restate := c.dirtyAttr
	if c.attr.Known && c.attr.Mtime.IsZero() && !c.base.LastModified.IsZero() {
		c.attr.Mtime, restate = c.base.LastModified, true
	}
	if c.attr.Known && c.attr.typeMoves(c.key, dst) {
		c.attr.Headers.ContentType, restate = "", true
	}
	h, err := c.attr.encode(dst, true)
	if err != nil {
		return result{}, err
	}
	replace := &h
	if !restate {
		replace = nil
	}
	v, err := c.copyTo(ctx, dst, replace)
	return result{v: v, attr: c.attr}, err
}

// unfreeze ends a freeze that published no bytes: dirty ones stay dirty. sent says that attributes went.
func (f *File) unfreeze(c *snapshot, sent bool) {
	c.release()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committing, f.frozen = false, 0
	f.appendOnly = f.appendOnly && c.appendOnly
	f.wrote = f.wrote || c.wrote
	f.dirtyAttr = f.dirtyAttr || c.dirtyAttr && !sent
}

// moveName moves f from src to dst in the names. The caller holds f.mu. was is the version that was at
// src, and is gone from there.
func (s *Store) moveName(f *File, src, dst string, was Version) {
	f.key, f.volatile = dst, true
	s.mu.Lock()
	if e := s.names.at(src); e.file == f {
		e.file = nil
	}
	if !was.Absent() {
		s.recordDeletedLocked(src, was)
	}
	s.names.drop(src)
	d := s.names.at(dst)
	old := d.file
	d.file, d.deleted = f, false
	if !f.base.Absent() && f.behind == "" {
		s.recordLocked(dst, f.base, f.attr)
	}
	if f.base.Absent() && s.goingLocked(dst, d) {
		f.shadowLocked()
	}
	s.mu.Unlock()
	if !f.base.Absent() {
		s.removals.void(dst)
	}
	if old == nil || old == f {
		return
	}
	if f.base.Absent() || f.journalled && f.dirtyLocked() { // what old had acknowledged may go only when this is as safe
		if err := f.persistReplacingLocked(old); err != nil {
			s.Logger.Error("a file that replaced another could not be journalled", "ino", f.ino, "key", dst, "err", err)
		}
	}
	old.orphan()
}

// orphan takes the name from a file that another one replaced.
func (f *File) orphan() {
	f.mu.Lock()
	f.unlinked, f.doomed = true, false
	f.ctime = f.s.now()
	if err := f.forgetLocked(journal.Sync); err != nil {
		f.s.Logger.Error("a replaced file stays in the journal", "ino", f.ino, "key", f.key, "err", err)
	}
	f.mu.Unlock()
	f.dropIfIdle()
}

// RenameTree moves every key at or below src ("/"-terminated) to dst, which holds nothing but perhaps a
// marker. Files that were never committed move without a request; the others are copied, several at a
// time, then the old keys are deleted in batches. Objects that the service refuses to copy are left behind:
// see behind.go. If it refuses all, or another copy fails, the copies made are removed and nothing has moved.
func (s *Store) RenameTree(src, dst string) error {
	s.mu.Lock()
	s.ino++
	r := journal.TreeRename{ID: s.ino, Src: src, Dst: dst, Since: s.now()}
	if e := s.names.get(dst); e != nil && e.file != nil {
		r.Replaced = e.file.ino
	}
	s.mu.Unlock()
	return s.renameTree(r, false)
}

// renameTree carries out r. resumed says that an earlier mount began it: then it is only ever completed,
// never undone, and what is under its new name already is not copied again.
func (s *Store) renameTree(r journal.TreeRename, resumed bool) error {
	src, dst := r.Src, r.Dst
	if err := errors.Join(s.removals.flush(src), s.removals.flush(dst)); err != nil {
		return fmt.Errorf("rename %q: %w", src, err)
	}
	t, err := s.enterToChange(nil, []string{src, dst})
	if err != nil {
		return fmt.Errorf("rename %q: %w", src, err)
	}
	defer t.done()
	if err := s.late.wait(s.ctx, nil, []string{src, dst}); err != nil {
		return err
	}
	if resumed {
		s.loseReplaced(dst, r.Replaced)
	} else if err := s.checkOnlyCopies(dst); err != nil {
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	objects, err := s.listTree(src)
	if err != nil {
		return fmt.Errorf("rename %q: %w", src, err)
	}
	for _, o := range objects {
		if to := dst + o.Key[len(src):]; len(to) > cos.MaxKeyBytes {
			return fmt.Errorf("rename %q: %w: %d bytes", to, cos.ErrKeyInvalid, len(to))
		}
	}
	b := s.journal.Begin()
	b.PutRename(r)
	if err := b.Commit(journal.Sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	s.Failpoint(fpTreeRecorded)
	var have []cos.ListEntry
	if resumed {
		if have, err = s.listTree(dst); err != nil {
			return fmt.Errorf("rename %q: %w", src, err)
		}
	}
	copies, behind, err := s.copyTree(objects, have, src, dst, resumed)
	if err != nil && resumed {
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	if err != nil {
		s.undoCopies(copies, objects, src, dst)
		s.forgetRename(r.ID)
		return fmt.Errorf("rename %q to %q: %w", src, dst, err)
	}
	moved := s.moved(objects)
	keys := keysOf(moved)
	s.Failpoint(fpTreeCopied)
	failed, err := s.Client.DeleteMany(s.ctx, keys)
	s.Failpoint(fpTreeDeleted)
	if refusal := refusedAll(keys, failed, err); refusal != nil && !resumed { // not ours to delete: nothing is gone yet
		s.undoBehind(behind)
		s.undoCopies(copies, objects, src, dst)
		s.forgetRename(r.ID)
		return fmt.Errorf("rename %q to %q: %w", src, dst, refusal)
	}
	s.moveTree(src, dst, objects, copies)
	s.queueBehind(behind)
	s.Failpoint(fpTreeMoved)
	if err == nil && len(failed) == 0 {
		s.forgetRename(r.ID)
		return nil
	}
	s.Logger.Warn("a renamed directory left old names behind; they are deleted later", "key", src, "len", len(failed), "err", err)
	return s.deleteLater(r, moved, failed, err)
}

// refusedAll returns why none of keys was deleted, if the service said so.
func refusedAll(keys []string, failed []cos.DeleteError, err error) error {
	switch {
	case errors.Is(err, cos.ErrAccessDenied):
		return err
	case len(failed) > 0 && len(failed) == len(keys):
		return fmt.Errorf("delete %q: %w", failed[0].Key, failed[0].Err)
	}
	return nil
}

// deleteLater queues the old names of objects, which a rename could not delete, or does not know whether it did, and
// forgets the rename: to resume it would move what is made under the old name from now on. It needs the turn.
func (s *Store) deleteLater(r journal.TreeRename, objects []cos.ListEntry, failed []cos.DeleteError, err error) error {
	left := make(map[string]bool, len(failed))
	for _, d := range failed {
		left[d.Key] = true
	}
	b := s.journal.Begin()
	b.DropRename(r.ID)
	var queue []cos.ListEntry
	for _, o := range objects {
		if err == nil && !left[o.Key] {
			continue
		}
		queue = append(queue, o)
		v := journal.Version{ETag: o.ETag, Size: o.Size, LastModified: o.LastModified}
		b.PutRemoval(journal.Removal{Key: o.Key, Version: v, Since: s.now()})
	}
	if err := b.Commit(journal.Sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	for _, o := range queue {
		s.removals.add(o.Key, Version{ETag: o.ETag, Size: o.Size, LastModified: o.LastModified})
	}
	return nil
}

// keysOf returns the keys of objects.
func keysOf(objects []cos.ListEntry) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys
}

// forgetRename notes that a directory rename is complete or undone.
func (s *Store) forgetRename(id uint64) {
	b := s.journal.Begin()
	b.DropRename(id)
	if err := b.Commit(journal.Sync); err != nil {
		s.Logger.Error("journal: a directory rename that is done stays recorded", "err", err)
	}
}

// listTree lists every key at or below prefix, and adds what the Store knows better than a listing that
// may lag.
func (s *Store) listTree(prefix string) ([]cos.ListEntry, error) {
	byKey := make(map[string]cos.ListEntry)
	o := cos.ListOptions{Prefix: prefix}
	for {
		page, err := s.Client.List(s.ctx, &o)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			byKey[e.Key] = e
		}
		if !page.Truncated {
			break
		}
		o.Marker = page.NextMarker
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.names.below(prefix) {
		switch e := s.names.get(key); {
		case e.changed && e.deleted, s.goingLocked(key, e):
			delete(byKey, key)
		case e.changed && byKey[key].ETag != e.version.ETag:
			byKey[key] = cos.ListEntry{Key: key, Size: e.version.Size, ETag: e.version.ETag, StorageClass: e.attr.Headers.StorageClass}
		}
	}
	out := make([]cos.ListEntry, 0, len(byKey))
	for _, e := range byKey {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b cos.ListEntry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// copyTree copies objects to their new keys. The versions it returns line up with objects; an absent one was
// not copied. What is in have already, with the same content, is not copied again; but for the marker of
// the directory itself, as one that an empty directory had before looks the same. What is to be left behind
// is returned, too; of a rename that is not resumed it must not be all.
func (s *Store) copyTree(objects, have []cos.ListEntry, src, dst string, resumed bool) ([]Version, []leftBehind, error) {
	out, refused := make([]Version, len(objects)), make([]error, len(objects))
	there := make(map[string]cos.ListEntry, len(have))
	for _, e := range have {
		there[e.Key] = e
	}
	g, ctx := errgroup.WithContext(s.ctx)
	g.SetLimit(4 * s.CommitThreads)
	for i, o := range objects {
		h, ok := there[dst+o.Key[len(src):]]
		if ok && o.Key != src && h.ETag == o.ETag && h.Size == o.Size {
			out[i] = Version{ETag: h.ETag, Size: h.Size, LastModified: h.LastModified}
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			v, err := s.copyListed(o, dst+o.Key[len(src):])
			s.Failpoint(fpTreeCopy)
			out[i] = v
			if err != nil {
				err = fmt.Errorf("copy %q: %w", o.Key, err)
			}
			if refusal(err) && !isDirKey(o.Key) {
				refused[i] = err
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return out, nil, err
	}
	behind, err := s.leaveRefused(objects, out, refused, resumed)
	return out, behind, err
}

// copyListed copies an object known from a listing, with its attributes if they wait to be sent.
func (s *Store) copyListed(o cos.ListEntry, to string) (Version, error) {
	v := Version{ETag: o.ETag, Size: o.Size}
	a := DefaultAttr(o.Key, s.Defaults)
	if o.StorageClass != "STANDARD" {
		a.Headers.StorageClass = o.StorageClass
	}
	f := s.Acquire(o.Key, v, a)
	defer f.Release()
	f.mu.Lock()
	if f.base.Absent() { // a file of ours that replaces this object: it moves by itself
		f.mu.Unlock()
		return Version{}, nil
	}
	c := f.freezeLocked()
	f.mu.Unlock()
	r, err := s.copyFrozen(c, to)
	f.unfreeze(c, false) // the copy may be undone yet: moveTree tells
	if err != nil {
		return Version{}, err
	}
	f.mu.Lock()
	f.copiedAttr = c.attrSeq + 1
	f.mu.Unlock()
	s.mu.Lock()
	if e := s.names.get(o.Key); e != nil && e.changed && !e.deleted {
		e.attr = r.attr // what waited to be sent went along
	}
	s.mu.Unlock()
	return r.v, nil
}

// copyFrozen copies c's base to the key to. An object that may refuse to be copied is looked at first:
// relaying needs its attributes.
func (s *Store) copyFrozen(c *snapshot, to string) (result, error) {
	r, err := c.copyWithAttr(to)
	if !errors.Is(err, cos.ErrInvalidState) {
		return r, err
	}
	i, herr := s.Client.Head(s.ctx, c.key, nil)
	if herr != nil || !i.Appendable {
		return r, err
	}
	c.base = VersionOf(i, s.now())
	if !c.dirtyAttr {
		c.attr = DecodeAttr(i, s.Defaults)
	}
	s.refuseCopy(c.base)
	return c.copyWithAttr(to)
}

// undoCopies removes copies of a rename that failed.
func (s *Store) undoCopies(copies []Version, objects []cos.ListEntry, src, dst string) {
	var keys []string
	for i, v := range copies {
		if !v.Absent() {
			keys = append(keys, dst+objects[i].Key[len(src):])
		}
	}
	if len(keys) == 0 {
		return
	}
	failed, err := s.Client.DeleteMany(s.ctx, keys)
	if err != nil || len(failed) > 0 {
		s.Logger.Error("copies of a rename that failed could not be removed", "key", dst, "len", len(keys), "err", err)
	}
}

// moveTree gives every File and name below src its new key.
func (s *Store) moveTree(src, dst string, objects []cos.ListEntry, copies []Version) {
	s.mu.Lock()
	files := s.filesLocked(src)
	s.mu.Unlock()
	moved := make(map[string]Version, len(objects))
	for i, o := range objects {
		moved[o.Key] = copies[i]
	}
	for _, f := range files {
		f.mu.Lock()
		if from := f.key; !f.unlinked && strings.HasPrefix(from, src) {
			was := f.base
			if v := moved[from]; !v.Absent() && !f.base.Absent() {
				v.Appendable = f.base.Appendable && v.Appendable
				f.base = v
				f.dirtyAttr = f.dirtyAttr && f.copiedAttr != f.attrSeq+1
				f.closeReaderLocked()
			}
			f.fresh = f.behind != ""
			s.moveName(f, from, dst+from[len(src):], was)
			if err := f.rejournalMovedLocked(); err != nil {
				s.Logger.Error("journal keeps the old name of a renamed file", "ino", f.ino, "key", f.key, "err", err)
			}
			delete(moved, from)
		}
		f.mu.Unlock()
	}
	for _, f := range s.moveClean(src, dst, moved) {
		f.orphan()
	}
}

// moveClean records that the objects in moved, of which there are no Files, are below dst now. It returns
// the Files whose objects were replaced by that: of an empty directory's marker.
func (s *Store) moveClean(src, dst string, moved map[string]Version) (replaced []*File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for from, v := range moved {
		e := s.names.get(from)
		a := DefaultAttr(from, s.Defaults)
		known := e != nil && e.changed && !e.deleted
		if known {
			a = e.attr
		}
		s.recordDeletedLocked(from, v)
		if v.Absent() {
			continue
		}
		to := dst + from[len(src):]
		if e := s.names.at(to); e.file != nil {
			replaced = append(replaced, e.file)
			e.file = nil
		}
		s.recordLocked(to, v, a)
	}
	return replaced
}
