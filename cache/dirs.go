package cache

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrClosed is the error of calls on a Blocks, Reader, Dirs or ListingStream that was closed.
var ErrClosed = errors.New("cache is closed")

// listingOverhead is what a kept listing counts besides its entries. It bounds the number of small
// listings, each of which costs some hundreds of bytes.
const listingOverhead = 8

// DirsOptions of NewDirs. The zero value gives the defaults named.
type DirsOptions struct {
	// TTL is how long a listing answers Peek and Lookup. 0 is 60 s; negative is no time at all.
	TTL time.Duration
	// NegativeTTL is how long a listing proves in Lookup that a name is absent. 0 is 5 s; negative
	// is no time at all.
	NegativeTTL time.Duration
	// MaxEntries bounds the entries of all listings kept together, about 150 bytes each, plus 8 for
	// each listing. A larger listing is returned but not kept. 0 is 1,000,000.
	MaxEntries int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (o DirsOptions) withDefaults() DirsOptions {
	if o.TTL == 0 {
		o.TTL = time.Minute
	}
	if o.NegativeTTL == 0 {
		o.NegativeTTL = 5 * time.Second
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 1_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Dirs keeps complete directory listings and shares the requests that make them.
type Dirs struct {
	o    DirsOptions
	list ListFunc
	ctx  context.Context // lifetime of every listing request
	stop context.CancelFunc
	wg   sync.WaitGroup // one per flight

	mu      sync.Mutex // guards the fields below and every dirFlight's
	closed  bool
	kept    map[string]*list.Element
	order   list.List // of *Listing, most recently used first
	entries int       // cost of all listings kept
	flights map[string]*dirFlight
}

// NewDirs returns an empty cache whose listings are made by fetch and end with ctx. Close it.
func NewDirs(ctx context.Context, o DirsOptions, fetch ListFunc) *Dirs {
	d := &Dirs{
		o:       o.withDefaults(),
		list:    fetch,
		kept:    make(map[string]*list.Element),
		flights: make(map[string]*dirFlight),
	}
	d.ctx, d.stop = context.WithCancel(ctx)
	return d
}

// Close ends the listings under way and waits for them. Their callers get ErrClosed, as they do when
// the lifetime context ends.
func (d *Dirs) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
}

// Peek returns the listing of prefix if one not older than the TTL is kept, and when it was asked
// for. It never touches the network. To believe that a name is absent use Lookup.
func (d *Dirs) Peek(prefix string) (*Listing, time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.freshLocked(prefix, d.o.TTL)
	if l == nil {
		return nil, time.Time{}, false
	}
	return l, l.Started, true
}

// Lookup answers from a kept listing what prefix+name is: a file, a directory, or both. absent is
// true only if a complete listing not older than the negative TTL shows neither; with nothing found
// and absent false the cache does not know. It never touches the network.
func (d *Dirs) Lookup(prefix, name string) (file, dir *Entry, absent bool) {
	d.mu.Lock()
	l := d.freshLocked(prefix, d.o.TTL)
	d.mu.Unlock()
	if l == nil {
		return nil, nil, false
	}
	file, dir = l.Find(name)
	if file != nil || dir != nil {
		return file, dir, false
	}
	return nil, nil, d.o.Now().Sub(l.Started) <= d.o.NegativeTTL
}

// Get returns the listing of prefix, which is "" or ends in "/": the one kept if it began at most
// maxAge ago, else a new one. It blocks for as many requests as the directory has pages, unless ctx
// ends first. Calls share a listing under way whose age they accept, so with a maxAge of 0 each
// call makes its own. An error on any page is the error of the call; nothing partial is returned or
// kept.
func (d *Dirs) Get(ctx context.Context, prefix string, maxAge time.Duration) (*Listing, error) {
	s, err := d.Stream(ctx, prefix, maxAge)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Listing(ctx)
}

// Drop forgets the listing of prefix. One under way still answers those who wait for it, but is not
// kept and not shared with later callers.
func (d *Dirs) Drop(prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropLocked(prefix)
}

// DropTree forgets, as Drop does, the listing of prefix and of every directory below it. It looks
// at every listing kept.
func (d *Dirs) DropTree(prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p := range d.kept {
		if strings.HasPrefix(p, prefix) {
			d.dropLocked(p)
		}
	}
	for p := range d.flights {
		if strings.HasPrefix(p, prefix) {
			d.dropLocked(p)
		}
	}
}

func (d *Dirs) dropLocked(prefix string) {
	delete(d.flights, prefix)
	if e, ok := d.kept[prefix]; ok {
		d.removeLocked(e)
	}
}

// freshLocked returns the listing kept of prefix if it began at most maxAge ago.
func (d *Dirs) freshLocked(prefix string, maxAge time.Duration) *Listing {
	e, ok := d.kept[prefix]
	if !ok {
		return nil
	}
	l := e.Value.(*Listing)
	if maxAge <= 0 || d.o.Now().Sub(l.Started) > maxAge {
		return nil
	}
	d.order.MoveToFront(e)
	return l
}

// keepLocked stores l in place of an older one and forgets the least recently used until the bound
// holds.
func (d *Dirs) keepLocked(l *Listing) {
	if e, ok := d.kept[l.Prefix]; ok {
		d.removeLocked(e)
	}
	if listingCost(l) > d.o.MaxEntries {
		return
	}
	d.kept[l.Prefix] = d.order.PushFront(l)
	d.entries += listingCost(l)
	for d.entries > d.o.MaxEntries {
		d.removeLocked(d.order.Back())
	}
}

func (d *Dirs) removeLocked(e *list.Element) {
	l := e.Value.(*Listing)
	delete(d.kept, l.Prefix)
	d.order.Remove(e)
	d.entries -= listingCost(l)
}

func listingCost(l *Listing) int { return len(l.Entries) + listingOverhead }

// dirFlight is one listing under way. Its fields are guarded by Dirs.mu but for those set at the
// start.
type dirFlight struct {
	prefix  string
	started time.Time
	cancel  context.CancelFunc

	waiters int
	pages   [][]Entry
	last    bool          // pages are all there are
	marker  *Entry        // of the prefix itself, with the first page; nil if there is none
	changed chan struct{} // closed and replaced with every page, closed for good at the end
	ended   bool
	listing *Listing // set at the end if err is nil
	err     error
}

// joinLocked returns the flight for prefix that began at most maxAge ago, starting one if need be,
// and counts the caller as a waiter.
func (d *Dirs) joinLocked(prefix string, maxAge time.Duration) *dirFlight {
	f, ok := d.flights[prefix]
	if !ok || maxAge <= 0 || d.o.Now().Sub(f.started) > maxAge {
		f = d.startLocked(prefix)
	}
	f.waiters++
	return f
}

func (d *Dirs) startLocked(prefix string) *dirFlight {
	ctx, cancel := context.WithCancel(d.ctx)
	f := &dirFlight{
		prefix:  prefix,
		started: d.o.Now(),
		cancel:  cancel,
		changed: make(chan struct{}),
	}
	d.flights[prefix] = f
	d.wg.Go(func() {
		defer cancel()
		l, err := d.fetch(ctx, f)
		d.end(f, l, err)
	})
	return f
}

// leave takes a waiter off f, and ends f when it was the last.
func (d *Dirs) leave(f *dirFlight) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.waiters--
	if f.waiters > 0 || f.ended {
		return
	}
	f.cancel()
	d.forgetLocked(f)
}

// forgetLocked makes sure that no later caller joins f, and reports whether one still could.
func (d *Dirs) forgetLocked(f *dirFlight) bool {
	if d.flights[f.prefix] != f {
		return false
	}
	delete(d.flights, f.prefix)
	return true
}

// fetch asks for every page.
func (d *Dirs) fetch(ctx context.Context, f *dirFlight) (*Listing, error) {
	b := newListingBuilder(f.prefix, f.started)
	for marker := ""; ; {
		p, err := d.list(ctx, f.prefix, marker)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, fmt.Errorf("list %q: no page: %w", f.prefix, ErrBadListing)
		}
		entries, err := b.add(marker, p)
		if err != nil {
			return nil, err
		}
		d.publish(f, b, entries, p.Next == "")
		if p.Next == "" {
			return b.finish(), nil
		}
		marker = p.Next
	}
}

// publish shows a page to the streams.
func (d *Dirs) publish(f *dirFlight, b *listingBuilder, entries []Entry, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.pages, f.last = append(f.pages, entries), last
	if b.listing.HasMarker && f.marker == nil {
		marker := b.listing.Marker
		f.marker = &marker
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// end wakes everybody and keeps the listing, unless it was dropped while under way.
func (d *Dirs) end(f *dirFlight, l *Listing, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && d.ctx.Err() != nil {
		err = ErrClosed
	}
	f.ended, f.listing, f.err = true, l, err
	close(f.changed)
	if d.forgetLocked(f) && err == nil {
		d.keepLocked(l)
	}
}
