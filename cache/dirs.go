package cache

import (
	"container/list"
	"context"
	"errors"
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
	// each listing. A directory that has more is told in parts alone, and nothing of it is kept. 0 is
	// 1,000,000.
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
// kept. The error is ErrLongListing if the directory has more than MaxEntries.
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
