package writeback

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// Errors of Export, Retry and Drop.
var (
	ErrNoSuchFile = errors.New("nothing dirty has this number")
	ErrInUse      = errors.New("file is in use")
	ErrIncomplete = errors.New("some of its bytes are nowhere any more")
	ErrNoService  = errors.New("the service is needed and cannot be asked")
)

// Gap is a range of a file whose bytes could not be had.
type Gap struct{ Off, End int64 }

// find returns the File with number ino, or nil.
func (s *Store) find(ino uint64) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.allFilesLocked() {
		if f.ino == ino {
			return f
		}
	}
	return nil
}

// exportBuffer is how many bytes Export reads at once.
const exportBuffer = 1 << 20

// Export writes the local version of a file to w: what is staged here over what is still in COS. If bytes
// are nowhere any more the error is ErrIncomplete, or with partial they are zeros and told as gaps. A
// File without a Client has only what is staged. It blocks on the network and on w, and ends with ctx.
func (s *Store) Export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]Gap, error) {
	f := s.find(ino)
	if f == nil {
		return nil, ErrNoSuchFile
	}
	f.mu.Lock()
	pieces, seq := f.ext.Pieces(0, f.size), f.dataSeq
	f.mu.Unlock()
	var gaps []Gap
	buf := make([]byte, exportBuffer)
	for _, e := range pieces {
		for off := e.Off; off < e.End; {
			p := buf[:min(int64(len(buf)), e.End-off)]
			err := f.exportRange(ctx, p, off, e, seq)
			if errors.Is(err, ErrIncomplete) && partial {
				clear(p)
				gaps, err = addGap(gaps, off, off+int64(len(p))), nil
			}
			if err != nil {
				return gaps, fmt.Errorf("export %q, bytes %d to %d: %w", f.Stat().Key, e.Off, e.End, err)
			}
			if _, err := w.Write(p); err != nil {
				return gaps, err
			}
			off += int64(len(p))
		}
	}
	return gaps, nil
}

// addGap notes one more range, which does not begin before the last.
func addGap(gaps []Gap, off, end int64) []Gap {
	if n := len(gaps); n > 0 && gaps[n-1].End == off {
		gaps[n-1].End = end
		return gaps
	}
	return append(gaps, Gap{off, end})
}

// exportRange fills p from off, which is in e, if the file has not changed since seq.
func (f *File) exportRange(ctx context.Context, p []byte, off int64, e extent.Extent, seq uint64) error {
	if e.Kind == extent.Sent {
		return fmt.Errorf("%w: they are in its unfinished upload only, from which retry makes an object", ErrIncomplete)
	}
	if f.s.Client == nil && (e.Kind == extent.Base || e.Kind == extent.Remote) {
		return fmt.Errorf("%w: %w", ErrIncomplete, ErrNoService)
	}
	if err := f.checkStaged(e, e.SrcOff+off-e.Off+int64(len(p)), seq); err != nil {
		return err
	}
	n, _, err := f.readOnce(ctx, p, off)
	switch {
	case isGone(err):
		return fmt.Errorf("%w: they were in the version that was replaced: %w", ErrIncomplete, err)
	case err != nil:
		return err
	case n < len(p):
		return io.ErrUnexpectedEOF
	}
	return f.checkStaged(e, 0, seq)
}

// checkStaged makes sure that the file is as it was at seq, and that the staging file of e, if it is in
// one, reaches to end: beyond that it would read as zeros.
func (f *File) checkStaged(e extent.Extent, end int64, seq uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dataSeq != seq {
		return fmt.Errorf("%w: it was written to meanwhile", ErrInUse)
	}
	if e.Kind != extent.Staged || !f.damaged {
		return nil
	}
	fi, err := f.stage[e.Src].file.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < end {
		return fmt.Errorf("%w: its staging file was cut", ErrIncomplete)
	}
	return nil
}

// Replaced tells what Retry replaced.
type Replaced struct {
	Key     string
	Version Version // absent: there was nothing
}

// Retry commits a file now, over whatever is in COS, and tells what that was. It is not interrupted: it
// blocks until the service answers. ErrIncomplete if bytes of it are gone, ErrInUse if it is open or its
// name has newer changes here.
func (s *Store) Retry(ctx context.Context, ino uint64) (Replaced, error) {
	f := s.find(ino)
	switch {
	case f == nil:
		return Replaced{}, ErrNoSuchFile
	case s.Client == nil:
		return Replaced{}, ErrNoService
	}
	f.mu.Lock()
	was := Replaced{Key: f.key, Version: f.base}
	damaged, conflict := f.damaged, f.conflict
	f.mu.Unlock()
	if damaged {
		return was, fmt.Errorf("commit %q: %w", was.Key, ErrIncomplete)
	}
	if !conflict {
		err := f.Fsync(ctx)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrExists) {
			return was, err
		}
	}
	f.partIfConflict()
	return f.overwrite()
}

// overwrite commits a parked file over what is in COS now.
func (f *File) overwrite() (Replaced, error) {
	t, err := f.enterToChange()
	if err != nil {
		return Replaced{}, err
	}
	defer t.done()
	s, key := f.s, f.Stat().Key
	if other := s.fileAt(key); other != nil && other.Stat().Dirty {
		return Replaced{Key: key}, fmt.Errorf("commit %q: %w: the name has newer changes, or it is still open", key, ErrInUse)
	}
	if err := s.late.wait(s.ctx, []string{key}, nil); err != nil {
		return Replaced{Key: key}, err
	}
	was := Replaced{Key: key}
	i, err := s.Client.Head(s.ctx, key, nil)
	switch {
	case err == nil:
		was.Version = VersionOf(i, s.now())
	case !errors.Is(err, cos.ErrNotFound):
		return was, err
	}
	r, err := f.publishOver(was.Version)
	if err != nil {
		return was, fmt.Errorf("commit %q: %w", key, err)
	}
	if other := s.fileAt(key); other != nil && !other.Rebase(r.v, r.attr) {
		other.Part() // it is open: the name is the new version's, the handles keep theirs
	}
	s.Changed(key)
	return was, nil
}

// publishOver replaces version now, in two steps if attributes cannot ride along.
func (f *File) publishOver(now Version) (result, error) {
	for {
		c, err := f.freezeOver(now)
		if err != nil {
			return result{}, err
		}
		r, err := c.publish(f.s.ctx)
		if err := f.thawOver(c, r, err); err != nil || !r.keptAttr {
			return r, err
		}
		now = r.v
	}
}

// fileAt returns the File that has the name key, or nil.
func (s *Store) fileAt(key string) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names.get(key); e != nil {
		return e.file
	}
	return nil
}

// freezeOver takes a snapshot of a parked file that is to replace version now.
func (f *File) freezeOver(now Version) (*snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ofBase := f.ext.Any(func(e extent.Extent) bool { return e.Kind == extent.Base || e.Kind == extent.Remote })
	switch {
	case !f.unlinked || !f.conflict:
		return nil, ErrInUse // open once more, or settled by somebody else
	case f.behind != "": // whatever is there is to be replaced by what is under the old name
	case f.dirtyData || f.neverCommitted:
		if ofBase && !now.Same(f.base) {
			return nil, fmt.Errorf("%w: they were in the version that was replaced", ErrIncomplete)
		}
		if !ofBase {
			f.base = Version{} // what is there is not ours, whatever it is
			f.closeReaderLocked()
		}
		f.appendOnly = false
	case now.Absent():
		return nil, fmt.Errorf("%w: the object was deleted, and only attributes changed here", ErrIncomplete)
	default: // attributes alone: they go to what is there
		f.setBase(now)
		f.aclKnown, f.tagsKnown = false, false
	}
	f.fresh, f.shadows, f.recovered, f.attempt = false, false, false, nil
	c := f.freezeLocked()
	c.early = f.takeEarlyLocked()
	return c, nil
}

// thawOver ends what freezeOver began: the file is forgotten, or stays parked, with its attributes alone
// if they are all that is left to do.
func (f *File) thawOver(c *snapshot, r result, err error) error {
	c.release()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committing, f.frozen, f.frozenAttr, f.unnoted = false, 0, false, nil
	if err != nil {
		f.dirtyAttr = f.dirtyAttr || c.dirtyAttr
		f.attempt, f.lastErr = nil, err
		if c.early != nil { // it holds the only copy of some bytes
			err = errors.Join(err, f.keepUploadLocked(c.early))
		}
		return errors.Join(err, f.persistLocked())
	}
	s := f.s
	s.mu.Lock()
	s.recordLocked(f.key, r.v, r.attr)
	e := s.names.get(f.key)
	e.aclKnown = c.aclKnown && c.tagsKnown
	replaced := e.doomed != nil // what was to be deleted is replaced
	e.doomed = nil
	s.removals.hold(f.key, false)
	s.mu.Unlock()
	if replaced {
		s.forgetRemoval(f.key)
	}
	s.removals.void(f.key)
	if c.behind != "" {
		f.arrivedHereLocked(c.behind, c.base)
	}
	if r.keptAttr {
		f.setBase(r.v)
		f.dirtyAttr, f.attempt = true, nil
		return f.persistLocked()
	}
	return f.dropParkedLocked()
}

// dropParkedLocked forgets f and its bytes.
func (f *File) dropParkedLocked() error {
	if err := f.forgetLocked(journal.Sync); err != nil {
		return err
	}
	f.unlinked, f.conflict, f.damaged = true, false, false
	if from := f.behind; from != "" { // it goes by its old name again
		f.behind = ""
		f.notBehindLocked(from)
		f.s.Changed(from)
	}
	f.s.mu.Lock()
	delete(f.s.parked, f.ino)
	if e := f.s.names.get(f.key); e != nil && e.file == f {
		e.file = nil
		f.s.names.drop(f.key)
	}
	f.s.mu.Unlock()
	f.closeReaderLocked()
	f.forgetSourcesLocked()
	f.dropStagingLocked()
	return nil
}

// Drop forgets the local version of a file, for ever: its name shows what is in COS. ErrInUse if it is
// open. It waits for a commit under way.
func (s *Store) Drop(ino uint64) error {
	f := s.find(ino)
	if f == nil {
		return ErrNoSuchFile
	}
	t, err := f.enter()
	if err != nil {
		return err
	}
	defer t.done()
	if _, ok := f.status(); !ok {
		return ErrNoSuchFile // committed meanwhile
	}
	e, err := f.drop()
	if err != nil {
		return err
	}
	if s.Client != nil { // else the next mount finds an upload without a file, and aborts it
		s.dropEarly(s.ctx, e)
	}
	s.Changed(f.Stat().Key)
	return nil
}

// drop forgets f and hands out an upload that is to be aborted, or nil.
func (f *File) drop() (*early, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handles > 0 {
		return nil, fmt.Errorf("drop %q: %w", f.key, ErrInUse)
	}
	e := f.takeEarlyLocked()
	return e, f.dropParkedLocked()
}
