package fs

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// Warmth counts what Warm has found and done. Its fields may be read at any time.
type Warmth struct {
	Files, FilesDone atomic.Int64
	Bytes, BytesDone atomic.Int64
	Found            atomic.Bool // Files and Bytes are final
}

// Bounds of one Warm.
const (
	warmFiles = 8      // files under way
	warmQueue = 10_000 // files found and not begun, about 150 bytes each
)

// warmFile is a file to be fetched.
type warmFile struct {
	key   string
	entry cache.Entry
}

// Warm brings the content of the file at path, or of all files below it, into the cache, and returns when it
// is there as far as it fits. Files that are changed here are left out, and those that are replaced or
// deleted meanwhile. It ends with the first other error, ENOENT if there is nothing at path, or with ctx.
func (m *Mount) Warm(ctx context.Context, path string, w *Warmth) error {
	if m.o.Blocks == nil {
		return syscall.EOPNOTSUPP
	}
	key, err := m.keyOf(path)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	files := make(chan warmFile, warmQueue)
	g.Go(func() error {
		defer close(files)
		defer w.Found.Store(true)
		return m.findWarm(ctx, key, w, files)
	})
	for range warmFiles {
		g.Go(func() error {
			for f := range files {
				if err := m.warmFile(ctx, f, w); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// findWarm sends the files at and below key.
func (m *Mount) findWarm(ctx context.Context, key string, w *Warmth, files chan<- warmFile) error {
	dirs := []string{m.dirKeyOf(key)}
	for len(dirs) > 0 {
		dirKey := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		empty, err := m.eachEntry(ctx, dirKey, func(e *cache.Entry) error {
			if e.Dir {
				dirs = append(dirs, dirKey+e.Name+"/")
				return nil
			}
			return sendWarm(ctx, warmFile{dirKey + e.Name, *e}, w, files)
		})
		if err != nil {
			return err
		}
		if dirKey != m.o.Prefix && dirKey == key+"/" && empty {
			return m.findOne(ctx, key, w, files)
		}
	}
	return nil
}

// eachEntry calls fn with every entry of directory key, in the order of its pages, until that fails. It reports
// whether the bucket has nothing at all below key that a path can name.
func (m *Mount) eachEntry(ctx context.Context, key string, fn func(*cache.Entry) error) (empty bool, err error) {
	s, err := m.dirs.Stream(ctx, key, m.o.NegativeTTL)
	if err != nil {
		return false, err
	}
	defer s.Close()
	s.Ahead(pagesAhead)
	empty = true
	for {
		part, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			_, marked := s.Marker()
			return empty && !marked, nil
		}
		if err != nil {
			return false, err
		}
		for i := range part {
			empty = false
			if err := fn(&part[i]); err != nil {
				return false, err
			}
		}
	}
}

// findOne sends the file key.
func (m *Mount) findOne(ctx context.Context, key string, w *Warmth, files chan<- warmFile) error {
	f, _, err := m.facts.head(ctx, key)
	if err != nil {
		return err
	}
	if !f.found {
		return syscall.ENOENT
	}
	e := cache.Entry{Size: f.ver.Size, ETag: f.ver.ETag, LastModified: f.ver.LastModified}
	return sendWarm(ctx, warmFile{key, e}, w, files)
}

func sendWarm(ctx context.Context, f warmFile, w *Warmth, files chan<- warmFile) error {
	w.Files.Add(1)
	w.Bytes.Add(f.entry.Size)
	select {
	case files <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warmFile brings one file.
func (m *Mount) warmFile(ctx context.Context, f warmFile, w *Warmth) error {
	defer w.FilesDone.Add(1)
	if l, ok := m.o.Store.Local(f.key); f.entry.Size == 0 || ok && l.File != nil && l.File.Stat().DirtyData {
		w.BytesDone.Add(f.entry.Size)
		return nil
	}
	v := writeback.Version{ETag: f.entry.ETag, Size: f.entry.Size, LastModified: f.entry.LastModified}
	var last int64
	err := m.o.Blocks.Warm(ctx, objectID(f.key, &f.entry), m.facts.fetcher(f.key, v), func(done, _ int64) {
		w.BytesDone.Add(done - last) // from one goroutine at a time
		last = done
	})
	if errors.Is(err, cos.ErrNotFound) || errors.Is(err, cos.ErrPrecondition) {
		w.BytesDone.Add(f.entry.Size - last)
		return nil
	}
	return err
}
