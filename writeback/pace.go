package writeback

import (
	"context"
	"sync"
	"time"
)

// The service takes about appendRate appends a second to one object; more are throttled, and throttling slows
// the whole client down. Up to appendBurst that come after a quiet time go out at once.
const (
	appendRate  = 50
	appendBurst = 50
	appendEvery = time.Second / appendRate
)

// pacer spaces the appends of each key. A commit waits before it freezes the file, so that what is written
// meanwhile goes along. It goes by the real clock, whatever the Store's is: the service does, too.
type pacer struct {
	sleep func(ctx context.Context, d time.Duration) error // nil = for as long as it says, or until ctx ends

	mu  sync.Mutex           // guards the field below; a leaf
	due map[string]time.Time // when the next append would be due if all so far had been sent evenly
}

// pacedKeys is how many keys are remembered before those that need not be are forgotten.
const pacedKeys = 1000

// wait counts an append of key and blocks until it may be sent. ErrClosed if ctx ends first.
func (p *pacer) wait(ctx context.Context, key string) error {
	d := p.take(key)
	switch {
	case d <= 0:
		return nil
	case p.sleep != nil:
		return p.sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ErrClosed
	}
}

// take counts an append of key and returns how long it must wait.
func (p *pacer) take(key string) time.Duration {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == nil {
		p.due = make(map[string]time.Time)
	}
	if len(p.due) > pacedKeys {
		for k, at := range p.due {
			if at.Before(now) {
				delete(p.due, k)
			}
		}
	}
	at := p.due[key]
	if at.Before(now) {
		at = now
	}
	p.due[key] = at.Add(appendEvery)
	return at.Sub(now) - (appendBurst-1)*appendEvery
}
