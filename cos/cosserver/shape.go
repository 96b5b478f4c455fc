package cosserver

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Shape makes the server slow in a regular way. The zero value does not.
type Shape struct {
	Latency        time.Duration // each request waits this long before it is looked at
	BytesPerSecond int64         // the most a connection moves, in each direction; 0 = any number
}

// SetShape shapes the requests that begin from now on.
func (s *Server) SetShape(sh Shape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shape = sh
}

// Shape returns what SetShape set.
func (s *Server) Shape() Shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shape
}

// wait returns after d, or with errReset when the client or the server gives up. A nil release never
// fires; one that does ends the wait early.
func (r *request) wait(d time.Duration, release <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	return r.waitFor(t.C, release)
}

func (r *request) waitFor(timer <-chan time.Time, release <-chan struct{}) error {
	select {
	case <-timer:
		return nil
	case <-release:
		return nil
	case <-r.srv.stop:
		return errReset
	case <-r.Context().Done():
		return errReset
	}
}

// pacer holds one direction of one request to a rate. A connection carries one request at a time, so
// this is the connection's rate too.
type pacer struct {
	r     *request
	rate  int64 // bytes per second; 0 = any
	start time.Time
	moved int64
}

// pacer combines the server's shape with a request's own limit.
func (r *request) pacer(limit int64) *pacer {
	rate := r.srv.Shape().BytesPerSecond
	if limit > 0 && (rate == 0 || limit < rate) {
		rate = limit
	}
	return &pacer{r: r, rate: rate, start: time.Now()}
}

// slice is how much of n bytes to move at once so that the flow is even.
func (p *pacer) slice(n int) int {
	if p.rate == 0 {
		return n
	}
	return int(min(int64(n), max(p.rate/50, 512)))
}

// pass blocks until n more bytes were allowed to have been moved.
func (p *pacer) pass(n int) error {
	if p.rate == 0 {
		return nil
	}
	p.moved += int64(n)
	due := time.Duration(float64(p.moved) / float64(p.rate) * float64(time.Second))
	if ahead := due - time.Since(p.start); ahead > 0 {
		return p.r.wait(ahead, nil)
	}
	return nil
}

// body returns the request's body: counted, held to the rates, and broken by the rules that say so.
func (r *request) body() (io.Reader, error) {
	limit, err := r.trafficLimit()
	if err != nil {
		return nil, err
	}
	b := &bodyReader{r: r, pace: r.pacer(limit)}
	b.faults, r.middle = r.middle, nil
	return b, nil
}

type bodyReader struct {
	r      *request
	pace   *pacer
	faults []*rule // still to strike
	read   int64
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if err := b.strike(); err != nil {
		return 0, err
	}
	n, err := b.r.Body.Read(p[:b.room(b.pace.slice(len(p)))])
	b.read += int64(n)
	b.r.rec.BytesIn += int64(n)
	if err != nil && !errors.Is(err, io.EOF) { // the client went, or sent less than it said
		return n, fail(http.StatusBadRequest, "IncompleteBody")
	}
	if paceErr := b.pace.pass(n); paceErr != nil {
		return n, paceErr
	}
	return n, err
}

// strike lets the faults act whose place in the body has come.
func (b *bodyReader) strike() error {
	for len(b.faults) > 0 && b.read >= b.place(b.faults[0]) {
		f := b.faults[0]
		b.faults = b.faults[1:]
		if err := b.r.act(f); err != nil {
			return err
		}
	}
	return nil
}

// place is where in the body a fault strikes.
func (b *bodyReader) place(f *rule) int64 {
	if f.Bytes > 0 {
		return f.Bytes
	}
	return b.r.ContentLength / 2
}

// room is how much of n bytes to read at once so as to stop where the next fault strikes.
func (b *bodyReader) room(n int) int {
	if len(b.faults) == 0 {
		return n
	}
	return int(min(int64(n), b.place(b.faults[0])-b.read))
}
