package fs

import (
	"strings"
	"time"

	"cosfuse/cache"
)

// windows keep the last parts of directories that are being read and not read to the end, so that who stats
// the names that are shown needs no more than a HEAD for each, and in a directory that is too long to be
// kept at all, too. A part tells all that a listing tells of the names in it, and nothing of others.
type windows struct {
	m *Mount
	t *cache.Table[*window]
}

// window is the last parts of one directory, oldest first. It is immutable.
type window struct{ parts []*cache.Listing }

// Bounds of windows: a page has a thousand entries of about 150 bytes.
const (
	maxWindows  = 32
	windowParts = 4
)

func newWindows(m *Mount) *windows {
	return &windows{m: m, t: cache.NewTable[*window](maxWindows, m.o.Now)}
}

// add notes a part of a listing of prefix that began at started.
func (w *windows) add(prefix string, part []cache.Entry, started time.Time) {
	if len(part) == 0 {
		return
	}
	next := &window{}
	if old, _, ok := w.t.Get(prefix); ok {
		next.parts = append(next.parts, old.parts[max(0, len(old.parts)-windowParts+1):]...)
	}
	next.parts = append(next.parts, &cache.Listing{Prefix: prefix, Entries: part, Started: started})
	w.t.Put(prefix, next)
}

// find returns a part, within the TTL, that tells of the name seg in prefix.
func (w *windows) find(prefix, seg string) *cache.Listing {
	win, _, ok := w.t.Get(prefix)
	if !ok {
		return nil
	}
	for i := len(win.parts) - 1; i >= 0; i-- {
		l := win.parts[i]
		if file, dir := l.Find(seg); (file != nil || dir != nil) && young(w.m.o.Now(), l.Started, w.m.o.MetaTTL) {
			return l
		}
	}
	return nil
}

// drop forgets the directories that begin with prefix.
func (w *windows) drop(prefix string) { w.t.DropPrefix(prefix) }

// look returns the listing of key's directory, or a part of it that tells of key.
func (m *Mount) look(dirKey, key string) *cache.Listing {
	if l := m.peek(dirKey); l != nil {
		return l
	}
	return m.windows.find(dirKey, strings.TrimPrefix(key, dirKey))
}
