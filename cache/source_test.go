package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const kib, mib = int64(1 << 10), int64(1 << 20)

var errInjected = errors.New("injected")

// source is an object that counts what is fetched of it.
type source struct {
	data    []byte
	latency time.Duration
	perByte time.Duration     // of each 64 KiB piece, per byte
	late    time.Duration     // per byte of a body, before its first
	wire    *wire             // shared by all bodies; nil is none
	fault   func(n int) error // for the n-th fetch, from 1
	breakAt int64             // bytes after which a body fails with errInjected; 0 = never
	extra   int               // bytes too many (or, negative, too few) in each body

	mu     sync.Mutex
	ranges [][2]int64
	active int
	most   int
	read   int64
}

func newSource(size int64) *source {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data) // never fails
	return &source{data: data}
}

func (s *source) id() ObjectID { return ObjectID{Key: "k", ETag: "e", Size: int64(len(s.data))} }

func (s *source) fetch(ctx context.Context, off, size int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.ranges = append(s.ranges, [2]int64{off, off + size})
	n := len(s.ranges)
	s.active++
	s.most = max(s.most, s.active)
	s.mu.Unlock()
	if err := sleep(ctx, s.latency+time.Duration(size)*s.late); err != nil {
		s.done()
		return nil, err
	}
	if s.fault != nil {
		if err := s.fault(n); err != nil {
			s.done()
			return nil, err
		}
	}
	if off < 0 || size <= 0 || off+size > int64(len(s.data)) {
		s.done()
		return nil, errors.New("range outside the object")
	}
	end := min(off+size+int64(s.extra), int64(len(s.data)))
	return &sourceBody{s: s, ctx: ctx, rest: s.data[off:end], left: s.breakAt}, nil
}

func (s *source) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
}

// counts returns fetches and bytes read so far.
func (s *source) counts() (fetches int, read int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ranges), s.read
}

type sourceBody struct {
	s    *source
	ctx  context.Context
	rest []byte
	left int64
}

func (b *sourceBody) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), 64<<10)]
	if b.s.breakAt > 0 {
		if b.left == 0 {
			return 0, errInjected
		}
		p = p[:min(int64(len(p)), b.left)]
	}
	n := copy(p, b.rest)
	if err := sleep(b.ctx, time.Duration(n)*b.s.perByte); err != nil {
		return 0, err
	}
	if err := b.s.wire.carry(b.ctx, n); err != nil {
		return 0, err
	}
	b.rest = b.rest[n:]
	b.left -= int64(n)
	b.s.mu.Lock()
	b.s.read += int64(n)
	b.s.mu.Unlock()
	return n, nil
}

// wire carries bytes one after the other.
type wire struct {
	perByte time.Duration

	mu   sync.Mutex
	free time.Time // when what was sent will have passed
}

// carry waits until n bytes have passed.
func (w *wire) carry(ctx context.Context, n int) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(n) * w.perByte)
	d := w.free.Sub(now)
	w.mu.Unlock()
	return sleep(ctx, d)
}

func (b *sourceBody) Close() error { b.s.done(); return nil }

// sleep waits by the bubble's clock.
func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newTestBlocks(t *testing.T, o BlocksOptions) *Blocks {
	t.Helper()
	b, err := NewBlocks(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// mustRead reads [off, off+n) and compares it with the source.
func mustRead(t *testing.T, r *Reader, s *source, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	got, err := r.ReadAt(context.Background(), p, off)
	if err != nil {
		t.Fatalf("read %d at %d: %v", n, off, err)
	}
	if int64(got) != n || !bytes.Equal(p, s.data[off:off+n]) {
		t.Fatalf("read %d at %d: got %d bytes, wrong or short", n, off, got)
	}
}
