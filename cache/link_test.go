package cache

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// readSequentially reads n bytes in pieces of 128 KiB, pausing before each. It returns the time that
// all of it took and that the second half took, when the window has its size, and the most that was
// held in it.
func readSequentially(t *testing.T, b *Blocks, s *source, n int64, pause time.Duration) (all, half time.Duration, held int64) {
	t.Helper()
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	start := time.Now()
	middle := start
	for off := int64(0); off < n; off += 128 * kib {
		if off == n/2 {
			middle = time.Now()
		}
		if err := sleep(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		mustRead(t, r, s, off, 128*kib)
		if off > n/2 {
			held = max(held, b.Stats().HeldBytes)
		}
	}
	return time.Since(start), time.Since(middle), held
}

// TestSequentialReadFillsTheLink reads at 15 ms a request through one wire of 100 MB/s, and through
// connections of 100 MB/s each.
func TestSequentialReadFillsTheLink(t *testing.T) {
	const (
		size    = 256 * mib
		latency = 15 * time.Millisecond
		perByte = 10 * time.Nanosecond
	)
	t.Run("one wire", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource(size)
			s.latency, s.wire = latency, &wire{perByte: perByte}
			b := newTestBlocks(t, BlocksOptions{})
			took, _, held := readSequentially(t, b, s, size, 0)
			if ideal := latency + time.Duration(size)*perByte; took > ideal*100/85 {
				t.Errorf("it took %v, the wire alone %v", took, ideal)
			}
			if held > 8*mib {
				t.Errorf("%d bytes are held, where 3 MiB are on their way", held)
			}
			if fetches, read := s.counts(); read != size || int64(fetches) > size/mib+10 {
				t.Errorf("%d fetches of %d bytes", fetches, read)
			}
			b.Close()
		})
	})
	t.Run("each connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource(size)
			s.latency, s.perByte = latency, perByte
			b := newTestBlocks(t, BlocksOptions{})
			_, took, _ := readSequentially(t, b, s, size, 0)
			const conns, fetch = 12, 32 * mib / 12 // what read-ahead may use, and the share of each
			ideal := (latency + time.Duration(fetch)*perByte) * time.Duration(size/2/fetch) / conns
			if took > ideal*100/85 {
				t.Errorf("the second half took %v, the connections alone %v", took, ideal)
			}
			b.Close()
		})
	})
}

// TestWindowFitsTheReader reads slowly: what is fetched long before it is needed only takes memory.
func TestWindowFitsTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(64 * mib)
		s.latency, s.perByte = 15*time.Millisecond, 10*time.Nanosecond
		b := newTestBlocks(t, BlocksOptions{})
		took, _, held := readSequentially(t, b, s, 64*mib, 20*time.Millisecond)
		if paused := 512 * 20 * time.Millisecond; took > paused+100*time.Millisecond {
			t.Errorf("it took %v, of which the reader paused %v", took, paused)
		}
		if held > minWindow+mib {
			t.Errorf("%d bytes are held for a reader that takes 6 MB a second", held)
		}
		if fetches, _ := s.counts(); fetches > 64+10 {
			t.Errorf("%d fetches for 64 MiB", fetches)
		}
		b.Close()
	})
}

func TestRandomReadsTakeOneRoundTripEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(128 * mib)
		s.latency, s.wire = 15*time.Millisecond, &wire{perByte: 10 * time.Nanosecond}
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		rng := rand.New(rand.NewPCG(1, 2))
		const reads = 256
		start := time.Now()
		for range reads {
			mustRead(t, r, s, rng.Int64N(int64(len(s.data))/(4*kib))*4*kib, 4*kib)
		}
		took := time.Since(start)
		fetches, read := s.counts()
		if fetches > reads || read > int64(fetches)*128*kib {
			t.Errorf("%d fetches of %d bytes for %d reads", fetches, read, reads)
		}
		if most := reads * (15*time.Millisecond + 128*1024*10*time.Nanosecond); took > most {
			t.Errorf("it took %v, want at most %v", took, most)
		}
		r.Close()
		b.Close()
	})
}

func TestLinkKeepsTheBest(t *testing.T) {
	var l link
	if l.fetchTime(mib) != 0 {
		t.Error("an unknown link has a time")
	}
	l.observe(15*time.Millisecond, 0, 0)
	if d := l.fetchTime(mib); d != 15*time.Millisecond {
		t.Errorf("without a rate %v, want the latency", d)
	}
	l.observe(20*time.Millisecond, 100_000_000, time.Second)
	l.observe(40*time.Millisecond, 50_000_000, time.Second)
	if l.latency < 15*time.Millisecond || l.latency > 16*time.Millisecond || l.rate < 99_000_000 || l.rate > 100_000_000 {
		t.Errorf("%+v, want about the best of each", l)
	}
	for range 10000 {
		l.observe(40*time.Millisecond, 50_000_000, time.Second)
	}
	if l.latency < 39*time.Millisecond || l.rate > 51_000_000 {
		t.Errorf("%+v: a link that got worse for good is not noticed", l)
	}
}
