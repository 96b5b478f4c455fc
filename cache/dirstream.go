package cache

import (
	"context"
	"io"
	"time"
)

// ListingStream hands out a listing while its pages arrive. It is for one goroutine at a time.
type ListingStream struct {
	d        *Dirs
	kept     *Listing   // answered from memory; flight is then nil
	flight   *dirFlight // else shared with others
	next     int        // page to hand out
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
	if l := d.freshLocked(prefix, maxAge); l != nil {
		return &ListingStream{d: d, kept: l}, nil
	}
	return &ListingStream{d: d, flight: d.joinLocked(prefix, maxAge)}, nil
}

// Next returns the entries of the next page, which must not be changed, waiting for the page unless
// ctx ends first. A page may have none. Within a page come the files, then the directories; a
// listing from memory comes as one page ordered by name. io.EOF means that the listing is complete;
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
		page, ended, changed, err := s.take()
		if page != nil || err != nil {
			return page, err
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

// take returns the next page if it is there, else what to wait for.
func (s *ListingStream) take() (page []Entry, ended bool, changed <-chan struct{}, err error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	if f == nil {
		return nil, false, nil, ErrClosed
	}
	if s.next < len(f.pages) {
		s.next++
		return f.pages[s.next-1], f.ended, f.changed, nil
	}
	return nil, f.ended, f.changed, f.err
}

// Listing waits for the last page, unless ctx ends first, and returns the whole listing whatever
// Next has handed out.
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
	if f == nil {
		return nil, false, nil, ErrClosed
	}
	return f.listing, f.ended, f.changed, f.err
}

// More reports whether pages follow those that Next has returned so far. After the first it does not block.
func (s *ListingStream) More() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	f := s.flight
	return f != nil && (!f.last || s.next < len(f.pages))
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
	f := s.flight
	s.flight = nil
	s.d.mu.Unlock()
	if f != nil {
		s.d.leave(f)
	}
}
