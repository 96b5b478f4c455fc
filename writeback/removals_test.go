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
		{"one", 0, 0, removalIdle},
		{"a burst", removalIdle / 2, 3, 3*removalIdle/2 + removalIdle},
		{"a gap", removalIdle * 3 / 2, 3, removalIdle},
		{"no end", removalIdle / 2, 100, removalDelay},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				q := newRemovals(&Store{ctx: ctx})
				start := time.Now()
				done := make(chan time.Duration)
				go func() {
					q.rest()
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
				if q.rest() {
					t.Error("goes on after the Store's end")
				}
			})
		})
	}
}
