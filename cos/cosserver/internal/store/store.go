package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors of the store. They are compared with errors.Is.
var (
	ErrNoBucket       = errors.New("no such bucket")
	ErrBucketExists   = errors.New("bucket exists")
	ErrBucketNotEmpty = errors.New("bucket is not empty")
	ErrNoKey          = errors.New("no such key")
	ErrNoVersion      = errors.New("no such version")
	ErrNoUpload       = errors.New("no such upload")
	ErrNoPart         = errors.New("no such part")
	ErrNotAppendable  = errors.New("object is not appendable")
	ErrTooLarge       = errors.New("object would be too large")
	ErrClosed         = errors.New("store is closed")
)

// PositionError refuses an append elsewhere than at the object's end.
type PositionError struct{ Length int64 }

// Error tells the length an append would have to start at.
func (e *PositionError) Error() string {
	return fmt.Sprintf("position is not the object's length, %d", e.Length)
}

// formatVersion is the layout of the directory and of the index keys.
const formatVersion = 1

// Options of Open.
type Options struct {
	Logger *slog.Logger     // nil discards
	Clock  func() time.Time // nil is time.Now
	NoSync bool             // acknowledge before anything is synced; for tests
	Lag    time.Duration    // listings show the state of this long ago

	KeepCompleted bool // remember how uploads ended, for Ended
}

// Store is an open directory. Close releases it.
type Store struct {
	dir   string
	db    *pebble.DB
	held  *pebble.Lock // on the directory
	log   *slog.Logger
	clock func() time.Time
	keep  bool // how uploads ended
	sync  *pebble.WriteOptions
	seed  maphash.Seed
	past  past

	// Lock order: config, then keys (by index, when two), then a leaf. Each is held for local work
	// only.
	config sync.RWMutex      // readers change objects, writers change buckets
	keys   [512]sync.RWMutex // by hash of bucket and key: a key's records and their references

	mu      sync.Mutex // guards the fields below; a leaf
	buckets map[string]*Bucket
	pins    map[id]int      // files being read or about to be referenced
	parked  map[id]struct{} // pinned files that lost a reference
}

// Open opens or creates the store in dir and removes what a crash left behind. It fails if another
// process has the directory open.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return nil, err
	}
	s := &Store{
		dir:     dir,
		log:     cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		clock:   o.Clock,
		keep:    o.KeepCompleted,
		sync:    pebble.Sync,
		seed:    maphash.MakeSeed(),
		buckets: map[string]*Bucket{},
		pins:    map[id]int{},
		parked:  map[id]struct{}{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if o.NoSync {
		s.sync = pebble.NoSync
	}
	held, err := pebble.LockDirectory(dir, vfs.Default)
	if err != nil {
		return nil, fmt.Errorf("lock %s, which another process may have open: %w", dir, err)
	}
	db, err := openIndex(filepath.Join(dir, "index"), s.log, o.NoSync)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the index of %s: %w", dir, err), held.Close())
	}
	s.db, s.held = db, held
	s.past = past{db: db, clock: s.clock, lag: o.Lag}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, db.Close(), held.Close())
	}
	return s, nil
}

func openIndex(dir string, log *slog.Logger, noSync bool) (*pebble.DB, error) {
	fs := vfs.Default // not the one pebble would choose, whose health checks start goroutines only to log
	if noSync {
		fs = lazyFS{fs}
	}
	cache := pebble.NewCache(32 << 20)
	defer cache.Unref()
	return pebble.Open(dir, &pebble.Options{
		FS:                 fs,
		Cache:              cache,
		MemTableSize:       8 << 20,
		MaxOpenFiles:       256,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             indexLogger{log},
	})
}

// indexLogger passes the index's own messages on: routine ones at debug level.
type indexLogger struct{ log *slog.Logger }

func (l indexLogger) Infof(format string, args ...any) {
	l.log.Debug("index", "msg", fmt.Sprintf(format, args...))
}

func (l indexLogger) Errorf(format string, args ...any) {
	l.log.Error("index", "err", fmt.Sprintf(format, args...))
}

// Fatalf is called when the index cannot go on, as when its disk fails while syncing the log. It
// must not return.
func (l indexLogger) Fatalf(format string, args ...any) {
	l.log.Error("index stopped", "err", fmt.Sprintf(format, args...))
	panic(fmt.Sprintf(format, args...))
}

// recover checks the format, reads the buckets and removes garbage.
func (s *Store) recover() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	err := s.scan([]byte{spaceBucket}, func(k, v []byte) error {
		b, err := unmarshalBucket(string(k[1:]), v)
		if err != nil {
			return err
		}
		s.buckets[b.Name] = b
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.collectGarbage(); err != nil {
		return err
	}
	return s.collectOrphans()
}

func (s *Store) checkFormat() error {
	v, err := s.get([]byte{spaceFormat})
	if err != nil {
		return err
	}
	if v == nil {
		if err := s.makeShards(); err != nil {
			return err
		}
		return s.db.Set([]byte{spaceFormat}, []byte{formatVersion}, s.sync)
	}
	if !bytes.Equal(v, []byte{formatVersion}) {
		return fmt.Errorf("store format %v is not %d: %w", v, formatVersion, errCorrupt)
	}
	return nil
}

// Close releases the directory. The caller has ended every operation and closed every Reader.
func (s *Store) Close() error {
	s.past.close()
	return errors.Join(s.db.Flush(), s.db.Close(), s.held.Close())
}

// Flush makes what was acknowledged without a sync durable.
func (s *Store) Flush() error { return s.db.LogData(nil, s.sync) }

// get returns a copy of a value, or nil if the key is absent.
func (s *Store) get(key []byte) ([]byte, error) { return getFrom(s.db, key) }

func getFrom(r pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = append([]byte{}, v...)
	return v, closer.Close()
}

// scan calls f for each pair whose key begins with prefix; the slices are valid during the call.
// An io.EOF from f ends the scan without an error.
func (s *Store) scan(prefix []byte, f func(k, v []byte) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		err = f(it.Key(), v)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return it.Error()
}

func (s *Store) stripe(bucket, key string) int {
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(bucket)
	h.WriteByte(0)
	h.WriteString(key)
	return int(h.Sum64() % uint64(len(s.keys)))
}

// lock takes the write locks for keys of a bucket and returns what releases them. Two names may
// share a lock.
func (s *Store) lock(names ...objectName) (unlock func()) {
	s.config.RLock()
	stripes := make([]int, 0, len(names))
	for _, n := range names {
		stripes = append(stripes, s.stripe(n.bucket, n.key))
	}
	slices.Sort(stripes)
	stripes = slices.Compact(stripes)
	for _, i := range stripes {
		s.keys[i].Lock()
	}
	return func() {
		for _, i := range stripes {
			s.keys[i].Unlock()
		}
		s.config.RUnlock()
	}
}

type objectName struct{ bucket, key string }

// batch collects the changes of one operation.
type batch struct {
	*pebble.Batch
	lost []id // files that lose a reference
}

func (s *Store) newBatch() *batch { return &batch{Batch: s.db.NewBatch()} }

// set and del buffer a change. Pebble reports an error here only for a batch already committed.
func (b *batch) set(k, v []byte) error { return b.Set(k, v, nil) }
func (b *batch) del(k []byte) error    { return b.Delete(k, nil) }

// refer records that owner uses the files of xs.
func (b *batch) refer(xs []extent, owner id) error {
	for i, x := range xs {
		if i > 0 && x.file == xs[i-1].file {
			continue
		}
		if err := b.set(refKey(x.file, owner), nil); err != nil {
			return err
		}
	}
	return nil
}

// forget takes owner's references away and leaves a note to look whether they were the last.
func (b *batch) forget(xs []extent, owner id) error {
	for i, x := range xs {
		if i > 0 && x.file == xs[i-1].file {
			continue
		}
		err := errors.Join(b.del(refKey(x.file, owner)), b.set(idKey(spaceGarbage, x.file), nil))
		if err != nil {
			return err
		}
		b.lost = append(b.lost, x.file)
	}
	return nil
}

// commit applies b and then removes the files it made garbage. sync is s.sync or pebble.NoSync.
func (s *Store) commit(b *batch, sync *pebble.WriteOptions) error {
	s.past.remember()
	if err := b.Commit(sync); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), b.Close())
	}
	if err := b.Close(); err != nil {
		return err
	}
	for _, f := range b.lost {
		if err := s.collect(f); err != nil {
			s.log.Warn("garbage kept until the next start", "err", err)
		}
	}
	return nil
}

// now is the time of a change: milliseconds, as records keep it.
func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }
