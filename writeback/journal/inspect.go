package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Access says what may be done with a journal that OpenExisting opened.
type Access bool

// ReadOnly changes nothing on disk, and no Batch may be committed; ReadWrite is what Open gives.
const (
	ReadOnly  Access = false
	ReadWrite Access = true
)

// OpenExisting opens the journal in dir whoever's it is, and tells whose. It makes none: the error is
// fs.ErrNotExist if there is no journal, else those of Open but ErrForeign.
func OpenExisting(dir string, a Access, o Options) (*Journal, Identity, error) {
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if d, err := pebble.Peek(dir, fs); err != nil || !d.Exists {
		return nil, Identity{}, errors.Join(fmt.Errorf("journal %s: %w", dir, iofs.ErrNotExist), err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, Identity{}, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	db, err := pebble.Open(dir, &pebble.Options{
		FS: fs, Lock: lock, Logger: quiet{o.Logger}, ReadOnly: a == ReadOnly, ErrorIfNotExists: true, MemTableSize: 8 << 20,
	})
	if err != nil {
		return nil, Identity{}, errors.Join(fmt.Errorf("open journal: %w", err), lock.Close())
	}
	j := &Journal{db: db, lock: lock}
	id, err := j.identity()
	if err != nil {
		return nil, Identity{}, errors.Join(err, j.Close())
	}
	return j, id, nil
}

// identity reads whose journal it is. One that was made and never identified is nobody's.
func (j *Journal) identity() (Identity, error) {
	v, closer, err := j.db.Get([]byte{kindIdentity})
	if errors.Is(err, pebble.ErrNotFound) {
		return Identity{Version: FormatVersion}, nil
	}
	if err != nil {
		return Identity{}, err
	}
	defer func() { _ = closer.Close() }() // only returns the value's memory
	var id Identity
	if err := json.Unmarshal(v, &id); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if id.Version != FormatVersion {
		return Identity{}, fmt.Errorf("%w: version %d, this program knows %d", ErrFormat, id.Version, FormatVersion)
	}
	return id, nil
}
