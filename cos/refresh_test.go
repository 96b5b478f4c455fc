package cos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tokens is a source whose credentials live for a while and take a while.
type tokens struct {
	mu    sync.Mutex // guards the fields below
	n     int
	life  time.Duration // 0 = for ever
	takes time.Duration
	down  error
}

func (s *tokens) Credentials(ctx context.Context) (Credentials, error) {
	s.mu.Lock()
	s.n++
	n, life, takes, down := s.n, s.life, s.takes, s.down
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return Credentials{}, ctx.Err()
	}
	if down != nil {
		return Credentials{}, down
	}
	c := Credentials{SecretID: "id", SecretKey: "key", Token: fmt.Sprint("t", n)}
	if life > 0 {
		c.Expires = time.Now().Add(life)
	}
	return c, nil
}

func (s *tokens) asked() int { s.mu.Lock(); defer s.mu.Unlock(); return s.n }

func (s *tokens) set(f func(*tokens)) { s.mu.Lock(); f(s); s.mu.Unlock() }

// tokenOf asks for credentials and returns the token and how long that took.
func tokenOf(t *testing.T, r *Refresher) (string, time.Duration) {
	t.Helper()
	start := time.Now()
	c, err := r.Credentials(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.Token, time.Since(start)
}

func expect(t *testing.T, r *Refresher, want string, takes time.Duration) {
	t.Helper()
	if got, d := tokenOf(t, r); got != want || d != takes {
		t.Errorf("token = %s after %v, want %s after %v", got, d, want, takes)
	}
}

func TestRefresher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		src := &tokens{life: time.Hour, takes: 3 * time.Second}
		r := NewRefresher(src, slog.New(slog.NewTextHandler(&log, nil)), nil)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { expect(t, r, "t1", 3*time.Second) }) // one fetch for all
		}
		wg.Wait()
		<-time.After(49 * time.Minute)
		expect(t, r, "t1", 0)
		synctest.Wait()
		if src.asked() != 1 {
			t.Errorf("source asked %d times, want once", src.n)
		}
		<-time.After(2 * time.Minute) // within ten minutes of the end: renewed aside
		expect(t, r, "t1", 0)
		expect(t, r, "t1", 0)
		<-time.After(4 * time.Second)
		expect(t, r, "t2", 0)

		src.set(func(s *tokens) { s.down = errors.New("unreachable") })
		<-time.After(55 * time.Minute) // the source is down, the token valid: work goes on
		for range 3 {
			expect(t, r, "t2", 0)
			<-time.After(20 * time.Second)
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "credentials not renewed"); n != 3 {
			t.Errorf("%d warnings, want 3:\n%s", n, log.String())
		}
		<-time.After(10 * time.Minute)
		if _, err := r.Credentials(context.Background()); err == nil || err.Error() != "unreachable" {
			t.Errorf("expired and down: %v, want the source's error", err)
		}
		src.set(func(s *tokens) { s.down = nil })
		if got, _ := tokenOf(t, r); got == "t2" {
			t.Error("still the expired token")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRefresherStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &tokens{}
		r := NewRefresher(src, nil, nil)
		defer r.Close()
		expect(t, r, "t1", 0)
		<-time.After(recheckStatic + time.Second) // a file may have been replaced
		expect(t, r, "t1", 0)
		synctest.Wait()
		expect(t, r, "t2", 0)
		src.set(func(s *tokens) { s.down = errors.New("file vanished") })
		<-time.After(24 * time.Hour)
		expect(t, r, "t2", 0)
	})
}

func TestRefresherInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &tokens{life: time.Hour, takes: time.Second}
		r := NewRefresher(src, nil, nil)
		defer r.Close()
		first, err := r.Credentials(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if r.Invalidate(first) {
			t.Error("fetched this moment, and yet another fetch is promised")
		}
		<-time.After(time.Minute)
		for range 2 { // the second finds the fetch under way
			if !r.Invalidate(first) {
				t.Error("refused credentials are not asked for again")
			}
		}
		expect(t, r, "t2", time.Second)
		if !r.Invalidate(first) {
			t.Error("credentials replaced meanwhile are worth another attempt")
		}
		expect(t, r, "t2", 0)
		<-time.After(time.Minute)
		second, _ := r.Credentials(context.Background())
		src.set(func(s *tokens) { s.down = errors.New("unreachable") })
		r.Invalidate(second)
		expect(t, r, "t2", time.Second) // what there is, while it is valid
	})
}

func TestRefresherContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &tokens{takes: time.Hour}
		r := NewRefresher(src, nil, nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.Credentials(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient caller: %v, want DeadlineExceeded", err)
		}
		if _, err := r.Credentials(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("endless source: %v, want DeadlineExceeded", err)
		}
		go func() {
			<-time.After(time.Second)
			r.Close()
		}()
		start := time.Now()
		if _, err := r.Credentials(context.Background()); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("closed while waiting: %v after %v", err, time.Since(start))
		}
		if _, err := r.Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("closed: %v, want ErrBadCredentials", err)
		}
	})
}
