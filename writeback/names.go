package writeback

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Local is what the Store knows of one name beyond the service's listing.
type Local struct {
	Key     string // a directory's ends in "/"
	Deleted bool   // removed or renamed away here; a listing that still shows it lags
	File    *File  // in use or dirty here; nil otherwise. Not acquired
	Version Version
	Attr    Attr
	At      time.Time // of our last change
}

// name is the Store's knowledge of one key.
type name struct {
	file     *File // in use or dirty at this key; nil otherwise
	behind   *File // has another name, but its object is at this key until it can be moved
	doomed   *File // unlinked but still read: its object stays at this key until its last close
	changed  bool  // what follows is knowledge of ours: the listing may lag behind it
	deleted  bool
	version  Version
	attr     Attr
	at       time.Time
	aclKnown bool // attr.Headers has the object's ACL
}

// names is what the Store knows, by directory and then by the last component (with "/" for
// directories). Guarded by Store.mu.
type names map[string]map[string]*name

// splitKey cuts key into its directory ("" or ending in "/") and last component.
func splitKey(key string) (dir, base string) {
	i := strings.LastIndexByte(strings.TrimSuffix(key, "/"), '/')
	return key[:i+1], key[i+1:]
}

// get returns what is known of key, or nil.
func (n names) get(key string) *name {
	dir, base := splitKey(key)
	return n[dir][base]
}

// at returns the entry of key, made if there is none.
func (n names) at(key string) *name {
	dir, base := splitKey(key)
	d := n[dir]
	if d == nil {
		d = make(map[string]*name)
		n[dir] = d
	}
	e := d[base]
	if e == nil {
		e = new(name)
		d[base] = e
	}
	return e
}

// drop removes the entry of key if it says nothing any more.
func (n names) drop(key string) {
	dir, base := splitKey(key)
	if e := n[dir][base]; e == nil || e.file != nil || e.doomed != nil || e.behind != nil || e.changed {
		return
	}
	delete(n[dir], base)
	if len(n[dir]) == 0 {
		delete(n, dir)
	}
}

// below returns every key known at or below prefix, in order.
func (n names) below(prefix string) []string {
	var out []string
	for dir, d := range n {
		if !strings.HasPrefix(dir, prefix) && !strings.HasPrefix(prefix, dir) {
			continue
		}
		for base := range d {
			if strings.HasPrefix(dir+base, prefix) {
				out = append(out, dir+base)
			}
		}
	}
	slices.Sort(out)
	return out
}

// local describes an entry.
func (e *name) local(key string) Local {
	return Local{Key: key, Deleted: e.deleted && e.file == nil, File: e.file, Version: e.version, Attr: e.attr, At: e.at}
}

// Local tells what the Store knows of key. ok is false when it knows nothing: then ask the listing or
// the service.
func (s *Store) Local(key string) (l Local, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names.get(key); e != nil {
		return s.localOfLocked(key, e)
	}
	return Local{}, false
}

// localOfLocked describes what e says of key. A name whose deletion was acknowledged and is not made yet is
// deleted as of now, whatever the service shows.
func (s *Store) localOfLocked(key string, e *name) (l Local, ok bool) {
	switch {
	case e.file != nil:
		return e.local(key), true
	case s.goingLocked(key, e):
		return Local{Key: key, Deleted: true, At: s.now()}, true
	}
	return e.local(key), e.changed
}

// going is goingLocked for a caller that does not hold the lock.
func (s *Store) going(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.names.get(key)
	return e != nil && s.goingLocked(key, e)
}

// goingLocked reports whether key was deleted here, or renamed, and its object is still there.
func (s *Store) goingLocked(key string, e *name) bool {
	return e.doomed != nil || e.behind != nil || s.removals.waits(key)
}

// LocalChildren returns what the Store knows of the names directly in the directory prefix ("" or
// ending in "/"), in the order of keys.
func (s *Store) LocalChildren(prefix string) []Local {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Local
	for base, e := range s.names[prefix] {
		if l, ok := s.localOfLocked(prefix+base, e); ok {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Local) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Settle tells the Store what a complete listing of prefix that began at started shows (base names,
// "/" after directories). Where it agrees with a change of ours, or shows something newer, the change
// need not be laid over listings any more.
func (s *Store) Settle(prefix string, started time.Time, shows func(base string) (v Version, ok bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for base, e := range s.names[prefix] {
		if !e.changed || e.file != nil || !e.at.Before(started) || s.goingLocked(prefix+base, e) {
			continue
		}
		if v, ok := shows(base); e.settledBy(isDirKey(base), v, ok) {
			e.changed = false
			s.names.drop(prefix + base)
		}
	}
}

// settledBy reports whether a listing that shows v (if ok) has caught up with the change in e. A
// deleted name that is shown with the very version we deleted lags; so does a name shown with a
// version older than ours, or not shown.
func (e *name) settledBy(dir bool, v Version, ok bool) bool {
	switch {
	case e.deleted:
		return !ok || !dir && v.ETag != e.version.ETag
	case dir:
		return ok
	default:
		return ok && (v.ETag == e.version.ETag || v.LastModified.After(e.at.Add(clockSlack)))
	}
}

// clockSlack is how far the service's clock and ours may be apart before a version that looks newer
// than our change is believed to be.
const clockSlack = 5 * time.Second

// Observed tells the Store that the service answered a HEAD of key, which began at asked, with version v
// (absent: there is none). What we knew from an earlier change of ours is superseded, but that there is
// such a name goes on to be laid over listings: one may be older than the answer.
func (s *Store) Observed(key string, asked time.Time, v Version, a Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.names.get(key)
	switch {
	case e == nil || !e.changed || !e.at.Before(asked) || s.goingLocked(key, e):
	case v.Absent() && e.deleted: // a listing may still lag behind both
	case v.Absent():
		e.changed = false
		s.names.drop(key)
	default:
		e.deleted, e.version, e.attr = false, v, a
	}
}

// recordLocked notes that our own operation made key version v.
func (s *Store) recordLocked(key string, v Version, a Attr) {
	s.changeLocked(key, v, a, false)
}

// recordDeletedLocked notes that our own operation removed key, which was version v.
func (s *Store) recordDeletedLocked(key string, v Version) {
	s.changeLocked(key, v, Attr{}, true)
}

func (s *Store) changeLocked(key string, v Version, a Attr, deleted bool) {
	e := s.names.at(key)
	e.changed, e.deleted = true, deleted
	e.version, e.attr, e.at, e.aclKnown = v, a, s.now(), false
	s.recent = append(s.recent, recentChange{key: key, at: e.at, deleted: deleted})
	s.forgetOldLocked()
}

// recentChange queues an entry of names for expiry.
type recentChange struct {
	key     string
	at      time.Time
	deleted bool
}

// How long, and for how many names, our own changes are laid over listings that never confirmed them.
// Far longer than any listing lag that was ever reported, and longer than listings are cached.
const (
	overlayAge = 10 * time.Minute
	overlayMax = 200_000
)

// forgetOldLocked drops changes that are past overlayAge, or too many.
func (s *Store) forgetOldLocked() {
	now := s.now()
	for len(s.recent) > 0 {
		r := s.recent[0]
		if len(s.recent) <= overlayMax && now.Sub(r.at) < overlayAge {
			return
		}
		s.recent = s.recent[1:]
		if e := s.names.get(r.key); e != nil && e.changed && e.at.Equal(r.at) && !s.goingLocked(r.key, e) {
			if e.file == nil && !e.deleted {
				s.Made(r.key, e.at, e.version, e.attr)
			}
			e.changed = false
			s.names.drop(r.key)
		}
	}
}

// tellMade tells of every version that the Store still keeps. What is not committed, or may have been, is left
// out.
func (s *Store) tellMade() {
	var made []Local
	s.mu.Lock()
	for dir, d := range s.names {
		for base, e := range d {
			if e.changed && !e.deleted && !s.goingLocked(dir+base, e) {
				made = append(made, e.local(dir+base))
			}
		}
	}
	s.mu.Unlock()
	for _, l := range made {
		if l.File == nil || !l.File.Stat().Dirty {
			s.Made(l.Key, l.At, l.Version, l.Attr)
		}
	}
}
