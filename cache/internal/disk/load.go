package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// load finds the segments and what is in them, and evicts what is over the limit.
func (s *Store) load() error {
	nums, err := s.list()
	if err != nil {
		return err
	}
	for _, num := range nums {
		if err := s.loadSegment(num); err != nil {
			return err
		}
		s.next = num + 1
	}
	if n := len(s.segs); n > 0 && s.segs[n-1].end < s.segBytes/2 {
		s.active = s.segs[n-1] // or many short runs would leave many small segments
	}
	for s.used > s.limit() && len(s.segs) > 0 {
		if err := s.evict(s.segs[0], false); err != nil {
			return err
		}
	}
	return nil
}

// list returns the numbers of the segments in the directory, in order.
func (s *Store) list() ([]uint32, error) {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return nil, err
	}
	var nums []uint32
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		if num, err := strconv.ParseUint(name, 16, 32); err == nil && num > 0 && s.path(uint32(num)) == filepath.Join(s.o.Dir, e.Name()) {
			nums = append(nums, uint32(num))
		}
	}
	slices.Sort(nums)
	return nums, nil
}

func (s *Store) path(num uint32) string {
	return filepath.Join(s.o.Dir, fmt.Sprintf("%08x%s", num, segmentSuffix))
}

// loadSegment adds a segment, or deletes it if there is nothing in it.
func (s *Store) loadSegment(num uint32) error {
	path := s.path(num)
	f, err := s.o.open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	seg := &segment{num: num, path: path, f: f}
	entries, err := seg.read()
	if err != nil || len(entries) == 0 {
		_ = f.Close() // it was only read
		if err != nil {
			return err
		}
		return os.Remove(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segs = append(s.segs, seg)
	s.used += seg.size
	seg.slots = make([]uint32, 0, len(entries))
	for _, e := range entries {
		seg.slots = append(seg.slots, s.index.add(num, e))
	}
	return nil
}

// read returns the entries of the segment's index or, without a valid one, of the records found.
func (seg *segment) read() ([]entry, error) {
	size, err := fileSize(seg.path)
	if err != nil {
		return nil, err
	}
	seg.size = size
	trailer := make([]byte, trailerSize)
	if size < trailerSize {
		return nil, nil
	}
	if err := readFull(seg.f, trailer, size-trailerSize); err != nil {
		return nil, err
	}
	if off, ok := parseTrailer(trailer, size); ok {
		p := make([]byte, size-off)
		if err := readFull(seg.f, p, off); err != nil {
			return nil, err
		}
		if entries, ok := parseIndex(p, off); ok {
			seg.end, seg.sealed = off, true
			return entries, nil
		}
	}
	return seg.scan()
}

// scan reads the heads of records up to the first that is not whole.
func (seg *segment) scan() ([]entry, error) {
	var entries []entry
	buf := make([]byte, headerSize+maxKey+maxETag)
	for seg.end+headerSize <= seg.size {
		head := buf[:min(int64(len(buf)), seg.size-seg.end)]
		if err := readFull(seg.f, head, seg.end); err != nil {
			return nil, err
		}
		h, err := parseHeader(head)
		if err != nil || h.checkHead(head) != nil || seg.end+h.recordSize() > seg.size {
			break
		}
		if h.live {
			o := h.object(head)
			entries = append(entries, entry{
				hash: o.block(h.idx), key: o.keyHash, version: o.version(),
				off: uint32(seg.end), size: uint32(h.recordSize()),
			})
		}
		seg.end += h.recordSize()
	}
	return entries, nil
}

func fileSize(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return min(st.Size(), 1<<32-1), nil // offsets are 32 bits; no segment of ours is larger
}

// readFull fills p. A file that ends early is damage, not a failing disk.
func readFull(f file, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	return err
}
