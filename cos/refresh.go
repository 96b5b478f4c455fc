package cos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	refreshEarly   = 10 * time.Minute // before expiry, or a quarter of the lifetime if that is less
	recheckStatic  = 5 * time.Minute  // credentials that never expire may still be replaced in their file
	refreshGap     = 15 * time.Second // between attempts on a source that failed or was just asked
	refreshTimeout = time.Minute
	expiryMargin   = 10 * time.Second // a request signed now must still arrive in time
)

// Refresher keeps what a slow or unreliable provider handed out, and renews it before it expires
// while requests go on with the old. Only callers that have nothing valid wait, and all for one
// fetch. A source that fails is asked again later; it stops work only when the old credentials
// expire.
type Refresher struct {
	src   Provider
	log   *slog.Logger
	clock func() time.Time
	wg    sync.WaitGroup // the fetch under way

	mu      sync.Mutex // guards the fields below
	cur     Credentials
	have    bool
	renewAt time.Time // from when on a fetch is due
	triedAt time.Time // the last fetch's end
	refused bool      // the service refused cur: wait for others
	flight  *fetch
	closed  bool
}

// fetch is one call of the source, shared by who waits for it.
type fetch struct {
	done   chan struct{}
	cancel context.CancelFunc
	err    error // valid once done is closed
}

// NewRefresher wraps a provider. A nil logger discards, a nil clock is time.Now. Close it when done.
func NewRefresher(src Provider, log *slog.Logger, clock func() time.Time) *Refresher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if clock == nil {
		clock = time.Now
	}
	return &Refresher{src: src, log: log, clock: clock}
}

// Credentials returns what is valid now. It blocks only while there is nothing valid.
func (r *Refresher) Credentials(ctx context.Context) (Credentials, error) {
	r.mu.Lock()
	now := r.clock()
	valid := r.have && !r.cur.expired(now, expiryMargin)
	if valid && !r.refused {
		if now.After(r.renewAt) && now.Sub(r.triedAt) >= refreshGap {
			r.fetchLocked(ctx)
		}
		c := r.cur
		r.mu.Unlock()
		return c, nil
	}
	f := r.fetchLocked(ctx)
	r.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return Credentials{}, ctxError(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have && !r.cur.expired(r.clock(), 0) {
		return r.cur, nil
	}
	if f.err != nil {
		return Credentials{}, f.err
	}
	return Credentials{}, fmt.Errorf("%w: the source hands out expired ones", ErrBadCredentials)
}

// Invalidate tells that the service refused credentials, and returns whether asking again may bring
// others.
func (r *Refresher) Invalidate(used Credentials) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have && r.cur != used {
		return true
	}
	if r.clock().Sub(r.triedAt) < refreshGap {
		return false
	}
	r.refused = true
	return true
}

// fetchLocked joins the fetch under way or starts one. The fetch serves others too, so it does not
// end with the caller's context.
func (r *Refresher) fetchLocked(ctx context.Context) *fetch {
	if r.flight != nil {
		return r.flight
	}
	f := &fetch{done: make(chan struct{})}
	if r.closed {
		f.err = fmt.Errorf("%w: the refresher is closed", ErrBadCredentials)
		close(f.done)
		return f
	}
	ctx, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	r.flight = f
	r.wg.Go(func() { r.run(ctx, f) })
	return f
}

func (r *Refresher) run(ctx context.Context, f *fetch) {
	defer f.cancel()
	c, err := r.src.Credentials(ctx)
	if r.finish(f, c, err) {
		r.log.WarnContext(ctx, "credentials not renewed; the old ones stay in use", "err", err)
	}
}

// finish takes over what a fetch brought and tells whether it failed to replace older credentials.
func (r *Refresher) finish(f *fetch, c Credentials, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	now := r.clock()
	r.flight, r.triedAt, r.refused = nil, now, false
	f.err = err
	if err != nil {
		return r.have
	}
	r.cur, r.have = c, true
	r.renewAt = renewTime(c, now)
	return false
}

func renewTime(c Credentials, now time.Time) time.Time {
	if c.Expires.IsZero() {
		return now.Add(recheckStatic)
	}
	return c.Expires.Add(-min(refreshEarly, c.Expires.Sub(now)/4))
}

// Format shows nothing of the credentials, under every verb.
func (r *Refresher) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "credentials kept fresh") // a fmt.State takes what it is given
}

// Close ends a fetch under way and waits for it.
func (r *Refresher) Close() error {
	r.mu.Lock()
	r.closed = true
	if r.flight != nil {
		r.flight.cancel()
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// keepFresh wraps a provider unless it needs no wrapping; the closer is what New created.
func keepFresh(p Provider, log *slog.Logger, clock func() time.Time) (Provider, io.Closer) {
	switch p.(type) {
	case nil, Static, *Static, *Refresher:
		return p, nil
	}
	r := NewRefresher(p, log, clock)
	return r, r
}
