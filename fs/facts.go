package fs

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// fact is what HEAD told of one key: an object or a directory's marker ("k/").
type fact struct {
	found   bool
	ver     writeback.Version
	attr    writeback.Attr
	settled bool // the version cannot be mistaken for a later one with the same ETag, size and time
	kept    bool // on disk, too
}

// facts keeps what the service told of single keys and shares the HEADs that find it out.
type facts struct {
	m        *Mount
	heads    *cache.Table[fact]
	prefixes *cache.Table[bool] // whether anything is below a prefix
	ahead    chan struct{}      // one slot for each HEAD that nobody waits for yet
	wg       sync.WaitGroup

	mu      sync.Mutex // guards the fields below; only the locks of tables and notes are taken inside
	calls   map[string]*headCall
	flying  int // requests in flight, calls or not
	changes changes
}

// headCall is a HEAD in flight.
type headCall struct {
	query
	get  bool          // it is a GET of one version: its error is no answer about the key
	done chan struct{} // closed when the fields below are set
	fact fact
	err  error
	past bool // the key was changed here since it began
}

func newFacts(m *Mount) *facts {
	return &facts{
		m:        m,
		heads:    cache.NewTable[fact](m.o.maxFacts(), m.o.Now),
		prefixes: cache.NewTable[bool](m.o.maxSmall(), m.o.Now),
		ahead:    make(chan struct{}, statFanOut),
		calls:    make(map[string]*headCall),
	}
}

// close waits for the HEADs in flight, which the mount's context must have ended, and has kept on disk what
// could not be until now.
func (fs *facts) close() {
	fs.wg.Wait()
	fs.heads.All(func(key string, f fact, _ time.Time) {
		if f.found && f.settled && !f.kept {
			fs.m.o.Attrs.Made(key, time.Time{}, f.ver, f.attr)
		}
	})
}

// head asks the service for key, sharing a request under way, and waits unless ctx ends first. A 404
// is an answer, not an error.
func (fs *facts) head(ctx context.Context, key string) (fact, time.Time, error) {
	for {
		c := fs.start(key, nil)
		f, asked, err := c.answer(ctx)
		switch {
		case err != nil && c.get && ctx.Err() == nil:
		case err == nil && c.past:
		default:
			return f, asked, err
		}
	}
}

// headListed is head for a name that a listing shows as e. An answer about that very version that has
// arrived since the caller looked will do.
func (fs *facts) headListed(ctx context.Context, key string, e *cache.Entry) (fact, time.Time, error) {
	fs.mu.Lock()
	c := fs.calls[key]
	f, ok := fs.of(key, e) // after looking for the call: it keeps its answer before it ends
	fs.mu.Unlock()
	switch {
	case c != nil && !c.get:
		return fs.head(ctx, key)
	case ok:
		return f, f.ver.Confirmed, nil
	}
	return fs.head(ctx, key)
}

// answer waits for the call unless ctx ends first.
func (c *headCall) answer(ctx context.Context) (fact, time.Time, error) {
	if err := wait(ctx, c.done); err != nil {
		return fact{}, time.Time{}, err
	}
	return c.fact, c.asked, c.err
}

// headAhead begins to ask for key unless too many such requests are in flight.
func (fs *facts) headAhead(key string) bool {
	select {
	case fs.ahead <- struct{}{}:
	default:
		return false
	}
	fs.start(key, func() { <-fs.ahead })
	return true
}

// start returns the call under way for key, or begins one under the mount's lifetime: others may
// come to share it. done is called when the caller's interest ends, at once if the call was there.
func (fs *facts) start(key string, done func()) *headCall {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if c := fs.calls[key]; c != nil {
		if done != nil {
			done()
		}
		return c
	}
	c := &headCall{done: make(chan struct{}), query: fs.beginLocked()}
	fs.calls[key] = c
	fs.wg.Go(func() {
		defer fs.landed()
		f, err := fs.ask(key, c.query)
		fs.finish(key, c, f, err)
		if done != nil {
			done()
		}
	})
	return c
}

// ask sends the HEAD and keeps the answer.
func (fs *facts) ask(key string, q query) (fact, error) {
	info, err := fs.m.o.Client.Head(fs.m.ctx, key, nil)
	if err != nil && !errors.Is(err, cos.ErrNotFound) {
		return fact{}, err
	}
	if err != nil {
		info = nil
	}
	return fs.learn(key, info, q), nil
}

// learn keeps what the service told of key, nil if it has no such object; unless key was changed here since.
func (fs *facts) learn(key string, info *cos.ObjectInfo, q query) fact {
	var f fact
	if info != nil {
		f = fact{
			found: true,
			ver:   writeback.VersionOf(info, q.asked),
			attr:  writeback.DecodeAttr(info, fs.m.o.Defaults),
		}
		f.settled = settled(info)
		if l, ok := fs.m.o.Store.Local(key); ok && l.File != nil {
			if l.File.Confirm(f.ver, f.attr); l.File.Stat().Handles > 0 {
				fs.m.grow(l.File, f.ver, f.attr)
			}
		}
	}
	fs.m.o.Store.Observed(key, q.asked, f.ver, f.attr)
	fs.keep(key, q, func() {
		f.kept = fs.note(key, info)
		fs.heads.PutAt(key, f, q.asked)
	})
	return f
}

// note has what the service told of key kept on disk, unless it is there, and reports whether it is.
func (fs *facts) note(key string, info *cos.ObjectInfo) bool {
	before, _, ok := fs.heads.Get(key)
	switch {
	case info == nil && isDirKey(key):
		if !ok || before.found {
			fs.m.o.Attrs.bare(key)
		}
		return true
	case info == nil:
		if ok && before.found {
			fs.m.o.Attrs.drop(key)
		}
		return false
	case ok && before.kept && before.found && before.ver.Same(writeback.VersionOf(info, time.Time{})) && before.ver.LastModified.Equal(info.LastModified):
		return true
	}
	return fs.m.o.Attrs.told(key, info)
}

// fetcher fetches version v of key. What the answer tells besides the bytes is kept as that to a HEAD is,
// and who asks about the key meanwhile waits for it.
func (fs *facts) fetcher(key string, v writeback.Version) cache.FetchFunc {
	return func(ctx context.Context, off, size int64) (io.ReadCloser, error) {
		c, q := fs.enter(key)
		defer fs.landed()
		r, err := fs.m.o.Store.Fetch(ctx, key, v, off, size)
		var f fact
		if err == nil {
			f = fs.learn(key, &r.ObjectInfo, q)
		}
		if c != nil {
			fs.finish(key, c, f, err)
		}
		if err != nil {
			return nil, err
		}
		return r.Body, nil
	}
}

// enter begins a GET of key and makes it the call that others share. There is no call if there is one already.
func (fs *facts) enter(key string) (*headCall, query) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	q := fs.beginLocked()
	if fs.calls[key] != nil {
		return nil, q
	}
	c := &headCall{done: make(chan struct{}), query: q, get: true}
	fs.calls[key] = c
	return c, q
}

// finish ends a call with its answer.
func (fs *facts) finish(key string, c *headCall, f fact, err error) {
	fs.mu.Lock()
	c.fact, c.err, c.past = f, err, fs.changes.since(key, c.mark)
	delete(fs.calls, key)
	fs.mu.Unlock()
	close(c.done)
}

// known returns the fact about key if it is, by now, not older than the TTL, and not older than since.
func (fs *facts) known(key string, since, now time.Time) (fact, time.Time, bool) {
	f, at, ok := fs.heads.Get(key)
	if !ok || !young(now, at, fs.m.o.MetaTTL) || at.Before(since) {
		return fact{}, time.Time{}, false
	}
	return f, at, true
}

// of returns the fact in memory about the very version that a listing shows, however old it is. If the
// version was so new that the next may look the same, the TTL is its age.
func (fs *facts) of(key string, e *cache.Entry) (fact, bool) {
	f, at, ok := fs.heads.Get(key)
	if !ok || !f.found || f.ver.ETag != e.ETag || f.ver.Size != e.Size || f.ver.LastModified.Unix() != e.LastModified.Unix() {
		return fact{}, false
	}
	return f, f.settled || young(fs.m.o.Now(), at, fs.m.o.MetaTTL)
}

// recall is of that looks on disk, too. It blocks while the disk reads.
func (fs *facts) recall(key string, e *cache.Entry) (fact, bool) {
	if f, ok := fs.of(key, e); ok {
		return f, true
	}
	f, ok := fs.m.o.Attrs.of(key, e, fs.m.o.Defaults)
	if ok {
		fs.heads.PutAt(key, f, time.Time{}) // it says nothing of what is there now: the listing does
	}
	return f, ok
}

// belief is what single answers of the service say of key (of a directory if it ends in "/"), and
// when they were asked for. Answers older than since do not count, and absence is believed for
// absentAge.
func (fs *facts) belief(key string, since, now time.Time, absentAge time.Duration) (belief, time.Time) {
	f, at, ok := fs.known(key, since, now)
	if ok && f.found {
		return present, at
	}
	if isDirKey(key) {
		// No marker is no proof: only the prefix tells.
		var below bool
		below, at, ok = fs.prefixes.Get(key)
		ok = ok && young(now, at, fs.m.o.MetaTTL) && !at.Before(since)
		if ok && below {
			return present, at
		}
	}
	if ok && young(now, at, absentAge) {
		return absent, at
	}
	return unknown, time.Time{}
}

// drop forgets what was known of key, because it was changed here.
func (fs *facts) drop(key string) {
	fs.changed(key, false)
	fs.m.o.Attrs.drop(key)
	fs.heads.Drop(key)
	if isDirKey(key) {
		fs.prefixes.Drop(key)
	}
}

// dropTree forgets everything below prefix.
func (fs *facts) dropTree(prefix string) {
	fs.changed(prefix, true)
	fs.heads.DropPrefix(prefix)
	fs.prefixes.DropPrefix(prefix)
}

// needsHead reports whether the attributes of a listed name are unknown.
func (m *Mount) needsHead(key string, e *cache.Entry) bool {
	if m.plainly() {
		return false
	}
	if _, ok := m.o.Store.Local(key); ok {
		return false
	}
	if !e.Dir {
		_, ok := m.facts.recall(key, e)
		return !ok
	}
	if l, _, ok := m.dirs.Peek(key); ok {
		if !l.HasMarker {
			return false
		}
		if _, ok := m.facts.recall(key, &l.Marker); ok {
			return false
		}
	}
	_, _, ok := m.facts.known(key, time.Time{}, m.o.Now())
	return !ok
}
