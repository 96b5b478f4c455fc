package writeback

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"cosfuse/cache"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// source is a version of another file's object that a file has bytes of, which the service is to copy when
// the file is committed. Key and version never change: before this mount changes or deletes the object, the
// copies are made, see Store.enterToChange.
type source struct {
	key    string
	v      Version
	reader *baseReader // nil until somebody reads; guarded by File.mu
	lost   bool        // the service does not have the version any more; guarded by File.mu
}

// sourceLocked returns the number under which extents refer to version v of key. What a commit under way,
// or one of unknown outcome, has copied must be told from what is copied now: then it is a new number.
func (f *File) sourceLocked(key string, v Version) uint32 {
	if !f.committing && f.attempt == nil {
		for id, g := range f.sources {
			if g.key == key && g.v.Same(v) && !g.lost {
				return id
			}
		}
	}
	if f.sources == nil {
		f.sources = make(map[uint32]*source)
	}
	f.lastSource++
	f.sources[f.lastSource] = &source{key: key, v: v}
	f.s.copies.add(key, f)
	return f.lastSource
}

// useSourceLocked returns a reader of a source; unuseReader gives it back.
func (f *File) useSourceLocked(id uint32) *baseReader {
	g := f.sources[id]
	if g.reader == nil {
		s, key, v := f.s, g.key, g.v
		fetch := func(ctx context.Context, off, size int64) (io.ReadCloser, error) {
			r, err := s.Fetch(ctx, key, v, off, size)
			if err != nil {
				return nil, err
			}
			return r.Body, nil
		}
		id := cache.ObjectID{Key: key, ETag: v.ETag, Size: v.Size}
		g.reader = &baseReader{Reader: s.Blocks.OpenVerified(id, fetch, v.checksum)}
	}
	g.reader.users++
	return g.reader
}

// useReaderOfLocked returns a reader of the object that e, of kind Base or Remote, is in.
func (f *File) useReaderOfLocked(e extent.Extent) *baseReader {
	if e.Kind == extent.Remote {
		return f.useSourceLocked(e.Src)
	}
	return f.useReaderLocked()
}

// closeSourcesLocked ends the readers of sources; those who use them finish first.
func (f *File) closeSourcesLocked() {
	for _, g := range f.sources {
		if g.reader != nil {
			g.reader.closeLocked()
			g.reader = nil
		}
	}
}

// pruneSourcesLocked forgets the sources that no extent refers to.
func (f *File) pruneSourcesLocked() {
	for id, g := range f.sources {
		if f.ext.Any(func(e extent.Extent) bool { return e.Kind == extent.Remote && e.Src == id }) {
			continue
		}
		if g.reader != nil {
			g.reader.closeLocked()
		}
		delete(f.sources, id)
		if !f.copiesFromLocked(func(key string) bool { return key == g.key }) {
			f.s.copies.drop(g.key, f)
		}
	}
}

// forgetSourcesLocked is for a file that is going away.
func (f *File) forgetSourcesLocked() {
	f.closeSourcesLocked()
	for _, g := range f.sources {
		f.s.copies.drop(g.key, f)
	}
}

// copiesFromLocked reports whether f has bytes of a key of which within is true, and anybody may still want
// them.
func (f *File) copiesFromLocked(within func(key string) bool) bool {
	if f.unlinked && f.handles == 0 && !f.keptLocked() {
		return false
	}
	return f.ext.Any(func(e extent.Extent) bool {
		if e.Kind != extent.Remote {
			return false
		}
		g := f.sources[e.Src]
		return !g.lost && within(g.key)
	})
}

// sourceRecords is the sources as the journal keeps them.
func (f *File) sourceRecords() []journal.Source {
	var out []journal.Source
	for id, g := range f.sources {
		out = append(out, journal.Source{ID: id, Key: g.key, Version: versionRecord(g.v)})
	}
	slices.SortFunc(out, func(a, b journal.Source) int { return int(a.ID) - int(b.ID) })
	return out
}

// restoreSources is the inverse. Every extent of kind Remote must have its source.
func (f *File) restoreSources(list []journal.Source) error {
	for _, r := range list {
		if f.sources == nil {
			f.sources = make(map[uint32]*source)
		}
		f.sources[r.ID] = &source{key: r.Key, v: versionOfRecord(r.Version)}
		f.lastSource = max(f.lastSource, r.ID)
		f.s.copies.add(r.Key, f)
	}
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Remote && f.sources[e.Src] == nil {
			return fmt.Errorf("%w: extent %+v has no source", journal.ErrFormat, e)
		}
	}
	return nil
}

// useSourcesLocked takes hold of the sources that the snapshot has bytes of; release lets go of them.
func (c *snapshot) useSourcesLocked() {
	c.sources, c.lastSource = maps.Clone(c.f.sources), c.f.lastSource
	for _, e := range c.ext.Extents() {
		if e.Kind != extent.Remote || c.readers[e.Src] != nil {
			continue
		}
		if c.readers == nil {
			c.readers = make(map[uint32]*baseReader)
		}
		c.readers[e.Src] = c.f.useSourceLocked(e.Src)
	}
}

// release gives back the readers.
func (c *snapshot) release() {
	if c.reader != nil {
		c.f.unuseReader(c.reader)
	}
	for _, r := range c.readers {
		c.f.unuseReader(r)
	}
}

// copies knows which files have bytes that the service is still to copy, by the key they are copied from. It
// may name files that do not any more.
type copies struct {
	mu sync.Mutex // a leaf
	of map[string]map[*File]struct{}
}

func (c *copies) add(key string, f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]map[*File]struct{})
	}
	if c.of[key] == nil {
		c.of[key] = make(map[*File]struct{})
	}
	c.of[key][f] = struct{}{}
}

func (c *copies) drop(key string, f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of[key], f)
	if len(c.of[key]) == 0 {
		delete(c.of, key)
	}
}

// from returns the files that are named for keys, or for keys below trees, in the order of their numbers.
func (c *copies) from(keys, trees []string) []*File {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of) == 0 {
		return nil
	}
	within := among(keys, trees)
	var out []*File
	for key, files := range c.of {
		if !within(key) {
			continue
		}
		for f := range files {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *File) int { return int(a.ino) - int(b.ino) })
	return slices.Compact(out)
}

// among reports of a key whether it is one of keys or below one of trees.
func among(keys, trees []string) func(string) bool {
	return func(key string) bool {
		return slices.Contains(keys, key) ||
			slices.ContainsFunc(trees, func(t string) bool { return strings.HasPrefix(key, t) })
	}
}
