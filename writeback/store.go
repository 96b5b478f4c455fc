package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// Options of Open. Client, Blocks and Dir are required.
type Options struct {
	Client     *cos.Client
	Blocks     *cache.Blocks
	Dir        string           // staging files and journal; created if absent; locked against other processes
	Prefix     string           // of the keys of this mount: the journal belongs to the bucket and it
	Defaults   AttrDefaults     // of objects that do not tell theirs
	NewObjects NewObjects       // what objects made here get
	Logger     *slog.Logger     // nil = discard
	Now        func() time.Time // nil = time.Now

	// Background makes Flush return once the journal has the bytes; they are sent AttrDelay later, and
	// what happens to the file until then costs no request. Fsync waits for COS all the same.
	Background bool

	Appends            AppendMode    // which commits are sent as appends; 0 = AppendAuto
	MultipartThreshold int64         // largest file sent as one put, in bytes; 0 = 20 MiB
	PartThreads        int           // parts of one upload in flight; 0 = 8
	AttrDelay          time.Duration // how long attributes and directory markers wait for more of them; 0 = 1 s
	RelayLimit         int64         // largest object copied through this host when COS refuses to; 0 = 1 GiB, negative = none
	SettleTime         time.Duration // how long a request without a reply may still take effect: its key waits; 0 = 10 s
	CommitThreads      int           // commits that nobody waits for, in flight; 0 = 8
	UploadGrace        time.Duration // age of an upload without parts that may be another client's, before it is aborted; 0 = 1 h
	StagingBytes       int64         // most bytes in staging files; past them writers wait, then get ErrStagingFull; 0 = no limit
	CopyLimit          int64         // most bytes that one request copies; 0 = 5 GiB, the service's own limit
	Versioned          bool          // the bucket keeps versions: the service then overwrites what it was told not to, and is asked before
	ClaimAtOpen        bool          // Claim makes the object of an exclusive creation at once, instead of the first commit
	IgnoreACL          bool          // do not ask for the ACL and tags of an object that is replaced or copied: it then gets the bucket's, and none

	// Changed is told of keys whose bytes or attributes are not what the kernel was told. It must not
	// block and must not call the Store. nil = nobody cares.
	Changed func(key string)

	// Made is told of each version that this Store made and that is still there, when the Store stops keeping
	// it: a while later, or in Close. It must not block and must not call the Store. nil = nobody cares.
	Made func(key string, at time.Time, v Version, a Attr)

	// Failpoint is called with the name of each step that changes what a crash would leave; see failpoint.go.
	// Tests end the process in it. nil = not called.
	Failpoint func(name string)

	// Of tests that cut the power:
	journalIn  journal.Options     // another file system for the journal
	journalDir string              // where it is there; "" = in Dir
	synced     func(staged string) // told of each staging file once it and its name are on the disk
}

// withDefaults fills in what zero means.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Changed == nil {
		o.Changed = func(string) {}
	}
	if o.Made == nil {
		o.Made = func(string, time.Time, Version, Attr) {}
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.synced == nil {
		o.synced = func(string) {}
	}
	o.journalIn.Logger = o.Logger
	o.MultipartThreshold = cmp.Or(o.MultipartThreshold, 20<<20)
	o.PartThreads = cmp.Or(o.PartThreads, 8)
	o.AttrDelay = cmp.Or(o.AttrDelay, time.Second)
	o.SettleTime = cmp.Or(o.SettleTime, 10*time.Second)
	o.UploadGrace = cmp.Or(o.UploadGrace, time.Hour)
	o.RelayLimit = cmp.Or(o.RelayLimit, 1<<30)
	o.CommitThreads = cmp.Or(o.CommitThreads, 8)
	return o
}

// Store owns the write state of a mount. See the package comment.
type Store struct {
	Options
	ctx      context.Context // the mount's lifetime: work that must finish runs under it
	cancel   context.CancelFunc
	turns    turns
	lazy     *lazyQueue
	removals *removals
	orphans  *orphans
	refused  refusals
	late     late
	pace     pacer
	budget   budget
	copies   copies
	journal  *journal.Journal
	recovery Recovery // immutable after Open

	mu     sync.Mutex // guards the fields below, and File.refs
	names  names
	recent []recentChange
	parked map[uint64]*File // without a name: another writer was first, or staged bytes are missing
	ino    uint64
	closed bool
}

// Open makes a Store whose work ends with ctx, and recovers what an earlier one left in o.Dir: renames and
// deletions under way are completed before it returns, dirty files are committed in the background. The
// errors are those of the journal and of the disk.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithCancel(ctx)
	s := &Store{Options: o, cancel: cancel, names: make(names), parked: make(map[uint64]*File)}
	s.orphans = newOrphans(s)
	s.ctx = cos.WithUnclear(ctx, s.noteUnclear)
	s.budget.limit = o.StagingBytes
	s.late.settle, s.late.now = o.SettleTime, s.now
	if err := journal.MakeDir(nil, s.stagingDir()); err != nil {
		cancel()
		return nil, fmt.Errorf("create staging directory: %w", err)
	}
	var err error
	s.journal, err = journal.Open(cmp.Or(o.journalDir, filepath.Join(o.Dir, "journal")), journal.Identity{Bucket: o.Client.Bucket(), Prefix: o.Prefix},
		o.journalIn)
	if err != nil {
		cancel()
		return nil, err
	}
	if err := s.recover(); err != nil {
		cancel()
		return nil, errors.Join(err, s.journal.Close())
	}
	return s, nil
}

// recover brings back what the journal holds.
func (s *Store) recover() error {
	st, err := s.journal.Load()
	if err != nil {
		return err
	}
	s.Failpoint(fpRecoverLoaded)
	if err := s.replay(st); err != nil {
		return err
	}
	s.Failpoint(fpRecoverReplayed)
	n, err := s.sweepStaging()
	if err != nil {
		return fmt.Errorf("clear staging directory: %w", err)
	}
	s.lazy, s.removals = newLazyQueue(s), newRemovals(s)
	s.removals.start()
	s.orphans.start()
	if !st.Empty() || n > 0 {
		s.finish(st)
		r := s.recovery
		s.Logger.Info("recovered what an earlier mount left", "files", r.Files, "bytes", r.Bytes, "conflicts", r.Conflicts,
			"damaged", r.Damaged, "uploads", r.Uploads, "removals", r.Removals, "renames", r.Renames, "unacknowledged", n)
	}
	return nil
}

// stagingDir is where staging files are.
func (s *Store) stagingDir() string { return filepath.Join(s.Dir, "staging") }

func (s *Store) now() time.Time { return s.Options.Now() }

// Close commits everything that is dirty, waits for it, and ends the Store. The error joins what could
// not be committed. It ends early, with an error, when ctx does.
func (s *Store) Close(ctx context.Context) error {
	defer s.orphans.wg.Wait()
	defer s.removals.wg.Wait()
	s.lazy.stop()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	err := errors.Join(s.Sync(ctx, ""), s.deleteAllDoomed())
	s.tellMade()
	s.mu.Lock()
	s.closed = true
	files := s.allFilesLocked()
	s.mu.Unlock()
	s.cancel()
	for _, f := range files {
		f.discard()
	}
	return errors.Join(err, s.journal.Close())
}

// Sync commits everything dirty at or below prefix and waits. The error joins all failures.
func (s *Store) Sync(ctx context.Context, prefix string) error {
	return errors.Join(s.syncFiles(ctx, func(Stat) bool { return true }, prefix), s.FlushRemovals(prefix))
}

// SyncDir commits what is dirty directly in the directory prefix, and its own marker, as fsync(2) of a
// directory promises for its names. What somebody is just writing is not published half done for that.
func (s *Store) SyncDir(ctx context.Context, prefix string) error {
	err := s.syncFiles(ctx, func(st Stat) bool {
		dir, _ := splitKey(st.Key)
		return (st.Key == prefix || dir == prefix) && !(st.Handles > 0 && st.DirtyData)
	}, prefix)
	return errors.Join(err, s.FlushRemovals(prefix))
}

// syncFiles commits the dirty files below prefix that match.
func (s *Store) syncFiles(ctx context.Context, match func(Stat) bool, prefix string) error {
	s.mu.Lock()
	files := s.filesLocked(prefix)
	s.mu.Unlock()
	var g errgroup.Group // not the kind that cancels: one failure must not stop the others
	g.SetLimit(s.CommitThreads)
	errs := make([]error, len(files))
	for i, f := range files {
		if !match(f.Stat()) {
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				errs[i] = err
				return nil
			}
			errs[i] = f.Fsync(ctx)
			f.dropIfIdle() // else it would stand for the name until the queue comes to it
			return nil
		})
	}
	_ = g.Wait() // the functions return nil; their errors are in errs
	return errors.Join(errs...)
}

// filesLocked returns the Files at or below prefix in the order of their keys.
func (s *Store) filesLocked(prefix string) []*File {
	var out []*File
	for _, key := range s.names.below(prefix) {
		e := s.names.get(key)
		for _, f := range []*File{e.doomed, e.file} {
			if f != nil {
				out = append(out, f)
			}
		}
	}
	return out
}

// CreateMode says what the maker of a file asked for, which decides what happens when somebody else
// made one of that name meanwhile.
type CreateMode struct {
	Excl  bool // O_EXCL: the loser gets ErrExists at commit
	Trunc bool // O_TRUNC: whatever is there is replaced, as it would have been at open
}

// Create makes a file, a directory (key ending in "/"), a symlink or a special file at key, which the
// caller knows to be absent. The File is acquired. No request is sent: a file is committed when bytes
// were written, or at its last close; a directory after AttrDelay. ErrExists if the Store knows a file
// there.
func (s *Store) Create(key string, a Attr, m CreateMode) (*File, error) {
	if err := a.checkFit(key); err != nil {
		return nil, err
	}
	f, err := s.create(key, a, m)
	if err != nil || !isDirKey(key) {
		return f, err
	}
	f.mu.Lock()
	f.dirtyAttr, f.dirtySince = true, s.now()
	err = f.persistLocked()
	f.mu.Unlock()
	if err != nil {
		f.orphan()
		f.Release()
		return nil, err
	}
	s.lazy.add(f)
	return f, nil
}

// create makes the File of Create.
func (s *Store) create(key string, a Attr, m CreateMode) (*File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	e := s.names.at(key)
	if e.file != nil {
		return nil, ErrExists
	}
	a.Known = true
	f := s.newFileLocked(key, a)
	f.aclKnown, f.tagsKnown = true, true
	if s.goingLocked(key, e) {
		f.shadowLocked()
	}
	f.create, f.fresh = m, !f.shadows
	f.neverCommitted, f.appendOnly = true, true
	e.file = f
	return f, nil
}

// Acquire returns the File of an existing object, the same one to everybody while somebody holds it or
// it is dirty; v and a count only for the first. The caller calls Release.
func (s *Store) Acquire(key string, v Version, a Attr) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.names.at(key)
	if e.file != nil {
		e.file.refs++
		return e.file
	}
	f := s.newFileLocked(key, a)
	f.setBase(v)
	if e.changed && !e.deleted && e.version.Same(v) && e.aclKnown { // made here: the ACL is what we sent
		takeUntold(&f.attr.Headers, e.attr.Headers)
		f.aclKnown, f.tagsKnown = true, true
	}
	e.file = f
	return f
}

// newFileLocked makes an acquired File.
func (s *Store) newFileLocked(key string, a Attr) *File {
	s.ino++
	return &File{s: s, ino: s.ino, refs: 1, key: key, attr: a}
}
