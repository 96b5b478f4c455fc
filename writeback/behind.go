package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// A directory is renamed object by object, and the service may refuse to copy some: archived ones, those it
// forbids, appendable ones too large to relay. The others move all the same. An object that could not stays
// where it is in the bucket, left behind, while its File has the new name here: it reads from the old key,
// its commit copies the object, and until that works the journal has it and Status shows it. The old key is
// then neither shown nor overwritten: it holds the only copy.

// maxBehind is how many objects a rename may leave behind. Where more are refused nothing moves.
const maxBehind = 1000

// errOnlyCopy keeps others from replacing an object that was left behind.
var errOnlyCopy = fmt.Errorf("%w: a renamed file could not be moved away from here yet", ErrInUse)

// refusal reports whether err says that this object, and perhaps no other, cannot be copied.
func refusal(err error) bool {
	return errors.Is(err, cos.ErrInvalidState) || errors.Is(err, cos.ErrAccessDenied) || errors.Is(err, ErrRelayLimit)
}

// leftBehind is an object that a rename of its directory could not move.
type leftBehind struct {
	f   *File // acquired
	err error // why
}

// leaveRefused leaves behind what was refused, if that is not too much. Both copies and refused line up with
// objects.
func (s *Store) leaveRefused(objects []cos.ListEntry, copies []Version, refused []error, resumed bool) ([]leftBehind, error) {
	var first error
	n, copied := 0, resumed
	for i, err := range refused {
		copied = copied || !copies[i].Absent()
		if err != nil {
			n, first = n+1, cmp.Or(first, err)
		}
	}
	switch {
	case n == 0:
		return nil, nil
	case !copied:
		return nil, first
	case n > maxBehind && !resumed:
		return nil, fmt.Errorf("%d of %d objects cannot be copied: %w", n, len(objects), first)
	}
	var out []leftBehind
	for i, err := range refused {
		if err == nil {
			continue
		}
		f, herr := s.leaveBehind(objects[i].Key, err)
		if herr != nil {
			s.undoBehind(out)
			return nil, fmt.Errorf("%w, and it cannot be looked at: %w", err, herr)
		}
		out = append(out, leftBehind{f, err})
	}
	return out, nil
}

// leaveBehind bases the File of key, which is acquired, on that key whatever its name is going to be.
func (s *Store) leaveBehind(key string, why error) (*File, error) {
	info, err := s.Client.Head(s.ctx, key, nil)
	if err != nil {
		return nil, err
	}
	v, a := VersionOf(info, s.now()), DecodeAttr(info, s.Defaults)
	f := s.Acquire(key, v, a)
	f.Confirm(v, a)
	f.mu.Lock()
	f.behind, f.fresh, f.err, f.lastErr = key, true, why, why
	f.markDirtyLocked(s.now())
	f.mu.Unlock()
	s.mu.Lock()
	s.names.at(key).behind = f
	s.mu.Unlock()
	return f, nil
}

// moved returns the objects that are not left behind.
func (s *Store) moved(objects []cos.ListEntry) []cos.ListEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]cos.ListEntry, 0, len(objects))
	for _, o := range objects {
		if e := s.names.get(o.Key); e == nil || e.behind == nil {
			out = append(out, o)
		}
	}
	return out
}

// rejournalMovedLocked records the new name of a file. What was left behind has a record from now on.
func (f *File) rejournalMovedLocked() error {
	if f.behind != "" {
		return f.persistLocked()
	}
	return f.rejournalLocked()
}

// undoBehind takes back what leaveBehind did, because nothing is renamed.
func (s *Store) undoBehind(list []leftBehind) {
	for _, l := range list {
		l.f.mu.Lock()
		key := l.f.behind
		l.f.behind, l.f.fresh, l.f.err, l.f.lastErr = "", false, nil, nil
		l.f.mu.Unlock()
		s.mu.Lock()
		if e := s.names.get(key); e != nil {
			e.behind = nil
		}
		s.mu.Unlock()
		l.f.Release()
	}
}

// queueBehind releases Files that were left behind and have their new names, and tries again later.
func (s *Store) queueBehind(list []leftBehind) {
	for _, l := range list {
		s.Logger.Error("a file of a renamed directory could not be moved; it is tried again", "ino", l.f.ino,
			"key", l.f.Stat().Key, "err", l.err)
		s.lazy.add(l.f)
		l.f.Release()
	}
}

// srcLocked is the key of the object that f's base is.
func (f *File) srcLocked() string {
	if f.behind != "" {
		return f.behind
	}
	return f.key
}

// src is the key of the object that the snapshot's base is.
func (c *snapshot) src() string {
	if c.behind != "" {
		return c.behind
	}
	return c.key
}

// forbids reports whether the service must not overwrite what somebody else may have made at key: the name was
// free when the directory was renamed.
func (c *snapshot) forbids(key string) bool { return c.behind != "" && c.fresh && key == c.key }

// publishMove copies an object that was left behind to its name. If that is what is there already, an earlier
// try arrived.
func (c *snapshot) publishMove(ctx context.Context) (result, error) {
	r, err := result{}, c.checkFree(ctx, c.key, c.fresh)
	if err == nil {
		r, err = c.publishAttr(ctx)
	}
	if !errors.Is(err, cos.ErrExists) {
		return r, err
	}
	i, err := c.f.s.Client.Head(ctx, c.key, nil)
	if err != nil {
		return result{}, err
	}
	v, a := VersionOf(i, c.f.s.now()), DecodeAttr(i, c.f.s.Defaults)
	if !sameContent(v, c.base) {
		return result{}, fmt.Errorf("%w: %q was made meanwhile", ErrConflict, c.key)
	}
	return result{v: v, attr: c.attr, keptAttr: !sameAttr(c.key, a, c.attr)}, nil
}

// arrivedHereLocked notes that a commit brought f, which was left behind at the key from as version v, to its
// name: the old object is deleted, if not now then by the next mount.
func (f *File) arrivedHereLocked(from string, v Version) {
	s := f.s
	if err := s.recordRemoval(from, v); err != nil {
		s.Logger.Error("an object that was moved may stay under its old name", "ino", f.ino, "key", from, "err", err)
	}
	f.behind = ""
	s.removals.add(from, v) // first: the name must not show in between
	f.notBehindLocked(from)
}

// notBehindLocked notes that the object at the key from is not what f is based on any more.
func (f *File) notBehindLocked(from string) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if e := f.s.names.get(from); e != nil && e.behind == f {
		e.behind = nil
		f.s.names.drop(from)
	}
}

// checkOnlyCopy fails if by, or with nil anybody, may not make another object of key.
func (s *Store) checkOnlyCopy(key string, by *File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names.get(key); e != nil && e.behind != nil && e.behind != by {
		return fmt.Errorf("%q: %w", key, errOnlyCopy)
	}
	return nil
}

// checkOnlyCopies is checkOnlyCopy for all that is below a prefix.
func (s *Store) checkOnlyCopies(prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.names.below(prefix) {
		if e := s.names.get(key); e.behind != nil {
			return fmt.Errorf("%q: %w", key, errOnlyCopy)
		}
	}
	return nil
}

// keys are those that an operation on f needs a turn on.
func (f *File) keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behind != "" {
		return []string{f.key, f.behind}
	}
	return []string{f.key}
}

// moveHere copies f's object to its name, if it was left behind, for what needs it there. It needs the turn.
func (f *File) moveHere() error {
	f.mu.Lock()
	behind := f.behind != ""
	f.mu.Unlock()
	if !behind {
		return nil
	}
	return f.commitInTurn(func() bool { return f.behind != "" && !f.unlinked })
}

// giveUpBehind leaves the object of f, if it was left behind, to a deletion that waits, for f is about to lose
// its name. It needs the turn.
func (f *File) giveUpBehind() error {
	f.mu.Lock()
	behind := f.behind != ""
	f.mu.Unlock()
	if !behind {
		return nil
	}
	f.keepForReaders()
	f.mu.Lock()
	defer f.mu.Unlock()
	from, v, s := f.behind, f.base, f.s
	b := s.journal.Begin()
	b.PutRemoval(journal.Removal{Key: from, Version: versionRecord(v), Since: s.now()})
	b.DropInode(f.ino)
	if err := b.Commit(journal.Sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	f.journalled, f.sealed, f.behind, f.base = false, 0, "", Version{}
	s.removals.add(from, v)
	f.notBehindLocked(from)
	return nil
}

// restoreBehind makes a recovered file that was left behind hide the key it is at.
func (s *Store) restoreBehind(f *File, r journal.Inode) {
	if r.Behind != "" {
		f.behind = r.Behind
		s.names.at(r.Behind).behind = f
	}
}
