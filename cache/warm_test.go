package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWarmFillsTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := newSource(30*mib + 5)
		s.perByte = time.Nanosecond
		disk := &DiskOptions{Dir: dir}
		b := newTestBlocks(t, BlocksOptions{MemoryBytes: 16 * mib, Disk: disk}) // a queue of 512 KiB
		r := b.Open(s.id(), s.fetch)
		mustRead(t, r, s, 8*mib, 4*mib)
		r.Close()
		flushDisk(b)
		var calls int
		last := int64(0)
		err := b.Warm(context.Background(), s.id(), s.fetch, func(done, total int64) {
			calls++
			if done <= last || total != 30*mib+5 {
				t.Errorf("progress says %d of %d after %d", done, total, last)
			}
			last = done
		})
		if err != nil || last != 30*mib+5 || calls < 8 {
			t.Errorf("warm: %v, %d bytes in %d calls", err, last, calls)
		}
		if _, read := s.counts(); read > 31*mib {
			t.Errorf("%d bytes were fetched: some twice", read)
		}
		b.Close()
		before, _ := s.counts()
		b = newTestBlocks(t, BlocksOptions{Disk: disk})
		r = b.Open(s.id(), s.fetch)
		for off := int64(0); off < 30*mib; off += mib {
			mustRead(t, r, s, off, mib)
		}
		if err := b.Warm(context.Background(), s.id(), s.fetch, nil); err != nil {
			t.Error(err)
		}
		if after, _ := s.counts(); after != before {
			t.Errorf("%d fetches after warming", after-before)
		}
		r.Close()
		b.Close()
	})
}

func TestWarmWithoutDisk(t *testing.T) {
	s := newSource(3 * mib)
	b := newTestBlocks(t, BlocksOptions{})
	if err := b.Warm(context.Background(), s.id(), s.fetch, nil); err != nil {
		t.Fatal(err)
	}
	before, _ := s.counts()
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, 3*mib)
	if after, _ := s.counts(); after != before {
		t.Errorf("%d fetches after warming", after-before)
	}
	empty := ObjectID{Key: "empty"}
	if err := b.Warm(context.Background(), empty, s.fetch, nil); err != nil {
		t.Errorf("an empty object: %v", err)
	}
}

func TestWarmEndsWithTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(60 * mib)
		s.latency = time.Second
		s.fault = func(n int) error {
			if n == 6 {
				return errInjected
			}
			return nil
		}
		b := newTestBlocks(t, BlocksOptions{FetchBytes: mib})
		if err := b.Warm(context.Background(), s.id(), s.fetch, nil); err != errInjected {
			t.Errorf("got %v, want the fetch's error", err)
		}
		if fetches, _ := s.counts(); fetches > 12 { // the sixth fails while others may begin the next
			t.Errorf("%d fetches of 60: it went on after the error", fetches)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := b.Warm(ctx, s.id(), s.fetch, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("it went on for %v", d)
		}
		b.Close()
	})
}
