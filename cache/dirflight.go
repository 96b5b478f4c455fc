package cache

import (
	"context"
	"fmt"
	"math"
	"time"
)

// dirFlight is one listing under way. Its fields are guarded by Dirs.mu but for those set at the
// start. Pages are asked for as far as somebody wants them. A listing that gets too long to be kept goes
// on for those who stream it, each for itself: only the parts that one of them has not seen are held.
type dirFlight struct {
	prefix  string
	started time.Time
	cancel  context.CancelFunc

	streams map[*ListingStream]struct{} // whose end ends it
	parts   [][]Entry                   // from the first that a stream may still want
	passed  int                         // how many went before them
	want    int                         // parts to fetch
	wanted  chan struct{}               // closed and replaced when want grows
	long    bool                        // too long to be kept or joined
	last    bool                        // the parts are all there are
	marker  *Entry                      // of the prefix itself, with the first part; nil if there is none
	changed chan struct{}               // closed and replaced with every part, closed for good at the end
	ended   bool
	listing *Listing // set at the end if err is nil, unless it is long
	err     error
}

const allParts = math.MaxInt

// joinLocked has s share the flight for prefix that began at most maxAge ago, starting one if need be.
func (d *Dirs) joinLocked(s *ListingStream, prefix string, maxAge time.Duration) {
	f, ok := d.flights[prefix]
	if !ok || maxAge <= 0 || d.o.Now().Sub(f.started) > maxAge {
		f = d.startLocked(prefix)
	}
	f.streams[s] = struct{}{}
	s.flight = f
}

func (d *Dirs) startLocked(prefix string) *dirFlight {
	ctx, cancel := context.WithCancel(d.ctx)
	f := &dirFlight{
		prefix:  prefix,
		started: d.o.Now(),
		cancel:  cancel,
		streams: make(map[*ListingStream]struct{}),
		want:    1,
		wanted:  make(chan struct{}),
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

// leaveLocked takes s off its flight, and ends that when s was the last.
func (d *Dirs) leaveLocked(s *ListingStream) {
	f := s.flight
	if f == nil {
		return
	}
	s.flight = nil
	delete(f.streams, s)
	f.trimLocked()
	if len(f.streams) > 0 || f.ended {
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

// wantLocked has at least n parts fetched.
func (f *dirFlight) wantLocked(n int) {
	if n <= f.want {
		return
	}
	f.want = n
	close(f.wanted)
	f.wanted = make(chan struct{})
}

// trimLocked forgets the parts of a long listing that nobody wants any more.
func (f *dirFlight) trimLocked() {
	if !f.long {
		return
	}
	next := f.passed + len(f.parts)
	for s := range f.streams {
		next = min(next, s.next)
	}
	clear(f.parts[:next-f.passed])
	f.parts, f.passed = f.parts[next-f.passed:], next
}

// fetch asks for every page, each once it is wanted. Of a long listing nil is returned.
func (d *Dirs) fetch(ctx context.Context, f *dirFlight) (*Listing, error) {
	b := newListingBuilder(f.prefix, f.started)
	for n, marker := 0, ""; ; n++ {
		if err := d.awaitWanted(ctx, f, n); err != nil {
			return nil, err
		}
		p, err := d.list(ctx, f.prefix, marker)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, fmt.Errorf("list %q: no page: %w", f.prefix, ErrBadListing)
		}
		part, err := b.add(marker, p)
		if err != nil {
			return nil, err
		}
		long := d.publish(f, b, part, p.Next == "")
		switch {
		case long:
			b.parts = nil
		case p.Next == "":
			return b.finish(), nil
		}
		if p.Next == "" {
			return nil, nil
		}
		marker = p.Next
	}
}

// awaitWanted returns when more than n parts are wanted, or ctx ends.
func (d *Dirs) awaitWanted(ctx context.Context, f *dirFlight, n int) error {
	for {
		d.mu.Lock()
		enough, wanted := f.want <= n, f.wanted
		d.mu.Unlock()
		if !enough {
			return nil
		}
		select {
		case <-wanted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish shows a part to the streams, and reports whether the listing is too long to be kept.
func (d *Dirs) publish(f *dirFlight, b *listingBuilder, part []Entry, last bool) (long bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.parts, f.last = append(f.parts, part), last
	if b.listing.HasMarker && f.marker == nil {
		marker := b.listing.Marker
		f.marker = &marker
	}
	if b.count+len(b.carry)+listingOverhead > d.o.MaxEntries && !f.long {
		f.long, f.want = true, 0 // nobody can have all of it any more
		for s := range f.streams {
			f.want = max(f.want, s.next+1+s.ahead)
		}
		d.forgetLocked(f)
	}
	f.trimLocked()
	close(f.changed)
	f.changed = make(chan struct{})
	return f.long
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
