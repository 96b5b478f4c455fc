package store

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// path is where a data file lives: data/<first byte>/<name>.
func (s *Store) path(f id) string {
	name := f.String()
	return filepath.Join(s.dir, "data", name[:2], name)
}

// shards is the number of directories under data/: names of files begin with a byte below it.
const shards = 128

// makeShards creates the directories of a new store.
func (s *Store) makeShards() error {
	data := filepath.Join(s.dir, "data")
	for i := range shards {
		if err := os.MkdirAll(filepath.Join(data, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return err
		}
	}
	return errors.Join(s.syncDir(data), s.syncDir(s.dir))
}

// create makes a new data file.
func (s *Store) create(f id) (*os.File, error) {
	return os.OpenFile(s.path(f), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// syncs reports whether acknowledged means synced.
func (s *Store) syncs() bool { return s.sync == pebble.Sync }

// syncNew makes a new file durable: its bytes, then its name.
func (s *Store) syncNew(f *os.File) error {
	if !s.syncs() {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return s.syncDir(filepath.Dir(f.Name()))
}

func (s *Store) syncDir(dir string) error {
	if !s.syncs() {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// pin keeps the files of xs from being removed until unpin. The caller holds the lock of a key whose
// record uses them.
func (s *Store) pin(xs []extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range xs {
		s.pins[x.file]++
	}
}

// unpin undoes pin and removes the files that became garbage meanwhile.
func (s *Store) unpin(xs []extent) {
	var loose []id
	s.mu.Lock()
	for _, x := range xs {
		s.pins[x.file]--
		if s.pins[x.file] > 0 {
			continue
		}
		delete(s.pins, x.file)
		if _, ok := s.parked[x.file]; ok {
			delete(s.parked, x.file)
			loose = append(loose, x.file)
		}
	}
	s.mu.Unlock()
	for _, f := range loose {
		if err := s.collect(f); err != nil {
			s.log.Warn("garbage kept until the next start", "err", err)
		}
	}
}

// collect removes a file that nobody refers to or reads. A file without references cannot gain one:
// that takes the lock of a key whose record refers to it, or a pin taken under one.
func (s *Store) collect(f id) error {
	s.mu.Lock()
	pinned := s.pins[f] > 0
	if pinned {
		s.parked[f] = struct{}{}
	}
	s.mu.Unlock()
	if pinned {
		return nil
	}
	used, err := s.referenced(f)
	if err != nil {
		return err
	}
	if !used {
		if err := s.remove(f); err != nil {
			return err
		}
	}
	return s.db.Delete(idKey(spaceGarbage, f), pebble.NoSync)
}

func (s *Store) referenced(f id) (bool, error) {
	prefix := idKey(spaceRef, f)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return false, err
	}
	used := it.First()
	return used, errors.Join(it.Error(), it.Close())
}

func (s *Store) remove(f id) error {
	if f.inline() {
		return s.db.Delete(idKey(spaceInline, f), pebble.NoSync)
	}
	if err := os.Remove(s.path(f)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}

// collectGarbage finishes the removals a crash interrupted.
func (s *Store) collectGarbage() error {
	var found []id
	err := s.scan([]byte{spaceGarbage}, func(k, _ []byte) error {
		if len(k) != 17 {
			return fmt.Errorf("garbage key of %d bytes: %w", len(k), errCorrupt)
		}
		found = append(found, id(k[1:]))
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := s.collect(f); err != nil {
			return err
		}
	}
	return nil
}

// collectOrphans removes data files without a reference: bodies that were being received when the
// process died. It walks the names of the files and their references side by side.
func (s *Store) collectOrphans() error {
	shards, err := os.ReadDir(filepath.Join(s.dir, "data"))
	if err != nil {
		return err
	}
	removed := 0
	for _, shard := range shards {
		names, err := os.ReadDir(filepath.Join(s.dir, "data", shard.Name()))
		if err != nil {
			return err
		}
		used, err := s.referencedIn(shard.Name())
		if err != nil {
			return err
		}
		for _, n := range names {
			if _, ok := slices.BinarySearch(used, n.Name()); ok {
				continue
			}
			if err := os.Remove(filepath.Join(s.dir, "data", shard.Name(), n.Name())); err != nil {
				return err
			}
			removed++
		}
	}
	if removed > 0 {
		s.log.Info("orphaned data files removed", "count", removed)
	}
	return nil
}

// referencedIn returns the sorted names of the files of a shard that have a reference.
func (s *Store) referencedIn(shard string) ([]string, error) {
	var first byte
	if _, err := fmt.Sscanf(shard, "%02x", &first); err != nil || len(shard) != 2 {
		return nil, fmt.Errorf("data/%s is not ours", shard)
	}
	var names []string
	err := s.scan([]byte{spaceRef, first}, func(k, _ []byte) error {
		if len(k) != 33 {
			return fmt.Errorf("reference key of %d bytes: %w", len(k), errCorrupt)
		}
		name := id(k[1:17]).String()
		if len(names) == 0 || strings.Compare(names[len(names)-1], name) != 0 {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}
