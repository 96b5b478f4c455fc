package writeback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// stagingSuffix marks the files of a staging directory that are ours.
const stagingSuffix = ".stage"

// staging is one staging file: sparse, with the bytes of a file at their own offsets, but for extents
// that moved (their SrcOff tells). A commit under way reads its staging files while writers go on in
// a newer one, so a File may have several.
type staging struct {
	id    uint32 // Src of the extents that point here
	file  *os.File
	bytes int64 // counted against the budget; guarded by File.mu
}

// newStaging creates a staging file for the File with number ino.
func newStaging(dir string, ino uint64, id uint32) (*staging, error) {
	f, err := os.OpenFile(filepath.Join(dir, stagingName(ino, id)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, stagingError(err)
	}
	return &staging{id: id, file: f}, nil
}

// writeAt stores p. A full disk is ErrStagingFull.
func (s *staging) writeAt(p []byte, off int64) error {
	_, err := s.file.WriteAt(p, off)
	return stagingError(err)
}

// readAt fills p; what was never written reads as zeros.
func (s *staging) readAt(p []byte, off int64) error {
	n, err := s.file.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return nil
	}
	return err
}

// remove deletes the file; its bytes are gone.
func (s *staging) remove() error {
	return errors.Join(os.Remove(s.file.Name()), s.file.Close())
}

// stagingError tells a full disk from other failures.
func stagingError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrStagingFull, err)
	}
	return err
}
