package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(0, 0)
	l := &limiter{wide: 16, clock: func() time.Time { return now }}
	ctx := context.Background()
	acquire := func(n int) {
		t.Helper()
		for range n {
			if err := l.acquire(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	acquire(100) // open: no bound
	for range 99 {
		l.release(false, true)
	}
	acquire(7)
	l.release(true, false) // 8 in flight: halved to 4
	if l.width != 4 {
		t.Fatalf("width = %v, want 4", l.width)
	}
	l.release(true, false) // an echo of the same excess
	if l.width != 4 {
		t.Fatalf("width after an echo = %v, want 4", l.width)
	}
	now = now.Add(2 * quiet)
	l.release(true, false)
	if l.width != 2 || l.inFlight != 5 {
		t.Fatalf("width = %v with %d in flight, want 2 with 5", l.width, l.inFlight)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := l.acquire(done); !errors.Is(err, context.Canceled) || l.inFlight != 5 || len(l.waiting) != 0 {
		t.Errorf("acquire = %v, %d in flight, %d waiting", err, l.inFlight, len(l.waiting))
	}
	admitted := make(chan error)
	go func() { admitted <- l.acquire(ctx) }()
	for range 4 {
		l.release(false, false)
	}
	if err := <-admitted; err != nil {
		t.Fatal(err)
	}
	for range 300 { // recovers by successes
		l.release(false, true)
		acquire(1)
	}
	if l.width != 0 {
		t.Errorf("width after 300 successes = %v, want open", l.width)
	}
	acquire(20)
	for range 20 {
		now = now.Add(2 * quiet)
		l.release(true, false)
		if l.width < 1 {
			t.Fatalf("width = %v: nothing would ever go", l.width)
		}
	}
}

func TestThrottleSlowsTheClient(t *testing.T) {
	var mu sync.Mutex
	inFlight, most, served := 0, 0, 0
	bubble(t, func(o *Options) { o.Attempts = 20; o.BaseDelay, o.MaxDelay = 1, 1 }, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		served++
		n := served
		inFlight++
		if n > 16 {
			most = max(most, inFlight)
		}
		mu.Unlock()
		<-time.After(time.Millisecond)
		mu.Lock()
		inFlight--
		mu.Unlock()
		if n <= 16 {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Content-Length", "0")
	}, func(t *testing.T, c *Client) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if _, err := c.Head(context.Background(), fmt.Sprint(i), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most > 10 {
			t.Errorf("%d requests at a time after a throttled burst of 16", most)
		}
	})
}

// ownBody is a body that is read from the service while it is sent.
type ownBody struct{ c *Client }

func (b ownBody) ReadAt(p []byte, off int64) (int, error) {
	r, err := b.c.Get(context.Background(), "base", &GetOptions{Off: off, Size: int64(len(p))})
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r.Body, p)
	return n, errors.Join(err, r.Body.Close())
}

// TestThrottledSenderMayReceive puts, one at a time because of a 503, what must be got first.
func TestThrottledSenderMayReceive(t *testing.T) {
	puts := 0
	bubble(t, func(o *Options) { o.Attempts = 5 }, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			if puts++; puts == 1 {
				w.WriteHeader(503)
				return
			}
			w.Header().Set("ETag", `"0"`)
			return
		}
		w.Header().Set("Content-Length", "4")
		w.Header().Set("Content-Range", "bytes 0-3/4")
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "body") // the client sees it fail
	}, func(t *testing.T, c *Client) {
		if _, err := c.Put(context.Background(), "k", ownBody{c}, 4, nil); err != nil {
			t.Fatal(err)
		}
		if puts != 2 {
			t.Errorf("%d attempts, want 2", puts)
		}
	})
}
