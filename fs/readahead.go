package fs

import (
	"slices"

	"cosfuse/cache"
)

// readAhead notes that file n, at key, was opened to be read, and fetches the small files that come after
// it in the listing of its directory, and in those of the directories after that, if they are being read in
// that order.
func (m *Mount) readAhead(n *node, key string) {
	dir := m.tree.above(n)
	if dir == nil || m.o.Blocks == nil {
		return
	}
	dirKey, seg := splitKey(key)
	l := m.peek(dirKey)
	if l == nil {
		return
	}
	i, ok := indexOf(l, seg, false)
	if !ok {
		return
	}
	m.keepUp(dir, readsHabit)
	up := m.enter(dir, dirKey)
	dir.mu.Lock()
	from, to, step := dir.reads.nextFile(l, i, up.ordered)
	dir.mu.Unlock()
	if from == to && !up.ordered {
		return
	}
	r := &reading{m: m, bytes: aheadBytes, files: aheadFiles}
	for j := i + step; j < min(from, len(l.Entries)); j += step { // fetched before
		r.bytes -= l.Entries[j].Size
		r.files--
	}
	for ; from < to && r.fetch(dirKey, &l.Entries[from]); from += step {
	}
	dir.mu.Lock()
	dir.reads.reached(l, from)
	dir.mu.Unlock()
	if from >= len(l.Entries) && step == 1 {
		r.goOn(up)
	}
}

// tour watches the order in which the directories of one are entered to read their files. Guarded by
// the mutex of that one's node.
type tour struct {
	listing *cache.Listing // the last one used
	last    int            // index of the furthest directory entered
	dir     *node          // which that is
	run     int            // how many were entered one after the other, having read the one before
}

// dirsFirst is how many directories are read one after the other before the next ones are expected to be.
const dirsFirst = 3

// path is where a directory is in the listing of the one above.
type path struct {
	key     string         // of the one above
	listing *cache.Listing // nil if it is not known
	i       int
	ordered bool // the files of one directory after the other are read, in this order
}

// enter notes that a file in dir, at dirKey, was opened to be read.
func (m *Mount) enter(dir *node, dirKey string) path {
	above := m.tree.above(dir)
	if above == nil {
		return path{}
	}
	key, seg := splitKey(dirKey)
	l := m.peek(key)
	if l == nil {
		return path{}
	}
	i, ok := indexOf(l, seg, true)
	if !ok {
		return path{}
	}
	above.mu.Lock()
	t := above.tour
	above.mu.Unlock()
	if t.listing != l || i > t.last || i < t.last-readSlack { // else others still read there
		next := tour{listing: l, last: i, dir: dir}
		if t.listing == l && m.isNext(key, l, t.last, i) && m.readThrough(t.dir) {
			next.run = t.run + 1
		}
		t = next
		above.mu.Lock()
		above.tour = t
		above.mu.Unlock()
	}
	return path{key: key, listing: l, i: i, ordered: t.run >= dirsFirst}
}

// isNext reports whether no directory known to have files is between two entries of a listing of key.
func (m *Mount) isNext(key string, l *cache.Listing, from, to int) bool {
	if to <= from {
		return false
	}
	for j := from + 1; j < to; j++ {
		if e := &l.Entries[j]; e.Dir && m.hasFiles(key+e.Name+"/") {
			return false
		}
	}
	return true
}

func (m *Mount) hasFiles(key string) bool {
	l := m.peek(key)
	return l != nil && slices.ContainsFunc(l.Entries, func(e cache.Entry) bool { return !e.Dir })
}

// readThrough reports whether most of the files of dir have been read; one may still be under way.
func (m *Mount) readThrough(dir *node) bool {
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if dir.reads.listing == nil {
		return false
	}
	files := 0
	for i := range dir.reads.listing.Entries {
		if !dir.reads.listing.Entries[i].Dir {
			files++
		}
	}
	return (dir.reads.seen+1)*4 >= files*3
}

// reading fetches files that are expected to be read, as many as there is room for.
type reading struct {
	m     *Mount
	bytes int64
	files int
}

// fetch begins to fetch e, if it is a small file, and reports whether there may be room for another.
func (r *reading) fetch(dirKey string, e *cache.Entry) bool {
	if r.bytes -= min(e.Size, smallFile); r.bytes < 0 || r.files <= 0 {
		return false
	}
	r.files--
	return !r.m.readsWhole(e) || r.m.prefetch(dirKey+e.Name, e)
}

// goOn fetches files of the directories after p, as far as these have been listed.
func (r *reading) goOn(p path) {
	if !p.ordered {
		return
	}
	for j := p.i + 1; j < min(p.i+1+aheadDirs, len(p.listing.Entries)); j++ {
		e := &p.listing.Entries[j]
		if !e.Dir {
			continue
		}
		key := p.key + e.Name + "/"
		l := r.m.peek(key)
		if l == nil {
			return
		}
		for k := range l.Entries {
			if !l.Entries[k].Dir && !r.fetch(key, &l.Entries[k]) {
				return
			}
		}
	}
}
