package mounttest

import (
	"sync"
	"time"
)

// clock is what a mount takes for the time.
type clock struct {
	mu      sync.Mutex // guards the fields below
	skew    time.Duration
	stopped time.Time // zero while the clock runs
}

// tick is how far a stopped clock moves at each look, so that what happens later has a later time.
const tick = time.Microsecond

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.IsZero() {
		return time.Now().Add(c.skew)
	}
	c.stopped = c.stopped.Add(tick)
	return c.stopped.Add(c.skew)
}

// Skew puts the mount's clock forward, so that what it believes for a time is believed no longer. The
// kernel has a clock of its own: it forgets what it was told at a Remount only.
func (v *Volume) Skew(d time.Duration) {
	v.clock.mu.Lock()
	defer v.clock.mu.Unlock()
	v.clock.skew += d
}

// StopClock stops the mount's clock for the rest of the test: beliefs do not age, and what waits a moment
// for more to come waits until it is drained. So counts do not depend on how fast the machine is.
func (v *Volume) StopClock() {
	v.clock.mu.Lock()
	defer v.clock.mu.Unlock()
	v.clock.stopped = time.Now()
}
