package cache

import (
	"context"
	"fmt"
	"io"
	"time"
)

// ListingStream hands out a listing while its pages arrive. It is for one goroutine at a time.
type ListingStream struct {
	d        *Dirs
	kept     *Listing   // answered from memory; flight is then nil
	flight   *dirFlight // else shared with others
	next     int        // part to hand out
	ahead    int
	finished bool
}

// Stream begins to read the listing of prefix under the rules of Get and returns at once. The
// listing is kept once its last page has arrived, provided somebody still reads it by then. Close
// the stream.
func (d *Dirs) Stream(ctx context.Context, prefix string, maxAge time.Duration) (*ListingStream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	s := &ListingStream{d: d}
	if s.kept = d.freshLocked(prefix, maxAge); s.kept == nil {
		d.joinLocked(s, prefix, maxAge)
	}
	return s, nil
}

// Ahead keeps up to n pages coming that Next has not been called for. Without, a page is asked for by Next
// alone, but for the first.
func (s *ListingStream) Ahead(n int) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.ahead = n
	if s.flight != nil {
		s.flight.wantLocked(s.next + n)
	}
}

// Next returns the next part of the listing, which must not be changed, waiting for a page unless
// ctx ends first. A part is ordered by name and has all that the listing tells of the names in it; it may be
// empty. A listing from memory comes as one part. io.EOF means that the listing is complete;
// any other error that what was handed out is not.
func (s *ListingStream) Next(ctx context.Context) ([]Entry, error) {
	if s.finished {
		return nil, io.EOF
	}
	if s.kept != nil {
		s.finished = true
		return s.kept.Entries, nil
	}
	for {
		part, ended, changed, err := s.take()
		if part != nil || err != nil {
			return part, err
		}
		if ended {
			s.finished = true
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns the next part if it is there, else what to wait for.
func (s *ListingStream) take() (part []Entry, ended bool, changed <-chan struct{}, err error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	if f == nil {
		return nil, false, nil, ErrClosed
	}
	f.wantLocked(s.next + 1 + s.ahead)
	if i := s.next - f.passed; i < len(f.parts) {
		part = f.parts[i]
		s.next++
		f.trimLocked()
		return part, f.ended, f.changed, nil
	}
	return nil, f.ended, f.changed, f.err
}

// Listing waits for the last page, unless ctx ends first, and returns the whole listing whatever
// Next has handed out. The error is ErrLongListing if it has more than MaxEntries.
func (s *ListingStream) Listing(ctx context.Context) (*Listing, error) {
	if s.kept != nil {
		return s.kept, nil
	}
	for {
		l, ended, changed, err := s.result()
		if ended || err != nil {
			return l, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *ListingStream) result() (l *Listing, ended bool, changed <-chan struct{}, err error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	switch {
	case f == nil:
		return nil, false, nil, ErrClosed
	case f.err == nil && f.long:
		return nil, false, nil, fmt.Errorf("list %q: %w: over %d entries", f.prefix, ErrLongListing, s.d.o.MaxEntries)
	}
	f.wantLocked(allParts)
	return f.listing, f.ended, f.changed, f.err
}

// Ready reports whether Next would return at once.
func (s *ListingStream) Ready() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	return f == nil || f.ended || s.next < f.passed+len(f.parts)
}

// More reports whether pages follow those that Next has returned so far. After the first it does not block.
func (s *ListingStream) More() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	return f != nil && (!f.last || s.next < f.passed+len(f.parts))
}

// Marker returns the object whose key is the prefix, with an empty name, if there is one. It comes with the
// first page.
func (s *ListingStream) Marker() (e Entry, ok bool) {
	if s.kept != nil {
		return s.kept.Marker, s.kept.HasMarker
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.flight == nil || s.flight.marker == nil {
		return Entry{}, false
	}
	return *s.flight.marker, true
}

// Started returns when the first page was asked for: what happened later may be missing.
func (s *ListingStream) Started() time.Time {
	if s.kept != nil {
		return s.kept.Started
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.flight == nil {
		return time.Time{}
	}
	return s.flight.started
}

// Close stops waiting. A listing that nobody else reads ends unfinished and is not kept.
func (s *ListingStream) Close() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.leaveLocked(s)
}
