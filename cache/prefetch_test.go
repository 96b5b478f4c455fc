package cache

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// smallFiles returns n sources of one directory.
func smallFiles(n int, size int64) []*source {
	all := make([]*source, n)
	for i := range all {
		all[i] = newSource(size + int64(i))
		all[i].latency = 15 * time.Millisecond
	}
	return all
}

func fileID(s *source, i int) ObjectID {
	id := s.id()
	id.Key = fmt.Sprintf("dir/%03d", i)
	return id
}

// TestPrefetchAcrossFiles reads small files in order, as tar does, and has the next ones fetched.
func TestPrefetchAcrossFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBlocks(t, BlocksOptions{})
		const ahead = 8
		all := smallFiles(100, 30*kib)
		start := time.Now()
		for i, s := range all {
			for j := i + 1; j <= min(i+ahead, len(all)-1); j++ {
				if !b.Prefetch(fileID(all[j], j), all[j].fetch) {
					t.Fatalf("prefetch of file %d was refused", j)
				}
			}
			r := b.Open(fileID(s, i), s.fetch)
			mustRead(t, r, s, 0, int64(len(s.data)))
			r.Close()
			if fetches, _ := s.counts(); fetches != 1 {
				t.Errorf("file %d: %d fetches, want 1", i, fetches)
			}
		}
		if d := time.Since(start); d > 15*time.Millisecond*100/ahead+30*time.Millisecond {
			t.Errorf("it took %v, one round trip per file is 1.5 s", d)
		}
		if st := b.Stats(); st.HeldBytes != 0 || st.AheadWasteBytes != 0 || st.AheadUsedBytes == 0 {
			t.Errorf("stats %+v", st)
		}
		b.Close()
	})
}

func TestPrefetchIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBlocks(t, BlocksOptions{MemoryBytes: 16 * mib, Connections: 8})
		defer b.Close()
		big := newSource(mib)
		if b.Prefetch(fileID(big, 0), big.fetch) {
			t.Error("an object of a quarter of the memory was taken")
		}
		taken := 0
		all := smallFiles(40, 400*kib)
		for i, s := range all {
			if b.Prefetch(fileID(s, i), s.fetch) {
				taken++
			}
		}
		if taken != 6 {
			t.Errorf("%d objects are being fetched by 8 connections, of which reads keep 2", taken)
		}
		synctest.Wait()
		if err := sleep(t.Context(), 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for i, s := range all {
			if b.Prefetch(fileID(s, i), s.fetch) {
				taken++
			}
		}
		if held := b.Stats().HeldBytes; held > 9*mib/2 || held < mib {
			t.Errorf("%d bytes are held, want at most three quarters of 6 MiB", held)
		}
		// All of it gives way, to other read-ahead as well.
		if err := sleep(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		last := all[39]
		if !b.Prefetch(ObjectID{Key: "another", ETag: "e", Size: int64(len(last.data))}, last.fetch) {
			t.Error("what nobody read for two seconds keeps the memory")
		}
	})
}

func TestPrefetchIsSharedWithReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(300 * kib)
		s.latency = 15 * time.Millisecond
		b := newTestBlocks(t, BlocksOptions{})
		for range 3 {
			if !b.Prefetch(s.id(), s.fetch) {
				t.Error("prefetch was refused")
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				r := b.Open(s.id(), s.fetch)
				defer r.Close()
				mustRead(t, r, s, 0, 300*kib)
			})
		}
		wg.Wait()
		if !b.Prefetch(s.id(), s.fetch) {
			t.Error("prefetch of what is there was refused")
		}
		if fetches, _ := s.counts(); fetches != 1 {
			t.Errorf("%d fetches, want 1", fetches)
		}
		b.Close()
	})
}

func TestPrefetchThatFailsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(300 * kib)
		s.breakAt = 200 * kib
		b := newTestBlocks(t, BlocksOptions{})
		b.Prefetch(s.id(), s.fetch)
		synctest.Wait()
		if held := b.Stats().HeldBytes; held != 0 {
			t.Errorf("%d bytes are held after the fetch failed", held)
		}
		s.breakAt = 0
		s.latency = time.Hour
		b.Prefetch(s.id(), s.fetch)
		synctest.Wait()
		if s.active != 1 {
			t.Errorf("%d fetches under way, want 1", s.active)
		}
		b.Drop("k")
		synctest.Wait()
		if s.active != 0 || b.Stats().HeldBytes != 0 {
			t.Errorf("after Drop %d fetches go on, %d bytes are held", s.active, b.Stats().HeldBytes)
		}
		b.Prefetch(s.id(), s.fetch)
		b.Close()
		if s.active != 0 || b.Stats().HeldBytes != 0 {
			t.Errorf("after Close %d fetches go on, %d bytes are held", s.active, b.Stats().HeldBytes)
		}
	})
}
