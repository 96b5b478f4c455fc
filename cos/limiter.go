package cos

import (
	"context"
	"sync"
	"time"
)

// limiter holds back all operations of a client while the service throttles. It is open until the
// first 503; that one halves the number of attempts that may be under way, at most once per quiet
// period, and successes widen it again until it is as wide as the pool and open once more.
type limiter struct {
	wide  int // where it opens again
	clock func() time.Time

	mu       sync.Mutex // guards the fields below
	width    float64    // attempts allowed at a time; 0 = open
	inFlight int
	waiting  []chan struct{} // closed to admit, first come first served
	halvedAt time.Time
}

// quiet is how long after a halving further 503s are taken to be echoes of the same excess.
const quiet = time.Second

// acquire waits for room or for ctx to end.
func (l *limiter) acquire(ctx context.Context) error {
	l.mu.Lock()
	if l.roomLocked() && len(l.waiting) == 0 {
		l.inFlight++
		l.mu.Unlock()
		return nil
	}
	ready := make(chan struct{})
	l.waiting = append(l.waiting, ready)
	l.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		l.giveUp(ready)
		return ctxError(ctx)
	}
}

// giveUp removes a waiter, or returns its place if it was admitted meanwhile.
func (l *limiter) giveUp(ready chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == ready {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
	l.inFlight--
	l.admitLocked()
}

// release ends an attempt and tells how the service took it.
func (l *limiter) release(throttled, succeeded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case throttled:
		l.halveLocked()
	case succeeded && l.width > 0:
		l.width += 1 / l.width
		if l.width >= float64(l.wide) {
			l.width = 0
		}
	}
	l.inFlight--
	l.admitLocked()
}

func (l *limiter) halveLocked() {
	now := l.clock()
	if l.width > 0 && now.Sub(l.halvedAt) < quiet {
		return
	}
	from := l.width
	if from == 0 {
		from = float64(min(l.inFlight, l.wide))
	}
	l.width = max(1, from/2)
	l.halvedAt = now
}

func (l *limiter) roomLocked() bool { return l.width == 0 || float64(l.inFlight) < l.width }

func (l *limiter) admitLocked() {
	for len(l.waiting) > 0 && l.roomLocked() {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.inFlight++
	}
}
