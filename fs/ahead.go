package fs

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"cosfuse/cache"
	"cosfuse/writeback"
)

// Bounds of what is asked for before anybody wants it.
const (
	smallFile   = 1 << 20  // files up to this size, in bytes, are fetched whole
	aheadFiles  = 64       // files ahead of one that is read
	aheadBytes  = 16 << 20 // and their bytes
	readsFirst  = 2        // files read in order before others are fetched
	aheadDirs   = 16       // directories ahead of one that is listed
	aheadTrees  = 2        // the same if there are directories in them
	listsFirst  = 3        // directories listed in order before others are
	scoutFiles  = 16       // files of a directory that is listed ahead
	scoutDirs   = 4        // directories of a directory that is listed ahead
	scoutDepth  = 3        // levels of them
	scoutPages  = 8        // pages of one: a larger directory is left to who wants it
	scoutMinAge = time.Second
	habitLasts  = 3 // directories without a file read, or stat'ed, until nobody is believed to do so
)

// habit is what is being done to the files anywhere below a directory. It tells what to do for a directory
// whose turn will come.
type habit struct {
	stats, reads, lists atomic.Int32 // directories left for which it is believed
}

// fade lets the habits pass that are not kept up.
func (h *habit) fade() {
	for _, c := range []*atomic.Int32{&h.stats, &h.reads, &h.lists} {
		if n := c.Load(); n > 0 {
			c.CompareAndSwap(n, n-1)
		}
	}
}

// customs is a look at a habit.
type customs struct{ stats, reads, lists bool }

func (h *habit) look() customs {
	return customs{stats: h.stats.Load() > 0, reads: h.reads.Load() > 0, lists: h.lists.Load() > 0}
}

// keepUp notes a habit of directory n with all directories above it.
func (m *Mount) keepUp(n *node, which func(*habit) *atomic.Int32) {
	for p := m.tree.above(n); p != nil; p = m.tree.above(p) {
		which(&p.habit).Store(habitLasts)
	}
}

func statsHabit(h *habit) *atomic.Int32 { return &h.stats }
func readsHabit(h *habit) *atomic.Int32 { return &h.reads }
func listsHabit(h *habit) *atomic.Int32 { return &h.lists }

// statAhead asks for the attributes of the entries of dir's listing that come after entry i, if dir
// is being walked: with the bytes, if those who walk there read the files too.
func (m *Mount) statAhead(dir *node, dirKey string, l *cache.Listing, i int) {
	dir.mu.Lock()
	from, to := dir.scan.next(l, i)
	walked, listed := dir.scan.run > 0, dir.lists.listing == l && dir.lists.run >= listsFirst
	opened, reading := dir.reads.listing == l, dir.reads.run >= readsFirst
	ordered := dir.scan.run >= readsFirst
	dir.mu.Unlock()
	if walked {
		m.keepUp(dir, statsHabit)
	}
	if above := m.tree.above(dir); above != nil && !opened {
		reading = above.habit.look().reads
	}
	reading = reading && ordered
	for ; from < to; from++ {
		e := &l.Entries[from]
		if e.Dir && listed { // a listing tells more
			continue
		}
		if !m.askAhead(dirKey, e, reading) {
			break
		}
	}
	dir.mu.Lock()
	dir.scan.reached(l, from)
	dir.mu.Unlock()
}

// askAhead begins to ask for the attributes of an entry, unless they are known, by a GET if it is also
// going to be read. It reports false if there is too much under way.
func (m *Mount) askAhead(dirKey string, e *cache.Entry, reading bool) bool {
	key := dirKey + e.Name
	if e.Dir {
		key += "/"
	}
	if !m.needsHead(key, e) {
		return true
	}
	if reading && m.readsWhole(e) && !m.o.Blocks.Has(objectID(key, e)) && m.prefetch(key, e) {
		return true
	}
	if e.Dir && m.o.Attrs.has(key) && m.o.NegativeTTL >= scoutMinAge {
		return m.scout(key, customs{}, 0) // a listing tells its marker's version, and more
	}
	return m.facts.headAhead(key)
}

// readsWhole reports whether e is a file to be fetched whole before it is read.
func (m *Mount) readsWhole(e *cache.Entry) bool {
	return m.o.Blocks != nil && !e.Dir && e.Size > 0 && e.Size <= smallFile
}

// objectID names the version of key that a listing shows.
func objectID(key string, e *cache.Entry) cache.ObjectID {
	return cache.ObjectID{Key: key, ETag: e.ETag, Size: e.Size}
}

// prefetch begins to fetch a small file. It reports false if there is no room for it now.
func (m *Mount) prefetch(key string, e *cache.Entry) bool {
	if _, ok := m.o.Store.Local(key); ok {
		return true // in use or changed here: the listing may be outdated
	}
	v := writeback.Version{ETag: e.ETag, Size: e.Size, LastModified: e.LastModified}
	return m.o.Blocks.Prefetch(objectID(key, e), m.facts.fetcher(key, v))
}

// listAhead notes that directory n, at key, was listed, and lists the directories that come after it in
// the listing of the one above if they are being listed in that order.
func (m *Mount) listAhead(n *node, key string) {
	dir := m.tree.above(n)
	if dir == nil || m.o.NegativeTTL < scoutMinAge {
		return
	}
	dirKey, seg := splitKey(key)
	l := m.peek(dirKey)
	if l == nil {
		return
	}
	i, ok := indexOf(l, seg, true)
	if !ok {
		return
	}
	do := dir.habit.look()
	dir.habit.fade()
	m.keepUp(dir, listsHabit)
	most := aheadDirs
	if do.lists {
		most = aheadTrees
	}
	dir.mu.Lock()
	from, to := dir.lists.nextRead(l, i, listsFirst, most)
	dir.mu.Unlock()
	for ; from < to; from++ {
		if e := &l.Entries[from]; e.Dir && !m.scout(dirKey+e.Name+"/", do, scoutDepth) {
			break
		}
	}
	dir.mu.Lock()
	dir.lists.reached(l, from)
	dir.mu.Unlock()
}

// scout begins to list the directory key, and to do with its first entries what those who are on their way
// there do elsewhere. It reports false if there are too many of its kind.
func (m *Mount) scout(key string, do customs, depth int) bool {
	select {
	case m.scouts <- struct{}{}:
	default:
		return false
	}
	m.bg.Go(func() {
		defer func() { <-m.scouts }()
		if l, err := m.listEarly(m.ctx, key, scoutPages); err == nil { // else who wants the listing gets the error
			m.prove(l)
			m.explore(key, l, do, depth)
		}
	})
	return true
}

// errTooLong says that a directory is too long to be listed for the sake of a few names.
var errTooLong = errors.New("directory has too many pages")

// listEarly is list for a directory that may be too long for it: the error is errTooLong if it has more than so
// many pages.
func (m *Mount) listEarly(ctx context.Context, key string, pages int) (*cache.Listing, error) {
	s, err := m.dirs.Stream(ctx, key, m.o.NegativeTTL)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for range pages {
		if _, err := s.Next(ctx); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if !s.More() {
			l, err := s.Listing(ctx)
			if err == nil {
				m.listed(key, l)
			}
			return l, err
		}
	}
	return nil, errTooLong
}

// explore does for the first entries of a directory what do says.
func (m *Mount) explore(key string, l *cache.Listing, do customs, depth int) {
	if l.HasMarker && (do.stats || do.reads) && m.needsHead(key, &cache.Entry{Dir: true}) {
		m.facts.headAhead(key)
	}
	files, dirs := 0, 0
	for i := range l.Entries {
		e := &l.Entries[i]
		switch {
		case files >= scoutFiles && (dirs >= scoutDirs || !do.lists):
			return
		case e.Dir && do.lists && depth > 0 && dirs < scoutDirs:
			dirs++
			m.scout(key+e.Name+"/", do, depth-1)
		case e.Dir || files >= scoutFiles:
		case do.reads && m.readsWhole(e):
			files++
			if !m.prefetchPatiently(key, e) {
				return
			}
		case do.stats || do.reads:
			files++
			m.askAhead(key, e, false)
		}
	}
}

// Waiting for room: the cache does not tell when it has some again.
const (
	roomPoll  = 3 * time.Millisecond
	roomPolls = 50
)

// prefetchPatiently is prefetch that waits a moment for room. What is here already is asked for its
// attributes.
func (m *Mount) prefetchPatiently(dirKey string, e *cache.Entry) bool {
	key := dirKey + e.Name
	if m.o.Blocks.Has(objectID(key, e)) {
		return m.askAhead(dirKey, e, false)
	}
	if m.prefetch(key, e) {
		return true
	}
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for range roomPolls {
		select {
		case <-poll.C:
		case <-m.ctx.Done():
			return false
		}
		if m.prefetch(key, e) {
			return true
		}
	}
	return false
}
