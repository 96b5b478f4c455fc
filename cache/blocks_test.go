package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConcurrentReadersShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(100 * kib)
		s.latency = 10 * time.Millisecond
		b := newTestBlocks(t, BlocksOptions{})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				r := b.Open(s.id(), s.fetch)
				defer r.Close()
				mustRead(t, r, s, 1000, 5000)
			})
		}
		wg.Wait()
		if fetches, _ := s.counts(); fetches != 1 {
			t.Errorf("%d fetches, want 1", fetches)
		}
		b.Close()
	})
}

func TestReadsWakeAsBytesLand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(4 * mib)
		s.perByte = time.Microsecond // a MiB a second
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { mustRead(t, r, s, 0, 4*mib) }) // one fetch of everything
		synctest.Wait()
		mustRead(t, r, s, 256*kib, 4*kib)
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("the third block came after %v, when more than the blocks before it had landed", d)
		}
		wg.Wait()
		if fetches, _ := s.counts(); fetches != 1 {
			t.Errorf("%d fetches, want 1", fetches)
		}
		r.Close()
		b.Close()
	})
}

func TestWaiterLeavesAndFetchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(100 * kib)
		s.latency = time.Second
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.ReadAt(ctx, make([]byte, 10), 0); !errors.Is(err, context.Canceled) {
				t.Errorf("the cancelled read returned %v", err)
			}
		})
		wg.Go(func() { mustRead(t, r, s, 0, 10) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if fetches, _ := s.counts(); fetches != 1 {
			t.Errorf("%d fetches, want 1: the one under way serves who is left", fetches)
		}
		r.Close()
		b.Close()
	})
}

func TestFetchEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(100 * kib)
		s.latency = time.Hour
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.ReadAt(ctx, make([]byte, 10), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		synctest.Wait()
		if s.active != 0 {
			t.Error("the fetch goes on though nobody waits")
		}
		s.latency = 0
		mustRead(t, r, s, 0, 10) // a later read does not join the one that was ended
		r.Close()
		b.Close()
	})
}

func TestCloseEndsReadAheadAndReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(64 * mib)
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		mustRead(t, r, s, 0, 1*mib)
		mustRead(t, r, s, 1*mib, 1*mib)
		synctest.Wait()
		s.latency = time.Hour
		mustRead(t, r, s, 2*mib, 1*mib) // landed before; what is ahead of it will not arrive
		synctest.Wait()
		if s.active == 0 || b.Stats().HeldBytes == 0 {
			t.Fatal("nothing is read ahead")
		}
		r.Close()
		synctest.Wait()
		if s.active != 0 || b.Stats().HeldBytes != 0 {
			t.Errorf("after Reader.Close %d fetches go on, %d bytes are held", s.active, b.Stats().HeldBytes)
		}
		if _, err := r.ReadAt(context.Background(), make([]byte, 1), 0); !errors.Is(err, ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		r = b.Open(s.id(), s.fetch)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.ReadAt(context.Background(), make([]byte, 1), 40*mib); !errors.Is(err, ErrClosed) {
				t.Errorf("read during Blocks.Close: %v", err)
			}
		})
		synctest.Wait()
		b.Close()
		wg.Wait()
	})
}

func TestFetchErrorIsReturnedAndNotKept(t *testing.T) {
	s := newSource(300 * kib)
	b := newTestBlocks(t, BlocksOptions{})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	s.fault = func(n int) error {
		if n == 1 {
			return errInjected
		}
		return nil
	}
	if n, err := r.ReadAt(context.Background(), make([]byte, 10), 0); err != errInjected || n != 0 {
		t.Errorf("got %d, %v, want the fetch's own error", n, err)
	}
	mustRead(t, r, s, 0, 10)
}

func TestBodyOfWrongLengthFails(t *testing.T) {
	for _, extra := range []int{-1, 1} {
		s := newSource(300 * kib)
		s.extra = extra
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		if _, err := r.ReadAt(context.Background(), make([]byte, 10), 0); !errors.Is(err, ErrBodyLength) {
			t.Errorf("%+d bytes: got %v", extra, err)
		}
		s.extra = 0
		mustRead(t, r, s, 0, 10)
		r.Close()
	}
}

func TestBrokenBodyResumesWhereItEnded(t *testing.T) {
	s := newSource(300 * kib)
	s.breakAt = 70 * kib
	b := newTestBlocks(t, BlocksOptions{Resume: func(err error) bool { return errors.Is(err, errInjected) }})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, 300*kib)
	if fetches, read := s.counts(); fetches != 5 || read != 300*kib {
		t.Errorf("%d fetches of %d bytes, want 5 of %d", fetches, read, 300*kib)
	}
}

func TestBrokenBodyFailsWithoutResume(t *testing.T) {
	s := newSource(300 * kib)
	s.breakAt = 200 * kib
	b := newTestBlocks(t, BlocksOptions{})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	n, err := r.ReadAt(context.Background(), make([]byte, 300*kib), 0)
	if err != errInjected || int64(n) != 128*kib {
		t.Errorf("got %d, %v: want the first block and the body's error", n, err)
	}
}

func TestReadAtEdges(t *testing.T) {
	s := newSource(200 * kib)
	b := newTestBlocks(t, BlocksOptions{})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	empty := b.Open(ObjectID{Key: "empty"}, s.fetch)
	defer empty.Close()
	for _, tc := range []struct {
		name string
		r    *Reader
		off  int64
		len  int
		n    int
		err  error
	}{
		{"over the end", r, 200*kib - 5, 10, 5, io.EOF},
		{"up to the end", r, 200*kib - 10, 10, 10, nil},
		{"at the end", r, 200 * kib, 10, 0, io.EOF},
		{"behind the end", r, 300 * kib, 10, 0, io.EOF},
		{"nothing", r, 5, 0, 0, nil},
		{"empty object", empty, 0, 10, 0, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := make([]byte, tc.len)
			n, err := tc.r.ReadAt(context.Background(), p, tc.off)
			if n != tc.n || err != tc.err {
				t.Errorf("got %d, %v, want %d, %v", n, err, tc.n, tc.err)
			}
			if n > 0 && !bytes.Equal(p[:n], s.data[tc.off:tc.off+int64(n)]) {
				t.Error("wrong bytes")
			}
		})
	}
	if _, err := r.ReadAt(context.Background(), make([]byte, 1), -1); err == nil {
		t.Error("a negative offset was accepted")
	}
}

func TestSeedSparesTheFetch(t *testing.T) {
	s := newSource(1 * mib)
	b := newTestBlocks(t, BlocksOptions{})
	b.Seed(s.id(), bytes.NewReader(s.data))
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, 1*mib)
	if fetches, _ := s.counts(); fetches != 0 {
		t.Errorf("%d fetches of what was seeded", fetches)
	}
	other := s.id()
	other.ETag = "f"
	r2 := b.Open(other, s.fetch)
	defer r2.Close()
	mustRead(t, r2, s, 0, 1)
	if fetches, _ := s.counts(); fetches != 1 {
		t.Errorf("%d fetches for another version, want 1", fetches)
	}
}

func TestDropForgetsEveryVersion(t *testing.T) {
	s := newSource(1 * mib)
	b := newTestBlocks(t, BlocksOptions{})
	other := s.id()
	other.ETag = "f"
	for _, id := range []ObjectID{s.id(), other} {
		b.Seed(id, bytes.NewReader(s.data))
	}
	b.Drop("k")
	b.cache.Wait()
	b.mu.Lock()
	objects, versions, cached := len(b.objects), len(b.versions), b.stats.CachedBytes
	b.mu.Unlock()
	if objects != 0 || versions != 0 || cached != 0 {
		t.Errorf("after Drop: %d objects, %d keys, %d bytes", objects, versions, cached)
	}
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, 10)
	if fetches, _ := s.counts(); fetches != 1 {
		t.Errorf("%d fetches after Drop, want 1", fetches)
	}
}

func TestDropDuringFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(100 * kib)
		s.latency = time.Second
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		var wg sync.WaitGroup
		wg.Go(func() { mustRead(t, r, s, 0, 100*kib) })
		synctest.Wait()
		b.Drop("k")
		wg.Wait()
		mustRead(t, r, s, 0, 100*kib)
		if fetches, _ := s.counts(); fetches != 2 {
			t.Errorf("%d fetches, want 2: what a fetch under way at Drop yields is not kept", fetches)
		}
		r.Close()
		b.Close()
	})
}

func TestMemoryStaysInBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 4 * mib
		s := newSource(8 * mib)
		s.perByte = time.Nanosecond
		b := newTestBlocks(t, BlocksOptions{MemoryBytes: budget, BlockBytes: 64 * kib})
		stop := make(chan struct{})
		var most int64
		var watch, wg sync.WaitGroup
		watch.Go(func() {
			for {
				st := b.Stats()
				most = max(most, st.HeldBytes)
				select {
				case <-stop:
					return
				case <-time.After(time.Microsecond * 50):
				}
			}
		})
		for i := range 16 {
			wg.Go(func() {
				id := s.id()
				id.Key += string(rune('a' + i))
				r := b.Open(id, s.fetch)
				defer r.Close()
				for off := int64(0); off < 2*mib; off += 128 * kib {
					mustRead(t, r, s, off, 128*kib)
				}
			})
		}
		wg.Wait()
		close(stop)
		watch.Wait()
		synctest.Wait() // for what was fetched ahead of the last reads
		b.cache.Wait()
		if most > budget*3/8 || most == 0 {
			t.Errorf("%d bytes were held at once, want at most %d", most, budget*3/8)
		}
		st := b.Stats()
		if st.HeldBytes != 0 || st.CachedBytes > budget*5/8 {
			t.Errorf("at the end: %+v", st)
		}
		if s.most > 16 {
			t.Errorf("%d fetches at once, want at most 16", s.most)
		}
		b.Close()
	})
}

func TestOptionsThatCannotWork(t *testing.T) {
	for _, o := range []BlocksOptions{
		{BlockBytes: -1}, {FetchBytes: -1}, {Connections: -1}, {MemoryBytes: 100},
	} {
		if b, err := NewBlocks(context.Background(), o); err == nil {
			b.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}
