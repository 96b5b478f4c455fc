package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network in memory: what waits on it counts as idle in a synctest bubble, so that
// minutes pass at once.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble runs a test against a handler with virtual time.
func bubble(t *testing.T, tune func(*Options), h http.HandlerFunc, test func(t *testing.T, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := &http.Server{Handler: h}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = srv.Serve(p) // always ErrServerClosed
		}()
		rt := newTransport(Options{MaxConns: 8}, endpoint{})
		rt.DialContext = p.dial
		o := Options{Endpoint: "http://cos.ap-guangzhou.myqcloud.com", Bucket: testBucket, HTTPTransport: rt, Attempts: 1}
		if tune != nil {
			tune(&o)
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
		<-time.After(2 * time.Hour) // handlers that nobody interrupts end by their own timers
	})
}

func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func TestStalls(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	readAndHang := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hang(w, r)
	}
	big := strings.Repeat("x", 8<<20)
	for _, tt := range []struct {
		name  string
		h     http.HandlerFunc
		call  func(c *Client) error
		after time.Duration
		doubt bool
	}{
		{"no answer to a read", hang, func(c *Client) error {
			_, err := c.Head(context.Background(), "k", nil)
			return err
		}, 2 * time.Minute, false},
		{"no answer to a put", readAndHang, func(c *Client) error { _, err := putString(c, "k", "body", nil); return err }, 2 * time.Minute, true},
		{"body not taken", func(http.ResponseWriter, *http.Request) { <-time.After(time.Hour) }, func(c *Client) error { _, err := putString(c, "k", big, nil); return err }, 30 * time.Second, false},
		{"no answer to a copy", hang, func(c *Client) error {
			_, err := c.Copy(context.Background(), "k", &CopyOptions{Source: Source{Key: "s"}})
			return err
		}, 10 * time.Minute, true},
		{"answer's body stops", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<ListBucketResult>")
			w.(http.Flusher).Flush()
			hang(w, r)
		}, func(c *Client) error { _, err := c.List(context.Background(), nil); return err }, 30 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, tt.h, func(t *testing.T, c *Client) {
				var err error
				d := took(func() { err = tt.call(c) })
				if !errors.Is(err, ErrStalled) || errors.Is(err, ErrUnknownOutcome) != tt.doubt {
					t.Errorf("error = %v, want ErrStalled, doubt %v", err, tt.doubt)
				}
				if d != tt.after {
					t.Errorf("ended after %v, want %v", d, tt.after)
				}
			})
		})
	}
}

// slowBody gives a byte now and then.
type slowBody struct{ every time.Duration }

func (s slowBody) ReadAt(p []byte, _ int64) (int, error) {
	<-time.After(s.every)
	p[0] = 'x'
	return 1, nil
}

func TestSlowIsNotStalled(t *testing.T) {
	t.Run("sending", func(t *testing.T) {
		bubble(t, nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(200)
		}, func(t *testing.T, c *Client) {
			var err error
			d := took(func() { _, err = c.Put(context.Background(), "k", slowBody{20 * time.Second}, 300, nil) })
			if err != nil || d < time.Hour {
				t.Errorf("put = %v after %v", err, d)
			}
		})
	})
	t.Run("reading", func(t *testing.T) {
		bubble(t, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "200")
			for range 200 {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				<-time.After(25 * time.Second)
			}
		}, func(t *testing.T, c *Client) {
			g, err := c.Get(context.Background(), "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(g.Body)
			if len(b) != 200 || err != nil {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
			g.Body.Close()
		})
	})
	t.Run("caller takes his time", func(t *testing.T) {
		bubble(t, nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(1<<20))
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		},
			func(t *testing.T, c *Client) {
				g, err := c.Get(context.Background(), "k", nil)
				if err != nil {
					t.Fatal(err)
				}
				for range 4 {
					<-time.After(time.Hour)
					if _, err := io.ReadFull(g.Body, make([]byte, 1<<18)); err != nil {
						t.Fatal(err)
					}
				}
				g.Body.Close()
			})
	})
	t.Run("merging", func(t *testing.T) {
		bubble(t, nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for range 40 {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				<-time.After(time.Minute)
			}
			_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
		}, func(t *testing.T, c *Client) {
			if _, err := c.CompleteMultipart(context.Background(), "k", "u", twoParts, nil); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestGetStalls(t *testing.T) {
	bubble(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "0123")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, c *Client) {
		g, err := c.Get(context.Background(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(g.Body)
		if string(b) != "0123" || !errors.Is(err, ErrStalled) {
			t.Errorf("read %q, %v, want ErrStalled", b, err)
		}
		g.Body.Close()
	})
}

func TestBackOff(t *testing.T) {
	var at []time.Time
	var mu sync.Mutex
	bubble(t, func(o *Options) { o.Attempts = 8; o.BaseDelay = time.Second; o.MaxDelay = 10 * time.Second },
		func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
			w.WriteHeader(500)
		}, func(t *testing.T, c *Client) {
			if _, err := c.Head(context.Background(), "k", nil); !errors.Is(err, ErrServer) {
				t.Errorf("error = %v, want ErrServer", err)
			}
			if len(at) != 8 {
				t.Fatalf("%d attempts, want 8", len(at))
			}
			ceiling := time.Second
			for i := 1; i < len(at); i++ {
				if d := at[i].Sub(at[i-1]); d <= 0 || d > ceiling {
					t.Errorf("delay %d is %v, want at most %v", i, d, ceiling)
				}
				ceiling = min(2*ceiling, 10*time.Second)
			}
		})
}

func TestRetryAfter(t *testing.T) {
	n := 0
	bubble(t, func(o *Options) { o.Attempts = 2; o.BaseDelay, o.MaxDelay = 1, 20*time.Second },
		func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 1 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(503)
				return
			}
			w.Header().Set("Content-Length", "0")
		}, func(t *testing.T, c *Client) {
			var err error
			if d := took(func() { _, err = c.Head(context.Background(), "k", nil) }); err != nil || d != 7*time.Second {
				t.Errorf("head = %v after %v, want success after 7s", err, d)
			}
		})
}
