package fs

import (
	"context"
	"errors"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/errgroup"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// errUnknown is the answer of a search that may not use the network and would have to.
var errUnknown = errors.New("not known without asking")

// Lookup finds name in the directory. One request's round trip at most, but for a directory's
// attributes.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	child, err := n.lookup(ctx, name, out, true)
	if err != nil {
		return nil, n.m.fail("lookup", name, err)
	}
	return &child.Inode, 0
}

// lookup finds name and fills out. Without online it fails with errUnknown rather than ask.
func (n *node) lookup(ctx context.Context, name string, out *fuse.EntryOut, online bool) (*node, error) {
	comp, errno := parseName(name)
	if errno == syscall.ENAMETOOLONG {
		return nil, errno
	}
	if errno != 0 {
		return nil, syscall.ENOENT // nothing can have this name
	}
	if err := n.m.tree.settled(ctx, n, name); err != nil {
		return nil, err
	}
	o, err := n.m.search(ctx, n, comp, online)
	if err != nil {
		return nil, err
	}
	n.m.plain(&o)
	child := n.m.tree.enter(ctx, n, name, comp, o.attr.Mode)
	if err := child.awaitPages(ctx, online); err != nil {
		return nil, err
	}
	child.overlay(&o)
	if o.old { // else it may only not have been looked for
		child.setOldMarker(true)
	}
	child.remember(o)
	n.m.fillEntry(out, &o)
	return child, nil
}

// search finds out what comp is in dir: our own knowledge first, then a listing, then single facts,
// then the service. The error is ENOENT only if promise P6 holds: the service said so, or a complete
// listing younger than the negative TTL does.
func (m *Mount) search(ctx context.Context, dir *node, comp component, online bool) (object, error) {
	dirKey, err := m.tree.key(ctx, dir)
	if err != nil {
		return object{}, err
	}
	key := dirKey + comp.seg
	if checkKey(key) != 0 {
		return object{}, syscall.ENAMETOOLONG
	}
	now, listing := m.o.Now(), m.look(dirKey, key)
	for try := 0; ; try++ {
		q := m.question(dirKey, comp.seg, listing, now)
		o, err := m.answer(ctx, dir, q, comp.hidden, online)
		if err == nil {
			o, err = m.resolveOld(ctx, dir, q, o, comp.hidden, online)
		}
		if !errors.Is(err, errUnknown) || !online || try == 2 {
			return o, err
		}
		if listing, err = m.inquire(ctx, dir, q, comp.hidden); err != nil {
			return object{}, err
		}
	}
}

// question gathers what is known of one component without asking anybody.
type question struct {
	dirKey, key string
	now         time.Time      // when it was put: ages count up to then, and answers since then are fresh
	listing     *cache.Listing // of dirKey; nil if none is fresh enough
	proof       bool           // it proves that other names are absent
	file, sub   *cache.Entry   // as listed, unless we changed the name after the listing
	local       writeback.Local
	hasLocal    bool
	localDir    writeback.Local // of key+"/"
	hasLocalDir bool
}

// question asks about dirKey+seg at now, with a listing of dirKey if there is one.
func (m *Mount) question(dirKey, seg string, l *cache.Listing, now time.Time) question {
	q := question{dirKey: dirKey, key: dirKey + seg, now: now, listing: l}
	q.local, q.hasLocal = m.o.Store.Local(q.key)
	q.localDir, q.hasLocalDir = m.o.Store.Local(q.key + "/")
	if l == nil {
		return q
	}
	q.proof = m.proves(l) || !l.Started.Before(now)
	q.file, q.sub = q.listing.Find(seg)
	if q.hasLocal && q.listing.Started.Before(q.local.At) {
		q.file = nil
	}
	if q.hasLocalDir && q.listing.Started.Before(q.localDir.At) {
		q.sub = nil
	}
	return q
}

// belief is what we know of one of the two things a component may be.
type belief int

const (
	unknown belief = iota
	present
	absent
)

// young reports whether something of time at is, by now, not older than age.
func young(now, at time.Time, age time.Duration) bool { return now.Sub(at) <= age }

// localBelief is what the Store says. What is in COS counts as long as a change by others may go
// unnoticed; what is not, always.
func (m *Mount) localBelief(l writeback.Local, ok bool, now time.Time) belief {
	switch {
	case !ok:
		return unknown
	case l.File != nil:
		if st := l.File.Stat(); st.Dirty || young(now, st.Base.Confirmed, m.o.MetaTTL) {
			return present
		}
	case l.Deleted && young(now, l.At, m.o.NegativeTTL):
		return absent
	case !l.Deleted && young(now, l.At, m.o.MetaTTL):
		return present
	}
	return unknown
}

// beliefs tells what is known of the object key and of the directory key+"/". That a listed file is
// not a directory as well is believed as long as the file is.
func (m *Mount) beliefs(q *question) (file, dir belief) {
	if file = m.localBelief(q.local, q.hasLocal, q.now); file == unknown {
		file = m.serviceBelief(q, q.key, q.file, q.local.At, m.o.NegativeTTL)
	}
	if dir = m.localBelief(q.localDir, q.hasLocalDir, q.now); dir != unknown {
		return file, dir
	}
	absentAge := m.o.NegativeTTL
	if file == present {
		absentAge = m.o.MetaTTL
	}
	return file, m.serviceBelief(q, q.key+"/", q.sub, q.localDir.At, absentAge)
}

// serviceBelief is what the newest answer says of key: a single one, or the listing of its directory,
// which shows it as e or, if e is nil, does not. Answers older than our own change of the key, made
// at since, do not count. Absence is believed for absentAge.
func (m *Mount) serviceBelief(q *question, key string, e *cache.Entry, since time.Time, absentAge time.Duration) belief {
	l := q.listing
	b, at := m.facts.belief(key, since, q.now, absentAge)
	if l == nil || l.Started.Before(since) || b != unknown && at.After(l.Started) {
		return b
	}
	switch {
	case e != nil && isDirKey(key) && m.o.Store.RemovedBelow(key, l.Started):
		return b // it may be shown for what was deleted: ask about it
	case e != nil:
		return present
	case young(q.now, l.Started, absentAge) && (q.proof || q.file != nil || q.sub != nil):
		return absent
	}
	return unknown
}

// answer decides. hidden asks for the object in the shadow of a directory.
func (m *Mount) answer(ctx context.Context, dir *node, q question, hidden, online bool) (object, error) {
	file, sub := m.beliefs(&q)
	if sub != present && m.hasLocalChildren(q.key+"/") {
		sub = present
	}
	switch {
	case !hidden && sub == present:
		return m.dirObject(ctx, dir, q, online)
	case hidden && sub == absent, file == absent && (hidden || sub == absent):
		return object{}, syscall.ENOENT
	case !hidden && sub == unknown && m.localBelief(q.local, q.hasLocal, q.now) == present:
		// Made or open here, when there was no directory. One that another mount makes meanwhile
		// is seen when it is listed.
		return m.fileObject(ctx, dir, q, online)
	case sub == unknown, file == unknown:
		return object{}, errUnknown
	}
	return m.fileObject(ctx, dir, q, online)
}

// hasLocalChildren reports whether something directly below prefix exists here only, or was made here so
// lately that nobody else is believed to have removed it.
func (m *Mount) hasLocalChildren(prefix string) bool {
	now := m.o.Now()
	for _, l := range m.o.Store.LocalChildren(prefix) {
		if m.localBelief(l, true, now) == present {
			return true
		}
	}
	return false
}

// inquire asks the service about q, and returns the listing to answer it by, if any. Where a listing of the
// directory is worth it, that answers for all its other names, too; else HEAD and LIST go out at once.
func (m *Mount) inquire(ctx context.Context, dir *node, q question, hidden bool) (*cache.Listing, error) {
	if pages := m.worthListing(dir, &q); pages > 0 && !hidden {
		l, err := m.listEarly(ctx, q.dirKey, pages)
		if _, _, known := m.counts.Get(q.dirKey); known && err == nil {
			m.prove(l) // somebody has listed it before
		}
		if !errors.Is(err, errTooLong) {
			return l, err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, _, err := m.facts.head(gctx, q.key)
		return err
	})
	g.Go(func() error { return m.probe(gctx, q.key+"/", q.now) })
	return q.listing, g.Wait()
}

// probe asks whether anything exists below prefix, and keeps the answer. A marker is asked for its
// attributes at once.
func (m *Mount) probe(ctx context.Context, prefix string, now time.Time) error {
	q := m.facts.begin()
	defer m.facts.landed()
	below, marker, err := m.firstBelow(ctx, prefix, 1)
	if err != nil {
		return err
	}
	if !below && !marker {
		m.o.Store.Observed(prefix, q.asked, writeback.Version{}, writeback.Attr{})
	}
	m.facts.keep(prefix, q, func() {
		m.facts.prefixes.PutAt(prefix, below || marker, q.asked)
		if !marker {
			m.facts.heads.PutAt(prefix, fact{}, q.asked) // it would have been the first
		}
	})
	if !marker {
		return nil
	}
	if _, _, ok := m.facts.known(prefix, time.Time{}, now); ok {
		return nil
	}
	_, _, err = m.facts.head(ctx, prefix)
	return err
}

// firstBelow reports whether the bucket has the key prefix itself and, unless that was all it looked
// at, a key below it. It looks at the first few keys that we did not delete: deleted ones may be
// listed for a while.
func (m *Mount) firstBelow(ctx context.Context, prefix string, few int) (below, marker bool, err error) {
	now := m.o.Now()
	o := cos.ListOptions{Prefix: prefix, MaxKeys: few}
	for {
		page, err := m.o.Client.List(ctx, &o)
		if err != nil {
			return false, false, err
		}
		for i := range page.Entries {
			key := page.Entries[i].Key
			gone, err := m.stillGone(ctx, key, now)
			switch {
			case err != nil:
				return false, false, err
			case gone:
			case key == prefix:
				marker = true
			default:
				return true, marker, nil
			}
		}
		if !page.Truncated || marker && few == 1 {
			return false, marker, nil
		}
		o.Marker, o.MaxKeys = page.NextMarker, cos.MaxListKeys
	}
}

// stillGone reports whether a listed key was deleted here and the listing lags. A while after the deletion
// somebody may have made it anew: then the service is asked.
func (m *Mount) stillGone(ctx context.Context, key string, now time.Time) (bool, error) {
	l, ok := m.o.Store.Local(key)
	switch {
	case !ok || !l.Deleted:
		return false, nil
	case young(now, l.At, m.o.NegativeTTL):
		return true, nil
	}
	f, _, err := m.facts.head(ctx, key)
	return !f.found, err
}

// fileObject describes the object q.key, which is present.
func (m *Mount) fileObject(ctx context.Context, dir *node, q question, online bool) (object, error) {
	if m.localBelief(q.local, q.hasLocal, q.now) == present {
		return m.localObject(ctx, q.local, online)
	}
	if q.file != nil && dir != nil && online && !m.plainly() {
		m.walked(dir, q, false) // also if it is known: who walks on comes to what is not
	}
	if f, at, ok := m.facts.known(q.key, q.local.At, q.now); ok && f.found &&
		(q.listing == nil || at.After(q.listing.Started)) {
		return m.factObject(q.key, f, at), nil
	}
	if q.file != nil && m.plainly() {
		return m.listedObject(&q), nil
	}
	if q.file != nil {
		if f, ok := m.facts.recall(q.key, q.file); ok {
			if m.o.Consistency == Relaxed {
				f.ver.Confirmed = q.listing.Started // as far as listings do not lag
			}
			return m.factObject(q.key, f, q.listing.Started), nil
		}
	}
	if !online {
		return object{}, errUnknown
	}
	if q.file != nil {
		return m.headObject(q.key, func() (fact, time.Time, error) { return m.facts.headListed(ctx, q.key, q.file) })
	}
	return m.headObject(q.key, func() (fact, time.Time, error) { return m.facts.head(ctx, q.key) })
}

// headObject describes the object key as head says.
func (m *Mount) headObject(key string, head func() (fact, time.Time, error)) (object, error) {
	f, asked, err := head()
	if err != nil {
		return object{}, err
	}
	if !f.found {
		return object{}, syscall.ENOENT
	}
	return m.factObject(key, f, asked), nil
}

func (m *Mount) factObject(key string, f fact, asked time.Time) object {
	return object{key: key, ver: f.ver, attr: f.attr, size: f.ver.Size, asked: asked}
}

// localObject describes what we made or changed.
func (m *Mount) localObject(ctx context.Context, l writeback.Local, online bool) (object, error) {
	if l.File != nil {
		return m.openObject(ctx, l.File, online)
	}
	if !l.Attr.Known { // moved here with its directory, unseen
		if !online {
			return object{}, errUnknown
		}
		return m.headObject(l.Key, func() (fact, time.Time, error) { return m.facts.head(ctx, l.Key) })
	}
	o := object{key: l.Key, ver: l.Version, attr: l.Attr, size: l.Version.Size, asked: l.At, ctime: l.At}
	k, err := m.undated(ctx, &o, online)
	if k.found {
		o.ver.LastModified = k.ver.LastModified
	}
	return o, err
}

// openObject describes a File in use here.
func (m *Mount) openObject(ctx context.Context, f *writeback.File, online bool) (object, error) {
	o := fileObject(f.Stat(), m.o.Now())
	if o.gone {
		return o, nil
	}
	k, err := m.undated(ctx, &o, online)
	if k.found {
		f.Confirm(k.ver, k.attr)
		o = fileObject(f.Stat(), o.asked)
	}
	return o, err
}

// undated asks for what an object in COS does not tell here: attributes never seen, or the mtime of a
// version that the service alone dated. The answer is found only if it is about that very version.
func (m *Mount) undated(ctx context.Context, o *object, online bool) (fact, error) {
	dated := !o.mtime().IsZero()
	if m.plainly() {
		dated = o.pending || !o.ver.LastModified.IsZero() // by the service: a time of ours will not be shown
	}
	if isDirKey(o.key) || o.ver.Absent() || o.attr.Known && dated {
		return fact{}, nil
	}
	k, at, ok := m.facts.known(o.key, time.Time{}, m.o.Now())
	if !ok || !k.found || !k.ver.Same(o.ver) {
		if !online {
			return fact{}, errUnknown
		}
		var err error
		if k, at, err = m.facts.head(ctx, o.key); err != nil {
			return fact{}, err
		}
	}
	if !k.found || !k.ver.Same(o.ver) {
		return fact{}, nil // replaced by somebody else; the next open finds out
	}
	o.asked = at
	return k, nil
}

// dirObject describes the directory q.key+"/", which is present.
func (m *Mount) dirObject(ctx context.Context, parent *node, q question, online bool) (object, error) {
	if q.sub != nil && online {
		m.walked(parent, q, true)
	}
	if m.plainly() {
		return m.bareDirectory(q.key+"/", q.now), nil
	}
	return m.directory(ctx, q.key+"/", q.now, online)
}

// directory describes the directory key, known to exist; what was learnt since now is fresh.
func (m *Mount) directory(ctx context.Context, key string, now time.Time, online bool) (object, error) {
	l, ok := m.o.Store.Local(key)
	if m.localBelief(l, ok, now) == present {
		return m.localObject(ctx, l, online)
	}
	if listing, at, ok := m.dirs.Peek(key); ok && at.After(l.At) {
		if !listing.HasMarker {
			return m.bareDirectory(key, at), nil
		}
		if f, ok := m.facts.recall(key, &listing.Marker); ok {
			return m.factObject(key, f, at), nil
		}
	}
	f, at, ok := m.facts.known(key, l.At, now)
	if !ok && !online {
		return object{}, errUnknown
	}
	if !ok && m.o.Attrs.has(key) {
		var err error
		if f, at, ok, err = m.firstPage(ctx, key); err != nil {
			return object{}, err
		}
	}
	if !ok {
		var err error
		if f, at, err = m.facts.head(ctx, key); err != nil {
			return object{}, err
		}
	}
	if !f.found {
		return m.bareDirectory(key, at), nil
	}
	return m.factObject(key, f, at), nil
}

// bareDirectory describes a directory that has no marker to carry attributes.
func (m *Mount) bareDirectory(key string, asked time.Time) object {
	return object{key: key, attr: writeback.DefaultAttr(key, m.o.Defaults), bare: true, asked: asked}
}

// walked tells the look-ahead that an entry of the listing was asked for.
func (m *Mount) walked(dir *node, q question, sub bool) {
	if i, ok := indexOf(q.listing, q.key[len(q.dirKey):], sub); ok {
		m.statAhead(dir, q.dirKey, q.listing, i)
	}
}
