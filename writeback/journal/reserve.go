package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// reserveBytes is what the store needs to go on for a while on a disk that is full: a log and a table.
const reserveBytes = 16 << 20

// reserve is disk space that is given up when the disk is full. The store cannot survive a write that fails,
// and what is in it is what nobody may lose: those who stage bytes can be refused, it cannot.
type reserve struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex // guards the fields below
	tight  bool       // given up, or never had
	closed bool
}

// newReserve sets the space aside, if there is so much.
func newReserve(path string, log *slog.Logger) *reserve {
	r := &reserve{path: path, log: log, tight: true}
	r.take()
	return r
}

// guard makes the store's writes use the space when they need it.
func (r *reserve) guard(fs vfs.FS) vfs.FS { return vfs.OnDiskFull(fs, r.give) }

// give frees the space.
func (r *reserve) give() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tight = true
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Error("the journal's reserve cannot be given up", "err", err)
		return
	}
	r.log.Error("the disk of the cache directory is full: nothing more is written there until it has room",
		"bytes", reserveBytes)
}

// take sets the space aside again, and reports whether it is. A file system that cannot do so has none.
func (r *reserve) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.tight || r.closed {
		return true
	}
	err := allocate(r.path, reserveBytes)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil
	}
	r.tight = err != nil
	return !r.tight
}

// close gives the space back for good.
func (r *reserve) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if err := os.Remove(r.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reserve of the journal: %w", err)
	}
	return nil
}

// allocate makes a file that takes size bytes of disk, or none.
func allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err = unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return f.Close()
}

// Tight reports whether the disk is so full that the journal lives on its reserve, or has none: then nothing
// else should be written there. It tries to set the reserve aside again.
func (j *Journal) Tight() bool { return j.reserve != nil && !j.reserve.take() }
