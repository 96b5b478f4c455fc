package cache

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// flushDisk waits until what is queued is on disk.
func flushDisk(b *Blocks) { b.TrimDisk(1 << 60) }

// segmentPaths returns the files that the disk cache keeps blocks in.
func segmentPaths(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.blocks"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// fillDisk reads the source through a cache in dir and closes it.
func fillDisk(t *testing.T, dir string, s *source) {
	t.Helper()
	b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
	r := b.Open(s.id(), s.fetch)
	for off := int64(0); off < int64(len(s.data)); off += mib {
		mustRead(t, r, s, off, min(mib, int64(len(s.data))-off))
		flushDisk(b) // a queue that is full refuses
	}
	r.Close()
	b.Close()
}

func TestDiskServesAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := newSource(10*mib + 777)
		fillDisk(t, dir, s)
		before, _ := s.counts()
		b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
		r := b.Open(s.id(), s.fetch)
		for _, size := range []int64{mib, 4 * kib} {
			for off := int64(0); off < int64(len(s.data)); off += size {
				mustRead(t, r, s, off, min(size, int64(len(s.data))-off))
			}
		}
		if after, _ := s.counts(); after != before {
			t.Errorf("%d fetches of what is on disk", after-before)
		}
		if u := b.DiskUsage(); !u.Enabled || u.Blocks != 81 || u.Objects != 1 || u.Hits != 81 || u.Bytes < 10*mib {
			t.Errorf("usage %+v", u)
		}
		b.TrimDisk(0)
		if u := b.DiskUsage(); u.Blocks != 0 || u.Bytes != 0 || u.Evictions != 81 {
			t.Errorf("usage after trimming %+v", u)
		}
		r.Close()
		b.Close()
	})
}

// TestDamagedDiskIsFetchedAgain flips a byte in each 1000 of the files.
func TestDamagedDiskIsFetchedAgain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(p []byte) []byte
		refill int64 // bytes that must be fetched again, at least
	}{
		{"flipped everywhere", func(p []byte) []byte {
			for i := 500; i < len(p); i += 1000 {
				p[i] ^= 0x40
			}
			return p
		}, 5 * mib},
		{"one block", func(p []byte) []byte { p[len(p)/2] ^= 1; return p }, 128 * kib},
		{"truncated", func(p []byte) []byte { return p[:len(p)/2] }, 2 * mib},
		{"shifted", func(p []byte) []byte { return append([]byte{0}, p...) }, 5 * mib},
		{"empty", func([]byte) []byte { return nil }, 5 * mib},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := newSource(5 * mib)
			fillDisk(t, dir, s)
			_, before := s.counts()
			for _, path := range segmentPaths(t, dir) {
				p, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, tc.damage(p), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // what was fetched again is right on disk, too
				b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
				r := b.Open(s.id(), s.fetch)
				mustRead(t, r, s, 0, 5*mib)
				flushDisk(b)
				r.Close()
				b.Close()
			}
			_, after := s.counts()
			if n := after - before; n < tc.refill || n > 5*mib {
				t.Errorf("%d bytes were fetched again, want at least %d and once", n, tc.refill)
			}
		})
	}
}

func TestDropAndNewVersionsForgetOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := newSource(mib)
	next := s.id()
	next.ETag = "next"
	for _, tc := range []struct {
		name   string
		forget func(b *Blocks)
	}{
		{"drop", func(b *Blocks) { b.Drop("k") }},
		{"new version", func(b *Blocks) { b.Open(next, s.fetch).Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fillDisk(t, dir, s)
			b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
			if u := b.DiskUsage(); u.Blocks != 8 {
				t.Errorf("usage %+v before, want 8 blocks", u)
			}
			tc.forget(b)
			if u := b.DiskUsage(); u.Blocks != 0 {
				t.Errorf("usage %+v after, want no block", u)
			}
			b.Close()
			b = newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
			if u := b.DiskUsage(); u.Blocks != 0 {
				t.Errorf("usage %+v after a restart, want no block", u)
			}
			b.Close()
		})
	}
}

func TestDropDuringFetchLeavesNothingOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(100 * kib)
		s.latency = time.Second
		b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: t.TempDir()}})
		r := b.Open(s.id(), s.fetch)
		var wg sync.WaitGroup
		wg.Go(func() { mustRead(t, r, s, 0, 100*kib) })
		synctest.Wait()
		b.Drop("k")
		wg.Wait()
		flushDisk(b)
		if u := b.DiskUsage(); u.Blocks != 0 {
			t.Errorf("usage %+v, want no block", u)
		}
		r.Close()
		b.Close()
	})
}

// TestOldHandleDoesNotDisplaceTheNewVersion reads an old version after a new one was opened.
func TestOldHandleDoesNotDisplaceTheNewVersion(t *testing.T) {
	s := newSource(2 * mib)
	next := s.id()
	next.ETag = "next"
	b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: t.TempDir()}})
	old := b.Open(s.id(), s.fetch)
	defer old.Close()
	r := b.Open(next, s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, mib)
	mustRead(t, old, s, 0, 2*mib)
	flushDisk(b)
	if u := b.DiskUsage(); u.Blocks != 8 {
		t.Errorf("usage %+v, want the new version's 8 blocks", u)
	}
}

func TestSeedReachesTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := newSource(mib)
	b := newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
	b.Seed(s.id(), bytes.NewReader(s.data))
	b.Close()
	b = newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, mib)
	if fetches, _ := s.counts(); fetches != 0 {
		t.Errorf("%d fetches of what was seeded", fetches)
	}
}

func TestDiskReadsNeedNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := newSource(mib)
		fillDisk(t, dir, s)
		b := newTestBlocks(t, BlocksOptions{Connections: 1, Disk: &DiskOptions{Dir: dir}})
		slow := newSource(2 * mib)
		slow.latency = time.Hour
		other := slow.id()
		other.Key = "slow"
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for i := range int64(3) { // one has the connection, two queue
			wg.Go(func() {
				r := b.Open(other, slow.fetch)
				defer r.Close()
				if _, err := r.ReadAt(ctx, make([]byte, 1), i*512*kib); !errors.Is(err, context.Canceled) {
					t.Errorf("the slow read: %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		r := b.Open(s.id(), s.fetch)
		mustRead(t, r, s, 0, mib)
		if d := time.Since(start); d != 0 {
			t.Errorf("reading from disk took %v: it waited for a connection", d)
		}
		cancel()
		wg.Wait()
		r.Close()
		b.Close()
	})
}

func TestFailingDiskFailsNoRead(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	var fault error
	b := newTestBlocks(t, BlocksOptions{MemoryBytes: mib, Disk: &DiskOptions{
		Dir:    t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		FreeBytes: func(string) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			return 1 << 40, fault
		},
	}})
	s := newSource(4 * mib)
	r := b.Open(s.id(), s.fetch)
	defer r.Close()
	mustRead(t, r, s, 0, mib)
	flushDisk(b)
	if u := b.DiskUsage(); !u.Enabled || u.Blocks == 0 {
		t.Errorf("usage %+v before the disk fails", u)
	}
	mu.Lock()
	fault = syscall.EIO
	mu.Unlock()
	for range 3 {
		mustRead(t, r, s, 0, 4*mib)
		flushDisk(b)
	}
	if b.DiskUsage().Enabled {
		t.Error("the disk is in use after an I/O error")
	}
	b.Close()
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors logged, want 1: %s", n, log.String())
	}
}

func TestDiskThatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewBlocks(context.Background(), BlocksOptions{Disk: &DiskOptions{Dir: dir}}); !errors.Is(err, ErrDiskFormat) {
		t.Errorf("a directory of something else: %v", err)
	}
	dir = t.TempDir()
	newTestBlocks(t, BlocksOptions{Disk: &DiskOptions{Dir: dir}})
	if _, err := NewBlocks(context.Background(), BlocksOptions{Disk: &DiskOptions{Dir: dir}}); !errors.Is(err, ErrDiskLocked) {
		t.Errorf("a directory in use: %v", err)
	}
}
