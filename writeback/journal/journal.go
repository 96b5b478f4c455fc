package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors of Open.
var (
	ErrForeign = errors.New("journal belongs to another bucket or prefix")
	ErrFormat  = errors.New("journal has a format this version does not know")
	ErrLocked  = errors.New("journal is in use by another process")
)

// Kinds of records, the first byte of a store key.
const (
	kindIdentity = 'v'
	kindInode    = 'i'
	kindDelta    = 'd'
	kindUpload   = 'u'
	kindRemoval  = 'r'
	kindRename   = 't'
	kindIntent   = 'n'
)

// Options of Open.
type Options struct {
	FS     vfs.FS       // nil = the operating system's
	Logger *slog.Logger // nil = discard
}

// Journal is an open journal.
type Journal struct {
	db      *pebble.DB
	lock    *pebble.Lock
	reserve *reserve // nil on other file systems than the operating system's
}

// Open opens or makes the journal in dir for the bucket and prefix in id (whose Version is ignored). It
// fails with ErrLocked, ErrForeign or ErrFormat, or when the store is damaged; then nothing was changed.
func Open(dir string, id Identity, o Options) (*Journal, error) {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := MakeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("make journal directory: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	j := &Journal{lock: lock}
	if o.FS == nil {
		j.reserve = newReserve(dir+reserveSuffix, orDiscard(o.Logger))
		fs = j.reserve.guard(fs)
	}
	j.db, err = pebble.Open(dir, &pebble.Options{
		FS: fs, Lock: lock, Logger: quiet{o.Logger}, FormatMajorVersion: pebble.FormatNewest,
		MemTableSize: 8 << 20,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal: %w", err), lock.Close(), j.closeReserve())
	}
	if err := j.identify(id); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

// MakeDir makes a directory and those it is in, and returns when they would survive a power cut. A nil fs is the
// operating system's. It blocks on the disk unless the directory is there.
func MakeDir(fs vfs.FS, dir string) error {
	if fs == nil {
		fs = vfs.Default
	}
	var parents []string // of what is to be made
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := fs.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		parents = append(parents, filepath.Dir(d))
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		f, err := fs.OpenDir(p)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// identify checks whose journal it is, or makes it id's.
func (j *Journal) identify(id Identity) error {
	id.Version = FormatVersion
	v, closer, err := j.db.Get([]byte{kindIdentity})
	if errors.Is(err, pebble.ErrNotFound) {
		b := j.Begin()
		b.put([]byte{kindIdentity}, id)
		return b.Commit(Sync)
	}
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }() // only returns the value's memory
	var have Identity
	if err := json.Unmarshal(v, &have); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if have.Version != FormatVersion {
		return fmt.Errorf("%w: version %d, this daemon knows %d", ErrFormat, have.Version, FormatVersion)
	}
	if have != id {
		return fmt.Errorf("%w: it holds changes of %s:/%s", ErrForeign, have.Bucket, have.Prefix)
	}
	return nil
}

// Close closes the store. Batches committed with NoSync are synced first.
func (j *Journal) Close() error {
	return errors.Join(j.db.Close(), j.lock.Close(), j.closeReserve())
}

func (j *Journal) closeReserve() error {
	if j.reserve == nil {
		return nil
	}
	return j.reserve.close()
}

// reserveSuffix follows the journal's directory in the name of its reserve.
const reserveSuffix = ".reserve"

// orDiscard is log, or one that says nothing.
func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// Durability says what Commit waits for.
type Durability bool

// NoSync batches may die with the process; Sync ones survive a power cut.
const (
	NoSync Durability = false
	Sync   Durability = true
)

// Batch is a set of changes that are made together or not at all. It is not safe for concurrent use.
type Batch struct {
	b   *pebble.Batch
	err error
}

// Begin starts a batch.
func (j *Journal) Begin() *Batch { return &Batch{b: j.db.NewBatch()} }

func (b *Batch) put(key []byte, v any) {
	data, err := json.Marshal(v)
	b.err = errors.Join(b.err, err)
	b.err = errors.Join(b.err, b.b.Set(key, data, nil))
}

func (b *Batch) drop(key []byte) { b.err = errors.Join(b.err, b.b.Delete(key, nil)) }

// PutInode records r, in the place of what was recorded of its Ino.
func (b *Batch) PutInode(r Inode) { b.put(numKey(kindInode, r.Ino), r) }

// DropInode forgets an inode and its deltas.
func (b *Batch) DropInode(ino uint64) {
	b.drop(numKey(kindInode, ino))
	b.DropDeltas(ino)
}

// PutDelta records bytes.
func (b *Batch) PutDelta(d Delta) {
	v := binary.BigEndian.AppendUint32(nil, d.Src)
	v = binary.BigEndian.AppendUint64(v, uint64(d.Off))
	key := binary.BigEndian.AppendUint64(numKey(kindDelta, d.Ino), d.Seq)
	b.err = errors.Join(b.err, b.b.Set(key, append(v, d.Data...), nil))
}

// DropDeltas forgets the recorded bytes of an inode: they are synced elsewhere, or not wanted.
func (b *Batch) DropDeltas(ino uint64) {
	b.err = errors.Join(b.err, b.b.DeleteRange(numKey(kindDelta, ino), numKey(kindDelta, ino+1), nil))
}

// PutUpload records an upload.
func (b *Batch) PutUpload(u Upload) { b.put(append([]byte{kindUpload}, u.UploadID...), u) }

// DropUpload forgets an upload: it is complete, or aborted.
func (b *Batch) DropUpload(uploadID string) { b.drop(append([]byte{kindUpload}, uploadID...)) }

// PutRemoval records a deletion.
func (b *Batch) PutRemoval(r Removal) { b.put(append([]byte{kindRemoval}, r.Key...), r) }

// DropRemoval forgets it: it is done, or void.
func (b *Batch) DropRemoval(key string) { b.drop(append([]byte{kindRemoval}, key...)) }

// PutRename records a directory rename.
func (b *Batch) PutRename(r TreeRename) { b.put(numKey(kindRename, r.ID), r) }

// DropRename forgets it.
func (b *Batch) DropRename(id uint64) { b.drop(numKey(kindRename, id)) }

// PutIntent records that an upload is about to be asked for.
func (b *Batch) PutIntent(r Intent) { b.put(numKey(kindIntent, r.ID), r) }

// DropIntent forgets it: the upload's ID is known, or there is no upload.
func (b *Batch) DropIntent(id uint64) { b.drop(numKey(kindIntent, id)) }

// Commit makes the batch's changes. It blocks on the disk if d is Sync.
func (b *Batch) Commit(d Durability) error {
	if b.err != nil {
		return errors.Join(b.err, b.b.Close())
	}
	o := pebble.NoSync
	if d == Sync {
		o = pebble.Sync
	}
	return b.b.Commit(o)
}

// numKey is a kind and a number, in the number's order.
func numKey(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, n) }

// Load reads everything. A record that does not parse is an error that names it: it is never skipped.
func (j *Journal) Load() (*State, error) {
	it, err := j.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	s := new(State)
	for ok := it.First(); ok; ok = it.Next() {
		if err := s.add(it.Key(), it.Value()); err != nil {
			return nil, errors.Join(fmt.Errorf("journal record %q: %w", it.Key(), err), it.Close())
		}
	}
	return s, errors.Join(it.Error(), it.Close())
}

// add decodes one record into s.
func (s *State) add(key, value []byte) error {
	switch key[0] {
	case kindIdentity:
		return nil
	case kindInode:
		return addTo(&s.Inodes, value)
	case kindUpload:
		return addTo(&s.Uploads, value)
	case kindRemoval:
		return addTo(&s.Removals, value)
	case kindRename:
		return addTo(&s.Renames, value)
	case kindIntent:
		return addTo(&s.Intents, value)
	case kindDelta:
		if len(key) != 17 || len(value) < 12 {
			return fmt.Errorf("%w: delta", ErrFormat)
		}
		s.Deltas = append(s.Deltas, Delta{Ino: binary.BigEndian.Uint64(key[1:]), Seq: binary.BigEndian.Uint64(key[9:]),
			Src: binary.BigEndian.Uint32(value), Off: int64(binary.BigEndian.Uint64(value[4:])),
			Data: append([]byte(nil), value[12:]...)})
		return nil
	}
	return fmt.Errorf("%w: kind %q", ErrFormat, key[0])
}

// addTo appends the record in value.
func addTo[T any](to *[]T, value []byte) error {
	var r T
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	*to = append(*to, r)
	return nil
}

// quiet passes the store's errors on and drops its chatter.
type quiet struct{ log *slog.Logger }

func (quiet) Infof(string, ...any) {}

func (q quiet) Errorf(format string, args ...any) {
	if q.log != nil {
		q.log.Error("journal store", "err", fmt.Sprintf(format, args...))
	}
}

func (q quiet) Fatalf(format string, args ...any) {
	panic("journal store: " + fmt.Sprintf(format, args...)) // the store cannot go on: neither can we
}
