package fs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// peek returns the listing of prefix if one within the TTL is known. A directory that was made here
// is known to have been empty.
func (m *Mount) peek(prefix string) *cache.Listing {
	if l, _, ok := m.dirs.Peek(prefix); ok {
		return l
	}
	l, at, ok := m.born.Get(prefix)
	if !ok || !young(m.o.Now(), at, m.o.MetaTTL) {
		return nil
	}
	return l
}

// proves reports whether absence may be believed because l does not show a name, for the negative TTL. It may be
// if somebody listed the directory. A listing that was made for the sake of other names answers the question
// at hand, but somebody may have made another name since, and told whoever asks for it now.
func (m *Mount) proves(l *cache.Listing) bool {
	c, _, ok := m.counts.Get(l.Prefix)
	return ok && !l.Started.After(c.started)
}

// prove notes that l proves absence.
func (m *Mount) prove(l *cache.Listing) {
	m.counts.Put(l.Prefix, count{names: len(l.Entries) + l.Hidden, started: l.Started})
}

// count is how many names a directory had.
type count struct {
	names   int
	started time.Time // when the listing began
}

// list returns a listing of prefix that is young enough to prove absence, asking for one if need be.
func (m *Mount) list(ctx context.Context, prefix string) (*cache.Listing, error) {
	l, err := m.dirs.Get(ctx, prefix, m.o.NegativeTTL)
	if err != nil {
		return nil, err
	}
	m.listed(prefix, l)
	m.prove(l)
	return l, nil
}

// listed draws conclusions from a listing of prefix.
func (m *Mount) listed(prefix string, l *cache.Listing) {
	m.born.Drop(prefix)
	if !l.HasMarker && len(l.Entries) > 0 && !m.o.Attrs.has(prefix) {
		m.o.Attrs.bare(prefix)
	}
	m.learn(l)
	m.o.Store.Settle(prefix, l.Started, func(base string) (writeback.Version, bool) {
		file, dir := l.Find(strings.TrimSuffix(base, "/"))
		if isDirKey(base) {
			return writeback.Version{}, dir != nil
		}
		if file == nil {
			return writeback.Version{}, false
		}
		return writeback.Version{ETag: file.ETag, Size: file.Size, LastModified: file.LastModified}, true
	})
	if l.Hidden > 0 {
		m.noteHidden(prefix, l)
	}
}

// clockSlack is how far the service's clock and ours may be apart.
const clockSlack = 5 * time.Second

// learn keeps what the Store knows of objects that this mount made and l shows in that very version.
// The Store forgets them now, and a HEAD would tell nothing new: the listing dates the version.
func (m *Mount) learn(l *cache.Listing) {
	for _, local := range m.o.Store.LocalChildren(l.Prefix) {
		if local.Deleted || local.File != nil || !local.Attr.Known || !local.At.Before(l.Started) {
			continue
		}
		e, _ := l.Find(strings.TrimPrefix(local.Key, l.Prefix))
		if e == nil || e.ETag != local.Version.ETag || e.Size != local.Version.Size ||
			e.LastModified.After(local.At.Add(clockSlack)) {
			continue
		}
		v := local.Version
		v.LastModified = e.LastModified
		f := fact{found: true, ver: v, attr: local.Attr, settled: true}
		if l.Started.Sub(local.At) >= settleTime { // else a change of ours may still get the same time
			m.o.Attrs.Made(local.Key, local.At, v, local.Attr)
			f.kept = true
		}
		m.facts.heads.PutAt(local.Key, f, l.Started)
	}
}

// noteHidden counts names that no path can have, and logs the first directory that has some.
func (m *Mount) noteHidden(prefix string, l *cache.Listing) {
	m.hiddenOnce.Do(func() {
		m.log.LogAttrs(m.ctx, slog.LevelWarn, "keys that no path can name are hidden",
			slog.String("key", prefix), slog.Int("len", l.Hidden))
	})
}

// fetchPage is the cache's way to the service.
func (m *Mount) fetchPage(ctx context.Context, prefix, marker string) (*cache.Page, error) {
	own, hasOwn := m.o.Store.Local(prefix)
	p, err := m.o.Client.List(ctx, &cos.ListOptions{Prefix: prefix, Delimiter: "/", Marker: marker})
	if err != nil {
		return nil, err
	}
	page := &cache.Page{Prefixes: p.CommonPrefixes, Entries: make([]cache.RawEntry, 0, len(p.Entries)+1)}
	if hasOwn && !own.Deleted && marker == "" && (len(p.Entries) == 0 || p.Entries[0].Key != prefix) {
		// Our marker is on its way: long after it has arrived, this listing would say that there is none.
		page.Entries = append(page.Entries, cache.RawEntry{Key: prefix, ETag: own.Version.ETag, LastModified: own.At})
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		page.Entries = append(page.Entries, cache.RawEntry{
			Key: e.Key, Size: e.Size, ETag: e.ETag, LastModified: e.LastModified, StorageClass: e.StorageClass,
		})
	}
	if p.Truncated {
		page.Next = p.NextMarker
	}
	return page, nil
}

// worthListing returns how many pages a listing of dir may have in order to be a better answer to q than single
// questions; 0 is none. One that is known to be small is, and one in which an earlier mount knew the name:
// it tells which of the attributes kept on disk are true. Else it must have fewer pages than names were
// asked for one by one, so that who looks at a few names of a large directory does not list it, and who
// looks at all of them does.
func (m *Mount) worthListing(dir *node, q *question) int {
	lagging := q.hasLocal && q.local.Deleted || q.hasLocalDir && q.localDir.Deleted ||
		q.sub != nil && m.o.Store.RemovedBelow(q.key+"/", q.listing.Started)
	if lagging || q.listing != nil && young(q.now, q.listing.Started, m.o.NegativeTTL) {
		return 0
	}
	if c, _, ok := m.counts.Get(q.dirKey); ok && c.names < cos.MaxListKeys {
		return 1
	}
	if m.o.NegativeTTL < scoutMinAge {
		return 0 // it would not answer for other names
	}
	dir.mu.Lock()
	n := dir.strays
	dir.strays++
	dir.mu.Unlock()
	switch {
	case n > 0 && n&(n-1) == 0: // tries that fail cost less than the questions before them
		return n
	case n == 0 && (m.plainly() || m.o.Attrs.has(q.key) || m.o.Attrs.has(q.key+"/")):
		return 1
	}
	return 0
}

// firstPage lists directory key as far as its marker is told, all of it if it has one page, and returns what that
// and the attributes kept on disk say of the marker. It serves who looks at the names next, as walks do, and
// costs no more than a HEAD of the marker. ok is false if only a HEAD tells.
func (m *Mount) firstPage(ctx context.Context, key string) (f fact, asked time.Time, ok bool, err error) {
	s, err := m.dirs.Stream(ctx, key, m.o.NegativeTTL)
	if err != nil {
		return f, asked, false, err
	}
	defer s.Close()
	if _, err := s.Next(ctx); err != nil && !errors.Is(err, io.EOF) {
		return f, asked, false, err
	}
	if !s.More() {
		l, err := s.Listing(ctx)
		if err != nil {
			return f, asked, false, err
		}
		m.listed(key, l)
	}
	marker, marked := s.Marker()
	if marked {
		if f, ok = m.facts.recall(key, &marker); !ok {
			return f, asked, false, nil
		}
	}
	m.facts.heads.PutAt(key, f, s.Started())
	return f, s.Started(), true, nil
}
