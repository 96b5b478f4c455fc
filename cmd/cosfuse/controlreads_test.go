package main

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"cosfuse/cache"
	"cosfuse/fs"
)

// fakeReader is a read state that the test sets.
type fakeReader struct {
	disk  cache.DiskUsage
	err   error // of Warm and Refresh
	paths []string
}

func (r *fakeReader) DiskUsage() cache.DiskUsage { return r.disk }
func (r *fakeReader) Stats() cache.BlocksStats {
	return cache.BlocksStats{CachedBytes: 7, HeldBytes: 3, Hits: 2}
}
func (r *fakeReader) TrimDisk(size int64) { r.disk.Bytes = min(r.disk.Bytes, size) }

func (r *fakeReader) Refresh(_ context.Context, path string) error {
	r.paths = append(r.paths, "refresh "+path)
	return r.err
}

func (r *fakeReader) Warm(_ context.Context, path string, w *fs.Warmth) error {
	r.paths = append(r.paths, "warm "+path)
	w.Files.Add(2)
	w.Bytes.Add(100)
	w.Found.Store(true)
	return r.err
}

func TestControlCache(t *testing.T) {
	reads := &fakeReader{disk: cache.DiskUsage{Enabled: true, Bytes: 1000, Blocks: 2}}
	_, d := startReadControl(t, &fakeKeeper{}, reads)
	got, err := d.cache(t.Context())
	if err != nil || got.Memory.Bytes != 10 || got.Disk.Bytes != 1000 || !got.Disk.Enabled || got.Disk.Blocks != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = d.trim(t.Context(), 10); err != nil || got.Disk.Bytes != 10 {
		t.Errorf("after a trim: %+v, %v", got, err)
	}
	if _, err = d.trim(t.Context(), -1); exitCode(err) != exitUsage {
		t.Errorf("trim to a negative size: %v", err)
	}
}

// code is the exit code for err, or for nothing.
func code(err error) int {
	if err == nil {
		return exitOK
	}
	return exitCode(err)
}

func TestControlWarmupAndRefresh(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		code int
	}{
		{"done", nil, exitOK},
		{"absent", syscall.ENOENT, exitUsage},
		{"refused", errors.New("no"), exitService},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reads := &fakeReader{err: tt.err}
			_, d := startReadControl(t, &fakeKeeper{}, reads)
			shown := 0
			last, err := d.warmup(t.Context(), "d/f", func(warmReport) { shown++ })
			if code(err) != tt.code || last.Bytes != 100 || last.Done != (tt.err == nil) || shown == 0 == (tt.err == nil) {
				t.Errorf("warmup: %+v, %v, shown %d times", last, err, shown)
			}
			if err := d.refresh(t.Context(), "d"); code(err) != tt.code {
				t.Errorf("refresh: %v", err)
			}
			if len(reads.paths) != 2 || reads.paths[0] != "warm d/f" || reads.paths[1] != "refresh d" {
				t.Errorf("asked for %q", reads.paths)
			}
		})
	}
}
