package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
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

// TestReadsMatchTheObject reads at random from several readers at once, with faults and
// cancellations: whatever a read returns is right, and nothing is left reserved at the end.
func TestReadsMatchTheObject(t *testing.T) {
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
			"drop": func(t *rapid.T) { b.Drop("k") },
			"seed": func(t *rapid.T) { b.Seed(src.id(), bytes.NewReader(src.data)) },
		})
		for _, r := range readers {
			r.Close()
		}
		b.Close()
		checkNothingLeft(t, b)
	})
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
