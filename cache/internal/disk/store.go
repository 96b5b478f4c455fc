package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Errors of Open, besides those of the system.
var (
	ErrFormat = errors.New("not a block cache of this format")
	ErrLocked = errors.New("block cache in use by another process")
)

const (
	versionName   = "VERSION"
	lockName      = "LOCK"
	tempSuffix    = ".new"
	segmentSuffix = ".blocks"
	formatName    = "cosfuse block cache"
	formatVersion = 1

	segments        = 256 // that the cache is divided into
	minSegmentBytes = 1 << 20
	maxSegmentBytes = 1 << 30
	floorInterval   = 10 * time.Second // between looks at the free space while nothing is written
	maxReads        = 16               // of the disk at once
)

// Options of Open. The zero value gives the defaults named, but for Dir.
type Options struct {
	Dir          string
	MaxBytes     int64 // of the directory; 0 is 10 GiB
	MinFreeBytes int64 // of the filesystem, below which blocks are evicted and none written; 0 is none
	QueueBytes   int64 // of blocks that wait to be written; more are waited for, or not taken. 0 is 8 MiB
	Logger       *slog.Logger
	// FreeBytes returns the free space of the filesystem of dir; nil asks the system.
	FreeBytes func(dir string) (int64, error)

	open func(path string, flag int) (file, error) // nil opens files
}

// file is what a segment needs of one.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

func openFile(path string, flag int) (file, error) { return os.OpenFile(path, flag, 0o600) }

func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 10 << 30
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 8 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FreeBytes == nil {
		o.FreeBytes = freeBytes
	}
	if o.open == nil {
		o.open = openFile
	}
	return o
}

// Usage is what is kept as of now, and counts since Open.
type Usage struct {
	Bytes     int64 // of the segments, with what is dead in them
	Blocks    int64
	Objects   int64
	Hits      int64 // blocks that Get returned
	Evictions int64 // blocks given up for space
	Damaged   int64 // blocks that did not verify
	Skipped   int64 // blocks not written: the disk was behind, or full
	Failed    bool  // an I/O error turned the cache off
}

// Store is a directory of blocks. Close it.
type Store struct {
	o        Options
	segBytes int64
	lock     *os.File
	wg       sync.WaitGroup // the writer
	reads    chan struct{}  // one for each read under way
	wake     chan struct{}  // tells the writer of work
	failed   atomic.Bool
	buffers  sync.Pool // of *[]byte, for records

	// used by the writer alone, and by Open before it starts
	enc    encoder
	active *segment // that records are appended to; nil until the first
	next   uint32   // number of the next segment

	mu      sync.Mutex // guards the fields below and those of segments that say so; never held over I/O
	closed  bool
	index   index
	segs    []*segment // oldest first; changed by the writer alone
	used    int64      // bytes of segs
	queue   []*task
	queued  int64         // bytes of blocks in queue
	room    chan struct{} // closed when the queue has room again; nil if nobody waits
	behind  bool          // somebody waited for room in vain: nobody does until there is a lot
	getting sync.WaitGroup
	usage   Usage
	warned  bool // of damage
}

// segment is one file of records.
type segment struct {
	num  uint32
	path string
	f    file

	// changed by the writer alone
	end    int64 // of the records
	sealed bool  // an index follows them

	// guarded by Store.mu
	size  int64    // of the file
	slots []uint32 // of its blocks, also of some that are gone
	refs  int      // reads under way
	gone  bool     // close it after the last read
	stale bool     // its index lists blocks that are gone
}

// Open returns the cache in o.Dir, which it makes if need be. It fails with ErrFormat if the
// directory holds something else, and with ErrLocked while another process has it. It reads the
// indexes of the segments, which takes about a second for a million blocks.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if o.Dir == "" || o.MaxBytes < 0 || o.MinFreeBytes < 0 || o.QueueBytes < 0 {
		return nil, fmt.Errorf("block cache in %q: %d bytes, %d to stay free, %d queued: invalid",
			o.Dir, o.MaxBytes, o.MinFreeBytes, o.QueueBytes)
	}
	lock, err := claim(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o:        o,
		segBytes: min(max(o.MaxBytes/segments, minSegmentBytes), max(o.MaxBytes/8, 1), maxSegmentBytes),
		lock:     lock,
		reads:    make(chan struct{}, maxReads),
		wake:     make(chan struct{}, 1),
		next:     1,
		index:    newIndex(),
	}
	if err := s.load(); err != nil {
		s.release()
		return nil, fmt.Errorf("block cache: %w", err)
	}
	s.wg.Go(s.run)
	return s, nil
}

// claim makes the directory if need be, locks it and checks its format.
func claim(dir string) (lock *os.File, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("block cache: %w", err)
	}
	if err := checkFormat(dir); err != nil {
		return nil, err
	}
	lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("block cache: %w", err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close() // nothing was written
		}
	}()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock block cache %s: %w", dir, err)
	}
	return lock, writeFormat(dir)
}

// checkFormat refuses a directory with content that is not ours to delete.
func checkFormat(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, versionName))
	if errors.Is(err, os.ErrNotExist) {
		return checkEmpty(dir)
	}
	if err != nil {
		return fmt.Errorf("block cache: %w", err)
	}
	rest, ok := strings.CutPrefix(string(text), formatName+" ")
	if !ok {
		return fmt.Errorf("%s: %w: %s says %.40q", dir, ErrFormat, versionName, text)
	}
	if v, err := strconv.Atoi(strings.TrimSpace(rest)); err != nil || v != formatVersion {
		return fmt.Errorf("%s: %w: it has version %.20q, this program knows version %d: use another directory or delete this one",
			dir, ErrFormat, strings.TrimSpace(rest), formatVersion)
	}
	return nil
}

// checkEmpty accepts a directory with nothing in it but what a crash of claim leaves.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("block cache: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != versionName+tempSuffix {
			return fmt.Errorf("%s: %w: it has %q and no %s", dir, ErrFormat, e.Name(), versionName)
		}
	}
	return nil
}

// writeFormat writes the version file unless it exists, which checkFormat has verified.
func writeFormat(dir string) error {
	path := filepath.Join(dir, versionName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	text := fmt.Appendf(nil, "%s %d\n", formatName, formatVersion)
	if err := os.WriteFile(path+tempSuffix, text, 0o600); err != nil {
		return fmt.Errorf("block cache: %w", err)
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return fmt.Errorf("block cache: %w", err)
	}
	return nil
}

// Close writes what is queued and the index of the last segment, and gives up the directory. It
// waits for reads under way. What is put or asked for later is ignored.
func (s *Store) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	s.rouse()
	s.wg.Wait()
	s.getting.Wait()
	s.sealAll()
	s.release()
}

// release closes all files.
func (s *Store) release() {
	s.mu.Lock()
	segs := s.segs
	s.segs = nil
	s.mu.Unlock()
	for _, seg := range segs {
		_ = seg.f.Close() // nothing in it is promised
	}
	_ = s.lock.Close() // unlocks
}

// fail turns the cache off for good. The index stays, because the writer may be at work on it.
func (s *Store) fail(err error) {
	if s.failed.Swap(true) {
		return
	}
	s.o.Logger.Error("disk cache failed, going on without it", "op", "cache", "err", err)
}

// Usage returns the counters. It does not block.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.usage
	u.Bytes = s.used
	u.Blocks = int64(s.index.blocks())
	u.Objects = int64(len(s.index.keys))
	u.Failed = s.failed.Load()
	return u
}
