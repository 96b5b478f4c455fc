package writeback

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace lets a burst go out at once and spaces what follows, key by key.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		start := time.Now()
		send := func(key string, n int) time.Duration {
			before := time.Now()
			for range n {
				if err := p.wait(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(before)
		}
		if d := send("a", appendBurst); d != 0 {
			t.Errorf("a burst of %d waited %v", appendBurst, d)
		}
		if d := send("b", 3); d != 0 {
			t.Errorf("another key waited %v", d)
		}
		if d, want := send("a", 100), 100*appendEvery; d != want {
			t.Errorf("100 more took %v, want %v", d, want)
		}
		if rate := float64(100+appendBurst) / time.Since(start).Seconds(); rate > 2*appendRate {
			t.Errorf("%v appends a second", rate)
		}
		<-time.After(time.Second)
		if d := send("a", appendBurst); d != 0 {
			t.Errorf("a burst after a quiet second waited %v", d)
		}
	})
}

// TestPaceNeverSlowsAFineRate appends a little slower than the service can take it.
func TestPaceNeverSlowsAFineRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		for range 1000 {
			if d := p.take("k"); d > 0 {
				t.Fatalf("waits %v", d)
			}
			<-time.After(appendEvery)
		}
	})
}

// TestPaceForgets keeps keys only while they matter, and ends with its context.
func TestPaceForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		for i := range 10 * pacedKeys {
			p.take(fmt.Sprint(i))
			<-time.After(appendEvery)
		}
		if n := len(p.due); n > pacedKeys+2 {
			t.Errorf("%d keys remembered", n)
		}
		for range appendBurst {
			p.take("k")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, "k"); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// TestAppendsArePaced appends in a tight loop, each line with a flush of its own: they reach the service no
// faster than it takes them, whole and in order.
func TestAppendsArePaced(t *testing.T) {
	r := newRig(t)
	const n = appendBurst + 15
	h := r.create(r.store, "log", true)
	var want []byte
	start := time.Now()
	for i := range n {
		line := fmt.Appendf(nil, "line %d\n", i)
		r.write(h, line, 0)
		r.must(h.Flush())
		want = append(want, line...)
	}
	if took, least := time.Since(start), (n-appendBurst)*appendEvery; took < least {
		t.Errorf("%d appends took %v, want at least %v", n, took, least)
	}
	r.must(h.Close())
	r.wantRequests(map[string]int64{"AppendObject": n})
	r.wantObject("log", want)
}

// TestPacedAppendsAreCoalesced writes lines while a commit waits for its turn: one append carries them all.
func TestPacedAppendsAreCoalesced(t *testing.T) {
	r := newRig(t)
	waits, wake := make(chan time.Duration), make(chan struct{})
	r.store.pace.sleep = func(_ context.Context, d time.Duration) error {
		waits <- d
		<-wake
		return nil
	}
	h := r.create(r.store, "log", true)
	r.store.pace.due = map[string]time.Time{"log": time.Now().Add(time.Hour)}
	r.write(h, []byte("first\n"), 0)
	done := make(chan error, 1)
	go func() { done <- h.Flush() }()
	if d := <-waits; d < 30*time.Minute || d > time.Hour {
		t.Errorf("waits %v", d)
	}
	r.write(h, []byte("second\n"), 0)
	close(wake)
	r.must(<-done)
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(map[string]int64{"AppendObject": 1})
	r.wantObject("log", []byte("first\nsecond\n"))
}
