package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// flaky is a source whose fetches fail, break off, and yield bodies of wrong length at random.
type flaky struct {
	*source
	mu   sync.Mutex
	rng  *rand.Rand
	rate int // faults in a hundred fetches
}

func (f *flaky) fetch(ctx context.Context, off, size int64) (io.ReadCloser, error) {
	f.mu.Lock()
	hit, kind, at := f.rng.IntN(100) < f.rate, f.rng.IntN(3), f.rng.Int64N(size)
	f.mu.Unlock()
	if !hit {
		return f.source.fetch(ctx, off, size)
	}
	end := off + at
	switch kind {
	case 0:
		return nil, errInjected
	case 1:
		return io.NopCloser(io.MultiReader(bytes.NewReader(f.data[off:end]), failing{})), nil
	}
	return io.NopCloser(bytes.NewReader(f.data[off:end])), nil
}

// failing is a body that breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errInjected }

// modelRead is one read of the model test.
type modelRead struct {
	reader int
	off    int64
	size   int
	cancel bool
}

// TestReadsMatchTheObject reads at random from several readers at once, with faults, cancellations
// and a disk that is damaged: whatever a read returns is right, and nothing is left reserved at the
// end.
func TestReadsMatchTheObject(t *testing.T) {
	temp := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		block := int64(rapid.IntRange(1, 64).Draw(t, "block"))
		size := rapid.Int64Range(0, 100*block).Draw(t, "size")
		o := BlocksOptions{
			BlockBytes:     block,
			MemoryBytes:    block * int64(rapid.IntRange(4, 64).Draw(t, "memory")),
			FetchBytes:     block * int64(rapid.IntRange(1, 8).Draw(t, "fetch")),
			ReadAheadBytes: block * int64(rapid.IntRange(1, 32).Draw(t, "ahead")),
			Connections:    rapid.IntRange(1, 8).Draw(t, "connections"),
		}
		if rapid.Bool().Draw(t, "resume") {
			o.Resume = func(error) bool { return true }
		}
		dir := ""
		if rapid.Bool().Draw(t, "disk") {
			var err error
			if dir, err = os.MkdirTemp(temp, ""); err != nil {
				t.Fatal(err)
			}
			limit := rapid.Int64Range(1<<10, 1<<16).Draw(t, "limit")
			o.Disk = &DiskOptions{Dir: dir, MaxBytes: limit}
		}
		src := &flaky{
			source: newSource(size),
			rng:    rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
			rate:   rapid.SampledFrom([]int{0, 0, 5, 50}).Draw(t, "faults"),
		}
		b, err := NewBlocks(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		readers := make([]*Reader, 3)
		for i := range readers {
			readers[i] = b.Open(src.id(), src.fetch)
		}
		read := rapid.Custom(func(t *rapid.T) modelRead {
			return modelRead{
				reader: rapid.IntRange(0, len(readers)-1).Draw(t, "reader"),
				off:    rapid.Int64Range(0, size+block).Draw(t, "off"),
				size:   rapid.IntRange(0, int(12*block)).Draw(t, "size"),
				cancel: rapid.IntRange(0, 9).Draw(t, "cancel") == 0,
			}
		})
		next := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"at once": func(t *rapid.T) {
				var wg sync.WaitGroup
				for _, m := range rapid.SliceOfN(read, 1, 14).Draw(t, "reads") {
					wg.Go(func() { checkRead(t, readers[m.reader], src, m) })
				}
				wg.Wait()
			},
			"in sequence": func(t *rapid.T) {
				n := rapid.IntRange(1, int(3*block)).Draw(t, "size")
				checkRead(t, readers[0], src, modelRead{off: next, size: n})
				if next += int64(n); next > size {
					next = 0
				}
			},
			"reopen": func(t *rapid.T) {
				i := rapid.IntRange(0, len(readers)-1).Draw(t, "reader")
				readers[i].Close()
				readers[i] = b.Open(src.id(), src.fetch)
			},
			"prefetch": func(*rapid.T) { b.Prefetch(src.id(), src.fetch) },
			"warm": func(t *rapid.T) {
				err := b.Warm(context.Background(), src.id(), src.fetch, nil)
				if err != nil && (err != errInjected && !errors.Is(err, ErrBodyLength) || src.rate == 0) {
					t.Error(err)
				}
			},
			"drop": func(t *rapid.T) { b.Drop("k") },
			"damage": func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "bytes")
				damageFiles(t, dir, rand.New(rand.NewPCG(seed, 0)))
			},
			"trim": func(t *rapid.T) { b.TrimDisk(rapid.Int64Range(0, 1<<12).Draw(t, "left")) },
			"seed": func(t *rapid.T) { b.Seed(src.id(), bytes.NewReader(src.data)) },
		})
		for _, r := range readers {
			r.Close()
		}
		b.Close()
		checkNothingLeft(t, b)
	})
}

// damageFiles changes some bytes of the files of a disk cache.
func damageFiles(t *rapid.T, dir string, rng *rand.Rand) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.blocks"))
	if err != nil || dir == "" {
		return
	}
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // evicted meanwhile
		}
		st, err := f.Stat()
		for range 5 {
			if err == nil && st.Size() > 0 {
				_, err = f.WriteAt([]byte{byte(rng.Uint32())}, rng.Int64N(st.Size()))
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func checkRead(t *rapid.T, r *Reader, src *flaky, m modelRead) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if m.cancel {
		cancel()
	}
	size := int64(len(src.data))
	want := int(max(min(int64(m.size), size-m.off), 0))
	p := make([]byte, m.size)
	n, err := r.ReadAt(ctx, p, m.off)
	if n > 0 && !bytes.Equal(p[:n], src.data[m.off:m.off+int64(n)]) {
		t.Errorf("%+v: wrong bytes", m)
	}
	switch {
	case err == nil && n == m.size:
	case err == io.EOF && n == want && want < m.size:
	case err != nil && n >= want:
		t.Errorf("%+v: got %d of %d, %v", m, n, want, err)
	case errors.Is(err, context.Canceled) && m.cancel:
	case (err == errInjected || errors.Is(err, ErrBodyLength)) && src.rate > 0:
	default:
		t.Errorf("%+v: got %d of %d, %v", m, n, want, err)
	}
}

// checkNothingLeft looks at a closed Blocks without readers.
func checkNothingLeft(t *rapid.T, b *Blocks) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gate.bytes != b.gate.maxBytes || b.gate.conns != b.gate.maxConns || b.gate.queue.Len() != 0 {
		t.Errorf("gate: %d of %d bytes, %d of %d connections, %d in the queue",
			b.gate.bytes, b.gate.maxBytes, b.gate.conns, b.gate.maxConns, b.gate.queue.Len())
	}
	if len(b.objects) != 0 || len(b.versions) != 0 || b.streams.Len() != 0 || b.stats.CachedBytes != 0 {
		t.Errorf("%d objects, %d keys, %d streams, %d bytes are left",
			len(b.objects), len(b.versions), b.streams.Len(), b.stats.CachedBytes)
	}
}
