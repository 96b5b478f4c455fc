package writeback

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"cosfuse/cache"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// File is the write state of one inode.
type File struct {
	s    *Store
	ino  uint64 // immutable identity; names the staging files
	refs int    // holders and handles; guarded by Store.mu

	mu        sync.Mutex // guards the fields below; Store.mu may be taken inside
	key       string     // object name as of now; changes only under a turn on it
	behind    string     // key of the base, if a rename could not move it to key; "" = key
	base      Version    // what ext's Base extents are of; zero: no object is known
	attr      Attr       // Mtime zero: the base's Last-Modified
	ctime     time.Time  // of our last change of attributes; zero: mtime
	size      int64
	ext       extent.Map
	stage     map[uint32]*staging
	cur       uint32 // staging file that takes writes; 0 = none yet
	lastStage uint32 // number of the newest staging file ever
	sealed    uint32 // the journal's record may point to staging files up to this one
	sealedEnd int64  // and beyond this offset of the newest of them to nothing
	frozen    uint32 // staging files up to this one belong to a commit under way; 0 = none

	sources    map[uint32]*source // of Remote extents; nil if none
	lastSource uint32             // number of the newest source ever

	neverCommitted bool      // made here and not in COS yet
	fresh          bool      // neverCommitted, and the key is the one created: commits forbid overwriting
	shadows        bool      // neverCommitted, but an older object is at the key until our commit replaces it
	shadowsAt      time.Time // when it came to that: the object is not newer
	create         CreateMode
	dirtyData      bool // bytes or size differ from the base's
	wrote          bool // bytes were written since create, truncation to zero or the last commit
	appendOnly     bool // every dirty byte came through an appending handle
	dirtyAttr      bool // attributes differ from the base's
	mtimeSet       bool // Mtime was asked for, not only implied by a write
	aclKnown       bool // attr.Headers.ACL and grants are the object's
	tagsKnown      bool // attr.Headers.Tagging is the object's
	dataSeq        uint64
	attrSeq        uint64
	copiedAttr     uint64 // attrSeq, plus one, of the attributes that a copy to a new name carries
	committing     bool
	frozenAttr     bool // a commit under way carries attribute changes
	frozenAppend   bool // a commit under way has appended bytes only

	journalled bool             // the journal has a record of f
	volatile   bool             // something changed since that record
	acked      bool             // bytes were acknowledged and are not in COS: background mode
	conflict   bool             // another writer was first: the user decides what becomes of our bytes
	early      *early           // parts that are sent while the file is written; nil if none
	completing *early           // the upload that the commit under way is to complete; nil if none
	earlyTry   int64            // size at which to ask next whether to begin
	unnoted    *unnoted         // a commit under way that attempt does not tell of
	attempt    *journal.Attempt // a commit that was sent, of a journalled state, and has no known outcome
	unsynced   []span
	deltaSeq   uint64
	dirtySince time.Time
	recovered  bool          // from the journal: others may have written since
	damaged    bool          // staged bytes are missing: never committed
	pause      time.Duration // before the next try of a commit that keeps failing

	unlinked bool // has no name any more; nothing of it is committed
	parted   bool // unlinked because another writer's version has the name: it cannot be changed any more
	doomed   bool // unlinked, but its object waits for the last close
	handles  int
	err      error        // of a commit that nobody waited for; told by the next Flush or Fsync
	lastErr  error        // of the last commit, until one succeeds: told by Status
	sent     atomic.Int64 // bytes of the commit under way that have arrived
	reader   *baseReader
}

// Stat is a consistent look at a File.
type Stat struct {
	Key        string
	Size       int64
	Attr       Attr // as set or stored; Mtime is resolved if MtimeKnown
	MtimeKnown bool // false: Last-Modified must be asked for, then told by Confirm
	Ctime      time.Time
	Base       Version
	Dirty      bool // anything is not in COS
	DirtyData  bool
	Unlinked   bool
	Handles    int
	Err        error // of the last commit that nobody waited for
}

// Stat never blocks on the network.
func (f *File) Stat() Stat {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := Stat{Key: f.key, Size: f.size, Attr: f.bornLocked(), MtimeKnown: true, Ctime: f.ctime, Base: f.base,
		Dirty: f.dirtyLocked() || f.committing, DirtyData: f.dirtyData || f.neverCommitted || f.behind != "", Unlinked: f.unlinked,
		Handles: f.handles, Err: f.err}
	if st.Attr.Mtime.IsZero() {
		st.Attr.Mtime = f.base.LastModified
		st.MtimeKnown = !st.Attr.Mtime.IsZero()
	}
	if st.Ctime.Before(st.Attr.Mtime) {
		st.Ctime = st.Attr.Mtime
	}
	return st
}

// dirtyLocked reports whether anything of f is not in COS and should be.
func (f *File) dirtyLocked() bool {
	return !f.unlinked && (f.dirtyData || f.dirtyAttr || f.neverCommitted || f.behind != "")
}

// setBase makes f a clean view of v. The caller holds f.mu or is the only one to know f.
func (f *File) setBase(v Version) {
	f.base, f.size = v, v.Size
	f.ext = extent.Map{}
	f.ext.Set(extent.Extent{Off: 0, End: v.Size, Kind: extent.Base})
	f.dirtyData, f.wrote, f.appendOnly, f.neverCommitted = false, false, true, false
	f.closeReaderLocked()
}

// Rebase tells f that the service now has another version. It reports false, and changes nothing, if f
// is dirty or open: the caller then gives the new version another inode.
func (f *File) Rebase(v Version, a Attr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirtyLocked() || f.handles > 0 || f.committing || f.unlinked {
		return false
	}
	f.setBase(v)
	f.attr, f.ctime, f.aclKnown, f.tagsKnown = a, time.Time{}, false, false
	f.dropStagingLocked()
	return true
}

// Confirm records what a HEAD told of the very version f is based on. Another version is ignored.
func (f *File) Confirm(v Version, a Attr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !v.Same(f.base) {
		return
	}
	v.Appendable = v.Appendable || f.base.Appendable
	f.base = v
	if !f.dirtyAttr && !f.dirtyData && !f.committing {
		before := f.attr.Headers
		f.attr = a
		takeUntold(&f.attr.Headers, before)
	}
}

// errAttrUnknown is a mistake of the caller: a change of attributes must know all of them, as COS can only
// replace them together.
var errAttrUnknown = errors.New("attributes are not known yet: Confirm them first")

// SetAttr changes the attributes; change gets a copy to work on. A file whose data waits to be
// committed takes them along; otherwise they are sent after AttrDelay with what else changes until
// then. The attributes must be Known. The error is ErrMetaTooLarge, or change's own, and then nothing changed. It does not block on
// the network.
func (f *File) SetAttr(change func(*Attr) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parted {
		return ErrStale
	}
	if !f.attr.Known {
		return errAttrUnknown
	}
	a := f.attr
	if err := change(&a); err != nil {
		return err
	}
	if err := a.checkFit(f.key); err != nil {
		return err
	}
	if !a.Mtime.Equal(f.attr.Mtime) {
		f.mtimeSet = true
	}
	f.aclKnown = f.aclKnown || !sameACL(a.Headers, f.attr.Headers)
	before, dirty := f.attr, f.dirtyAttr
	f.attr, f.dirtyAttr, f.volatile = a, true, true
	if !f.unlinked && (f.journalled || !f.neverCommitted) { // of what is not in COS nothing was promised yet
		f.markDirtyLocked(f.s.now())
		if err := f.persistLocked(); err != nil {
			f.attr, f.dirtyAttr = before, dirty
			return err
		}
	}
	f.ctime = f.s.now()
	f.attrSeq++
	if !f.unlinked && !f.dirtyData {
		f.s.lazy.add(f)
	}
	return nil
}

// Truncate is truncate(2): it sets the size and, if nobody has the file open, commits before it
// returns.
func (f *File) Truncate(ctx context.Context, size int64) error {
	f.mu.Lock()
	f.truncateLocked(size)
	if f.s.Background && !f.unlinked {
		defer f.mu.Unlock()
		return f.acknowledgeLocked()
	}
	open := f.handles > 0
	f.mu.Unlock()
	if open {
		return nil
	}
	return f.Fsync(ctx)
}

// truncateLocked sets the size.
func (f *File) truncateLocked(size int64) {
	now := f.s.now()
	f.attr.Mtime, f.ctime, f.mtimeSet = now, now, false
	f.attrSeq++
	f.volatile = true
	f.markDirtyLocked(now)
	if size == f.size {
		f.dirtyAttr = true // the time alone
		return
	}
	f.unsendLocked(size, max(size, f.size))
	f.ext.Truncate(size)
	f.size = size
	f.dataSeq++
	f.appendOnly = f.appendOnly && f.neverCommitted && !f.committing && !f.shadows && size == 0
	f.dirtyData = true
	f.wrote = size != 0
	if size == 0 && f.frozen == 0 {
		f.dropStagingLocked()
	}
}

// Fsync commits all that is dirty, attributes and empty files included, and returns when it is in COS.
// Nothing dirty costs no request. It waits for the service, not for ctx: a commit is not interrupted.
func (f *File) Fsync(_ context.Context) error {
	return f.commit(func() bool { return f.dirtyLocked() })
}

// takeErrLocked returns the error nobody was told yet.
func (f *File) takeErrLocked() error {
	err := f.err
	f.err = nil
	return err
}

// Release gives back what Create or Acquire gave.
func (f *File) Release() {
	f.s.mu.Lock()
	f.refs--
	f.s.mu.Unlock()
	f.dropIfIdle()
}

// dropIfIdle forgets f if nobody holds it and it is clean.
func (f *File) dropIfIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirtyLocked() || f.committing || f.doomed || f.keptLocked() {
		return
	}
	f.s.mu.Lock()
	idle := f.refs == 0
	if e := f.s.names.get(f.key); idle && e != nil && e.file == f {
		e.file = nil
		f.s.names.drop(f.key)
	}
	f.s.mu.Unlock()
	if idle {
		f.seedCacheLocked()
		f.dropStagingLocked()
		f.closeReaderLocked()
		f.forgetSourcesLocked()
	}
}

// seedLimit bounds what is kept in the block cache of a file just written.
const seedLimit = 4 << 20

// seedCacheLocked lets the next reader find a small file that was just written.
func (f *File) seedCacheLocked() {
	staged := func(e extent.Extent) bool { return e.Kind == extent.Staged }
	if len(f.stage) == 0 || f.unlinked || f.size == 0 || f.size > seedLimit || f.base.Absent() {
		return
	}
	for _, p := range f.ext.Pieces(0, f.size) {
		if !staged(p) {
			return
		}
	}
	f.s.Blocks.Seed(f.objectIDLocked(), &snapshot{ext: f.ext, size: f.size, stage: f.stage})
}

// discard lets go of what f holds on disk, for the end of the Store. What the journal refers to stays.
func (f *File) discard() {
	f.mu.Lock()
	e := f.takeEarlyLocked()
	f.mu.Unlock()
	if e != nil {
		e.wg.Wait() // its parts end with the Store; the next mount aborts the upload
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeReaderLocked()
	if !f.journalled {
		f.dropStagingLocked()
		return
	}
	for _, g := range f.stage {
		if err := g.file.Close(); err != nil {
			f.s.Logger.Error("staging file of an uncommitted file", "ino", f.ino, "key", f.key, "err", err)
		}
	}
	f.stage, f.cur = nil, 0
}

// keepsLocked reports whether the journal's record may point to a staging file: what was acknowledged stays
// as it was, whatever is written or cut after that, until something else is.
func (f *File) keepsLocked(id uint32) bool { return f.journalled && id <= f.sealed }

// sealLocked notes that the record to come points to the staging files as they are now.
func (f *File) sealLocked() {
	f.sealed, f.sealedEnd = f.lastStage, f.size
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Staged {
			f.sealedEnd = max(f.sealedEnd, e.SrcOff+e.Len())
		}
	}
}

// dropStagingLocked removes all staging files. Extents that point there must be gone or clean.
func (f *File) dropStagingLocked() {
	f.ext.Change(func(e extent.Extent) extent.Extent {
		if e.Kind == extent.Staged && !e.Dirty {
			return extent.Extent{Off: e.Off, End: e.End, Kind: extent.Base, SrcOff: e.Off}
		}
		return e
	})
	f.cur = 0
	for id, g := range f.stage {
		if !f.keepsLocked(id) {
			f.removeStaging(g)
			delete(f.stage, id)
		}
	}
}

// removeStaging deletes one staging file. Failing to do so loses disk space, not data.
func (f *File) removeStaging(g *staging) {
	f.s.budget.give(g.bytes)
	g.bytes = 0
	if err := g.remove(); err != nil {
		f.s.Logger.Warn("staging file not removed", "ino", f.ino, "err", err)
	}
}

// sweepStagingLocked removes the staging files that no extent points to, nor the journal.
func (f *File) sweepStagingLocked() { f.sweepButLocked(f.keepsLocked) }

// sweepButLocked removes the staging files that no extent points to, but those to be kept.
func (f *File) sweepButLocked(keep func(id uint32) bool) {
	used := map[uint32]bool{f.cur: true}
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Staged {
			used[e.Src] = true
		}
	}
	for id, g := range f.stage {
		if !used[id] && !keep(id) {
			f.removeStaging(g)
			delete(f.stage, id)
		}
	}
}

// baseReader is a reader of the base that closes after its last user.
type baseReader struct {
	*cache.Reader
	users  int  // guarded by File.mu
	closed bool // guarded by File.mu: close at the last user
}

// objectIDLocked names the base for the block cache.
func (f *File) objectIDLocked() cache.ObjectID {
	return cache.ObjectID{Key: f.srcLocked(), ETag: f.base.ETag, Size: f.base.Size}
}

// useReaderLocked returns a reader of the base; unuseReader gives it back.
func (f *File) useReaderLocked() *baseReader {
	if f.reader == nil {
		f.reader = &baseReader{Reader: f.s.Blocks.OpenVerified(f.objectIDLocked(), f.fetcher(f.base), f.base.checksum)}
	}
	f.reader.users++
	return f.reader
}

func (f *File) unuseReader(r *baseReader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.users--
	if r.closed && r.users == 0 {
		r.Close()
	}
}

// closeReaderLocked ends the present readers; those who use them finish first.
func (f *File) closeReaderLocked() {
	f.closeSourcesLocked()
	if f.reader == nil {
		return
	}
	f.reader.closeLocked()
	f.reader = nil
}

// closeLocked ends the reader after its last user. The caller holds File.mu.
func (r *baseReader) closeLocked() {
	r.closed = true
	if r.users == 0 {
		r.Close()
	}
}

// isGone reports whether err says that a version is not there any more.
func isGone(err error) bool {
	return errors.Is(err, errVersionGone)
}
