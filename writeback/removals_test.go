package writeback

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRemovalsWaitForMore has a burst of deletions wait for its end, but not for ever.
func TestRemovalsWaitForMore(t *testing.T) {
	tests := []struct {
		name  string
		every time.Duration
		more  int // deletions after the first
		want  time.Duration
	}{
		{"one", 0, 0, removalDelay},
		{"a burst", removalDelay / 2, 3, 3*removalDelay/2 + removalDelay},
		{"a gap", removalDelay * 3 / 2, 3, removalDelay},
		{"no end", removalDelay / 2, 100, maxDelays * removalDelay},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				q := newRemovals(&Store{ctx: ctx})
				start := time.Now()
				done := make(chan time.Duration)
				go func() {
					q.waitForMore()
					done <- time.Since(start)
				}()
				var got time.Duration
				tick := time.NewTimer(tt.every)
				defer tick.Stop()
				for left := tt.more; got == 0; {
					timer := tick.C
					if left == 0 {
						timer = nil
					}
					select {
					case <-timer:
						left--
						q.add("k", Version{})
						tick.Reset(tt.every)
					case got = <-done:
					}
				}
				if got != tt.want {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
				cancel()
				if q.waitForMore() {
					t.Error("goes on after the Store's end")
				}
			})
		})
	}
}
