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
			if held > 33*mib {
				t.Errorf("%d bytes are held: a larger window was of no use", held)
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

// TestLateBytesTellNoRate has all bytes of a fetch arrive together and late, as they do for a busy process:
// that they are read at once does not mean that the link is fast.
func TestLateBytesTellNoRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 256 * mib
		s := newSource(size)
		s.latency, s.late, s.perByte = 15*time.Millisecond, 100*time.Nanosecond, time.Nanosecond
		b := newTestBlocks(t, BlocksOptions{})
		_, took, _ := readSequentially(t, b, s, size, 0)
		const conns = 12 // that read-ahead may use
		if ideal := time.Duration(size/2) * s.late / conns; took > ideal*100/75 {
			t.Errorf("the second half took %v, the connections alone %v", took, ideal)
		}
		b.Close()
	})
}

func TestWindowFollowsWhatIsOfUse(t *testing.T) {
	tests := []struct {
		name  string
		rate  func(window int64) int64 // bytes a second
		took  func(window int64) float64
		least int64
		most  int64
	}{
		{"more connections carry more", func(w int64) int64 { return w * 20 }, func(int64) float64 { return 0.05 }, 64 * mib, 64 * mib},
		{"one wire", func(int64) int64 { return 100e6 }, func(w int64) float64 { return float64(w) / 100e6 }, 16 * mib, 32 * mib},
		{"a slow reader", func(int64) int64 { return 1e6 }, func(int64) float64 { return 0.05 }, minWindow, 2 * minWindow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &stream{}
			for i := range 100 {
				w := int64(firstWindow)
				if s.most > 0 {
					w = s.most
				}
				rate := tt.rate(w)
				s.adapt(rate, int64(2*float64(rate)*tt.took(w)), 64*mib)
				if i > 20 && (s.most < tt.least || s.most > tt.most) {
					t.Fatalf("after %d measurements the window is %d, want %d to %d", i+1, s.most, tt.least, tt.most)
				}
			}
		})
	}
}

func TestLinkIsAnAverage(t *testing.T) {
	var l link
	l.observe(time.Second, minTimed-1)
	if l.took != 0 {
		t.Error("a small fetch counts")
	}
	l.observe(20*time.Millisecond, mib)
	if l.took != 20*time.Millisecond {
		t.Errorf("after one fetch of 20 ms: %v", l.took)
	}
	for range 100 {
		l.observe(100*time.Millisecond, mib)
	}
	if l.took < 99*time.Millisecond {
		t.Errorf("%v: a link that got worse for good is not noticed", l.took)
	}
}
