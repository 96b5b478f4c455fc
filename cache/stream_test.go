package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSequentialReadFetchesEachByteOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int64{4 * kib, 128 * kib, 1 * mib} {
			s := newSource(40*mib + 12345)
			b := newTestBlocks(t, BlocksOptions{})
			r := b.Open(s.id(), s.fetch)
			for off := int64(0); off < int64(len(s.data)); off += size {
				mustRead(t, r, s, off, min(size, int64(len(s.data))-off))
			}
			fetches, read := s.counts()
			if read != int64(len(s.data)) {
				t.Errorf("reads of %d: fetched %d bytes of %d", size, read, len(s.data))
			}
			if fetches > 50 {
				t.Errorf("reads of %d: %d fetches, want at most 50", size, fetches)
			}
			for off := int64(0); off < int64(len(s.data)); off += size {
				mustRead(t, r, s, off, min(size, int64(len(s.data))-off))
			}
			if again, _ := s.counts(); again != fetches {
				t.Errorf("reads of %d: the second pass made %d fetches", size, again-fetches)
			}
			st := b.Stats()
			if st.FetchedBytes != read || int(st.Fetches) != fetches || st.AheadWasteBytes != 0 || st.AheadUsedBytes == 0 {
				t.Errorf("stats %+v do not match %d fetches of %d bytes", st, fetches, read)
			}
			r.Close()
			if st := b.Stats(); st.HeldBytes != 0 {
				t.Errorf("%d bytes are held after Close", st.HeldBytes)
			}
		}
	})
}

func TestRandomReadsFetchOneBlockEach(t *testing.T) {
	s := newSource(64 * mib)
	b := newTestBlocks(t, BlocksOptions{})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	const reads = 200
	rng := rand.New(rand.NewPCG(7, 7))
	blocks := make(map[int64]bool)
	for range reads {
		off := rng.Int64N(int64(len(s.data))/(4*kib)) * 4 * kib
		blocks[off/(128*kib)] = true
		mustRead(t, r, s, off, 4*kib)
	}
	fetches, read := s.counts()
	if fetches != len(blocks) || read != int64(len(blocks))*128*kib {
		t.Errorf("%d reads of %d blocks: %d fetches of %d bytes", reads, len(blocks), fetches, read)
	}
}

func TestTwoInterleavedStreamsReadAheadEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(32 * mib)
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		defer r.Close()
		half := int64(len(s.data)) / 2
		for off := int64(0); off < half; off += 128 * kib {
			mustRead(t, r, s, off, 128*kib)
			mustRead(t, r, s, half+off, 128*kib)
		}
		fetches, read := s.counts()
		if read != int64(len(s.data)) {
			t.Errorf("fetched %d bytes of %d", read, len(s.data))
		}
		if fetches > 60 {
			t.Errorf("%d fetches for 256 reads: the streams were not recognised", fetches)
		}
	})
}

// TestReadAheadIsReplacedWhenLost takes from a stream what was read ahead for it, as a short budget
// and a full cache do.
func TestReadAheadIsReplacedWhenLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(16 * mib)
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		for off := int64(0); off < 6*mib; off += 128 * kib {
			mustRead(t, r, s, off, 128*kib)
		}
		synctest.Wait()
		before, _ := s.counts()
		b.mu.Lock()
		b.reclaimLocked(b.gate.maxBytes)
		held := b.gate.maxBytes - b.gate.bytes
		b.mu.Unlock()
		if held != 0 {
			t.Errorf("%d bytes are reserved after all was reclaimed", held)
		}
		b.Drop("k")
		s.latency = 10 * time.Millisecond
		start := time.Now()
		for off := 6 * mib; off < 12*mib; off += 128 * kib {
			mustRead(t, r, s, off, 128*kib)
		}
		if d := time.Since(start); d > 30*time.Millisecond {
			t.Errorf("it took %v: what was lost is not fetched in parallel", d)
		}
		synctest.Wait()
		if after, _ := s.counts(); after-before > 12 {
			t.Errorf("%d fetches for 48 blocks: nothing was read ahead anew", after-before)
		}
		r.Close()
		b.Close()
	})
}

// TestReadAheadFillsTheConnections reads through connections of 100 MB/s with 15 ms a request. One
// alone would take 0.7 s and each block's own fetch 8 s.
func TestReadAheadFillsTheConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(64 * mib)
		s.latency = 15 * time.Millisecond
		s.perByte = 10 * time.Nanosecond
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		start := time.Now()
		for off := int64(0); off < 64*mib; off += 128 * kib {
			mustRead(t, r, s, off, 128*kib)
		}
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("64 MiB took %v", d)
		}
		if fetches, read := s.counts(); fetches > 70 || read != 64*mib {
			t.Errorf("%d fetches of %d bytes", fetches, read)
		}
		if s.most > 12 {
			t.Errorf("%d connections at once: read-ahead left none for other reads", s.most)
		}
		r.Close()
		b.Close()
	})
}

// TestRandomReadsDoNotEndAStream mixes a sequential reader with random reads through one Reader.
func TestRandomReadsDoNotEndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(64 * mib)
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		defer r.Close()
		rng := rand.New(rand.NewPCG(3, 3))
		for i := range int64(128) {
			mustRead(t, r, s, i*128*kib, 128*kib)
			if i < 2 {
				continue // it takes two reads to be recognised
			}
			for range 10 {
				mustRead(t, r, s, 32*mib+rng.Int64N(8*mib/(4*kib))*4*kib, 4*kib)
			}
		}
		fetches, _ := s.counts()
		if most := 64 + 48; fetches > most { // 64 blocks are read at random, and 32 MiB in order and ahead
			t.Errorf("%d fetches, want at most %d", fetches, most)
		}
	})
}

// TestSmallReadsDoNotNeedTheCache takes the block from the cache between the reads, as the cache's
// own policy may.
func TestSmallReadsDoNotNeedTheCache(t *testing.T) {
	s := newSource(1 * mib)
	b := newTestBlocks(t, BlocksOptions{})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	for off := int64(0); off < 60*kib; off += 4 * kib {
		mustRead(t, r, s, off, 4*kib)
		b.Drop("k")
	}
	if fetches, _ := s.counts(); fetches != 1 {
		t.Errorf("%d fetches for reads of one block", fetches)
	}
}

// TestReadOfAForgottenStreamHoldsNothing has more reads under way than streams are remembered.
func TestReadOfAForgottenStreamHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(8 * mib)
		s.latency = time.Second
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		var wg sync.WaitGroup
		for i := range int64(2 * maxStreams) {
			wg.Go(func() { mustRead(t, r, s, i*512*kib, 4*kib) })
		}
		wg.Wait()
		if held := b.Stats().HeldBytes; held > maxStreams*128*kib {
			t.Errorf("%d bytes are held for %d streams", held, maxStreams)
		}
		r.Close()
		if held := b.Stats().HeldBytes; held != 0 {
			t.Errorf("%d bytes are held after Close", held)
		}
		b.Close()
	})
}

func TestIdleStreamGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(8 * mib)
		b := newTestBlocks(t, BlocksOptions{MemoryBytes: 4 * mib, BlockBytes: 16 * kib})
		idle, other := s.id(), s.id()
		other.Key = "other"
		r := b.Open(idle, s.fetch)
		for off := int64(0); off < 2*mib; off += 16 * kib {
			mustRead(t, r, s, off, 16*kib)
		}
		synctest.Wait()
		if held := b.Stats().HeldBytes; held < 512*kib {
			t.Fatalf("the first stream holds %d bytes: the test needs more", held)
		}
		if err := sleep(context.Background(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		before, _ := s.counts()
		r2 := b.Open(other, s.fetch)
		for off := int64(0); off < 2*mib; off += 16 * kib {
			mustRead(t, r2, s, off, 16*kib)
		}
		if after, _ := s.counts(); after-before > 40 {
			t.Errorf("%d fetches for 128 blocks: an idle stream kept the memory", after-before)
		}
		r.Close()
		r2.Close()
		b.Close()
	})
}

func TestShortSeekKeepsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(32 * mib)
		b := newTestBlocks(t, BlocksOptions{})
		r := b.Open(s.id(), s.fetch)
		for off := int64(0); off < 8*mib; off += 128 * kib {
			mustRead(t, r, s, off, 128*kib)
		}
		synctest.Wait()
		before, _ := s.counts()
		s.latency = time.Hour
		start := time.Now()
		mustRead(t, r, s, 9*mib, 128*kib)
		mustRead(t, r, s, 10*mib, 128*kib)
		mustRead(t, r, s, 9*mib+512*kib, 128*kib)
		mustRead(t, r, s, 13*mib, 128*kib)
		if len(r.streams) != 1 {
			t.Errorf("%d streams, want 1", len(r.streams))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("short seeks waited %v for what had been read ahead", d)
		}
		synctest.Wait()
		if after, _ := s.counts(); after == before {
			t.Error("the stream was not continued after the seeks")
		}
		r.Close()
		b.Close()
	})
}
