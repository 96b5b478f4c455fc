package writeback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// errVersionGone marks a read of a version that the service does not have any more.
var errVersionGone = errors.New("version gone")

// errTailMoved asks commit to freeze and plan anew: the appended bytes now follow a longer base.
var errTailMoved = errors.New("tail moved")

// commit publishes the state that f has when its turn comes, if need (called under f.mu) still says so
// then; otherwise it returns what an earlier commit failed with and nobody was told.
func (f *File) commit(need func() bool) error {
	f.mu.Lock()
	if !need() && !f.committing {
		defer f.mu.Unlock()
		return f.takeErrLocked()
	}
	f.mu.Unlock()
	t, err := f.enterToChange()
	if err != nil {
		return err
	}
	defer t.done()
	return f.commitInTurn(need)
}

// enter waits for a turn on f's key, whatever it is by then.
func (f *File) enter() (*turn, error) { return f.enterBy(f.s.enter) }

// enterToChange is enter for those who change the object: see Store.enterToChange.
func (f *File) enterToChange() (*turn, error) { return f.enterBy(f.s.enterToChange) }

// enterBy waits for a turn on f's key by means of enter.
func (f *File) enterBy(enter func(keys, trees []string) (*turn, error)) (*turn, error) {
	for {
		keys := f.keys()
		t, err := enter(keys, nil)
		if err != nil {
			return nil, err
		}
		if slices.Equal(f.keys(), keys) {
			return t, nil
		}
		t.done()
	}
}

// tailMoves bounds how often one commit follows an end that others keep moving.
const tailMoves = 100

// commitInTurn is commit for a caller that has the turn.
func (f *File) commitInTurn(need func() bool) error {
	for range tailMoves {
		if err := f.await(need); err != nil {
			return err
		}
		f.mu.Lock()
		if !need() {
			defer f.mu.Unlock()
			return f.takeErrLocked()
		}
		if f.attempt != nil {
			f.mu.Unlock()
			if err := f.settleAttempt(f.s.ctx); err != nil {
				return fmt.Errorf("settle %q: %w", f.Stat().Key, err)
			}
			continue
		}
		c := f.freezeLocked()
		c.early = f.takeEarlyLocked()
		f.completing = c.early
		f.mu.Unlock()
		f.s.Failpoint(fpCommitFrozen)
		start := f.s.now()
		r, err := result{}, f.s.checkOnlyCopy(c.key, f)
		if err == nil {
			r, err = c.publish(f.s.ctx)
		}
		f.s.Failpoint(fpCommitPublished)
		f.thaw(c, r, err)
		f.s.Failpoint(fpCommitAdopted)
		if errors.Is(err, errTailMoved) {
			continue
		}
		if err != nil {
			return fmt.Errorf("commit %q: %w", c.key, err)
		}
		f.s.Logger.LogAttrs(f.s.ctx, slog.LevelDebug, "file committed", slog.Uint64("ino", f.ino),
			slog.String("key", c.key), slog.String("etag", r.v.ETag), slog.Int64("bytes", c.size),
			slog.Duration("dur", f.s.now().Sub(start)))
		return nil
	}
	return fmt.Errorf("commit %q: %w: the end kept moving", f.Stat().Key, ErrConflict)
}

// await waits until the service should take a change of the key, if there is something to commit.
func (f *File) await(need func() bool) error {
	f.mu.Lock()
	key, needed, appends := f.key, need(), f.appendsLocked()
	f.mu.Unlock()
	if !needed {
		return nil
	}
	if err := f.s.late.wait(f.s.ctx, []string{key}, nil); err != nil || !appends {
		return err
	}
	return f.s.pace.wait(f.s.ctx, key)
}

// snapshot is one state of a File, frozen for a commit. It reads as that state while the File goes on.
type snapshot struct {
	f      *File
	ctx    context.Context
	key    string
	behind string // as in File
	base   Version
	attr   Attr
	size   int64
	ext    extent.Map
	stage  map[uint32]*staging
	reader *baseReader
	early  *early // an upload to complete, or to abort

	sources    map[uint32]*source     // of Remote extents
	lastSource uint32                 // sources up to this one are in the snapshot
	readers    map[uint32]*baseReader // of sources

	fresh, shadows, never            bool
	create                           CreateMode
	dirtyData, dirtyAttr, appendOnly bool
	wrote                            bool
	lastStage                        uint32
	recovered                        bool
	shadowsAt                        time.Time
	mtimeSet, aclKnown, tagsKnown    bool
	acl                              cos.Headers // the ACL as f had it
	dataSeq, attrSeq                 uint64
}

// result is what a commit made of the object.
type result struct {
	v        Version
	attr     Attr // as stored, or as it is to be stored if keptAttr; Mtime zero: Last-Modified
	keptAttr bool // attributes could not ride along: they are still dirty
}

// freezeLocked takes a snapshot. Writes from now on go to a newer staging file.
func (f *File) freezeLocked() *snapshot {
	c := &snapshot{f: f, ctx: f.s.ctx, key: f.key, behind: f.behind, base: f.base, attr: f.bornLocked(), size: f.size, ext: f.ext.Clone(),
		stage: maps.Clone(f.stage), fresh: f.fresh, shadows: f.shadows, never: f.neverCommitted, create: f.create,
		dirtyData: f.dirtyData || f.neverCommitted, dirtyAttr: f.dirtyAttr, appendOnly: f.appendOnly,
		mtimeSet: f.mtimeSet, aclKnown: f.aclKnown, tagsKnown: f.tagsKnown, wrote: f.wrote, lastStage: f.cur,
		recovered: f.recovered, shadowsAt: f.shadowsAt, dataSeq: f.dataSeq, attrSeq: f.attrSeq}
	takeACL(&c.acl, f.attr.Headers)
	if !f.base.Absent() {
		c.reader = f.useReaderLocked()
	}
	c.useSourcesLocked()
	f.committing, f.frozen = true, f.cur
	f.sent.Store(0)
	f.frozenAttr, f.frozenAppend = c.dirtyAttr, c.appendOnly
	f.wrote, f.appendOnly, f.dirtyAttr = false, true, false // of what comes now
	return c
}

// thaw ends the freeze: after a success the base moves on to what was published, after a failure all
// is as dirty as before.
func (f *File) thaw(c *snapshot, r result, err error) {
	c.release()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committing, f.frozen, f.frozenAttr, f.completing = false, 0, false, nil
	defer func() { f.unnoted = nil }()
	if err != nil {
		f.wrote = f.wrote || c.dirtyData
		f.appendOnly = f.appendOnly && c.appendOnly
		f.dirtyAttr = f.dirtyAttr || c.dirtyAttr
		f.failedLocked(err)
		if c.early != nil {
			if kerr := f.keepUploadLocked(c.early); kerr != nil {
				f.s.Logger.Error("an upload that holds the only copy of some bytes is not recorded", "ino", f.ino, "key", f.key, "upload_id", c.early.id, "err", kerr)
			}
		}
		return
	}
	if f.unlinked {
		return // Remove got the turn after us and knows that there is an object now
	}
	f.adoptLocked(c, r)
	if c.behind != "" {
		f.arrivedHereLocked(c.behind, c.base)
	}
	f.s.mu.Lock()
	f.s.recordLocked(f.key, r.v, r.attr)
	e := f.s.names.get(f.key)
	e.aclKnown = f.aclKnown && f.tagsKnown
	replaced := e.doomed != nil // our commit replaced the object that was to be deleted
	e.doomed = nil
	f.s.removals.hold(f.key, false)
	f.s.mu.Unlock()
	if replaced {
		f.s.forgetRemoval(f.key)
	}
	f.s.removals.void(f.key)
	if err := f.settleJournalLocked(); err != nil {
		f.s.Logger.Error("journal not brought up to date after a commit", "ino", f.ino, "key", f.key, "err", err)
	}
}

// failedLocked keeps what a commit that failed leaves: the bytes in the journal, so that they outlive the
// daemon, and whether the user has to decide.
func (f *File) failedLocked(err error) {
	if errors.Is(err, errTailMoved) {
		return
	}
	if !maybeApplied(err) {
		f.attempt, f.unnoted = nil, nil
	}
	f.conflict = errors.Is(err, ErrConflict) || errors.Is(err, ErrExists)
	f.err, f.lastErr = err, err
	if perr := f.persistLocked(); perr != nil {
		f.s.Logger.Error("a file that could not be committed could not be journalled either", "ino", f.ino, "key", f.key, "err", perr)
	}
	f.err = nil // the caller tells, or keeps it to be told
}

// maybeApplied reports whether a request that ended in err may have changed the object all the same.
func maybeApplied(err error) bool {
	for _, e := range []error{cos.ErrUnknownOutcome, cos.ErrChecksum, cos.ErrTransport, cos.ErrStalled, cos.ErrServer, cos.ErrBadResponse, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// adoptLocked makes what r published f's base.
func (f *File) adoptLocked(c *snapshot, r result) {
	f.closeReaderLocked()
	f.base = r.v
	f.neverCommitted, f.fresh, f.shadows = false, false, false
	f.err, f.lastErr = nil, nil
	f.pause, f.dirtySince, f.recovered = 0, time.Time{}, false
	if f.dataSeq == c.dataSeq {
		f.cleanLocked()
		f.dirtyData, f.appendOnly, f.acked = false, true, false
	} else {
		f.dirtySince = f.s.now()
		f.ext.Change(func(e extent.Extent) extent.Extent { return committed(e, c) })
	}
	if f.attrSeq == c.attrSeq {
		f.attr = r.attr
	}
	f.tellUntoldLocked(c)
	f.dirtyAttr = f.dirtyAttr || r.keptAttr
	f.sweepStagingLocked()
	f.pruneSourcesLocked()
}

// cleanLocked makes the whole file a view of the base, staged where it is staged.
func (f *File) cleanLocked() {
	var m extent.Map
	for _, e := range f.ext.Pieces(0, f.size) {
		if e.Kind == extent.Staged {
			e.Dirty = false
			m.Set(e)
			continue
		}
		m.Set(extent.Extent{Off: e.Off, End: e.End, Kind: extent.Base, SrcOff: e.Off})
	}
	f.ext = m
}

// committed returns what an extent that the snapshot shared is after the commit: those of staging files
// written since stay dirty, and what was copied since stays to be copied.
func committed(e extent.Extent, c *snapshot) extent.Extent {
	if e.Kind == extent.Staged {
		if _, shared := c.stage[e.Src]; shared {
			e.Dirty = false
		}
		return e
	}
	if e.Kind == extent.Remote && e.Src > c.lastSource {
		return e
	}
	return extent.Extent{Off: e.Off, End: e.End, Kind: extent.Base, SrcOff: e.Off}
}

// ReadAt reads the frozen state. It implements io.ReaderAt for request bodies.
func (c *snapshot) ReadAt(p []byte, off int64) (int, error) {
	want := len(p)
	if off >= c.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for _, e := range c.ext.Pieces(off, off+int64(len(p))) {
		if err := c.readPiece(p[e.Off-off:e.End-off], e); err != nil {
			return 0, err
		}
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

// readPiece fills p with one extent's bytes.
func (c *snapshot) readPiece(p []byte, e extent.Extent) error {
	switch e.Kind {
	case extent.Hole:
		clear(p)
		return nil
	case extent.Staged:
		return c.stage[e.Src].readAt(p, e.SrcOff)
	case extent.Sent:
		return errPunched(c.key)
	case extent.Remote:
		return readFull(c.ctx, c.readers[e.Src], p, e.SrcOff)
	}
	return readFull(c.ctx, c.reader, p, e.SrcOff)
}

// fetcher reads version v of f wherever f's name is by then.
func (f *File) fetcher(v Version) cache.FetchFunc {
	return func(ctx context.Context, off, size int64) (io.ReadCloser, error) {
		f.mu.Lock()
		key := f.srcLocked()
		f.mu.Unlock()
		r, err := f.s.Fetch(ctx, key, v, off, size)
		if err != nil {
			return nil, err
		}
		return r.Body, nil
	}
}
