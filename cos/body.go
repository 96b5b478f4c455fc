package cos

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// errSource is wrapped when the caller's own body cannot be read as promised. Sending it again
// would not help.
var errSource = errors.New("cannot read the body to send")

// sentBody is the body of one attempt. It hands the transport the caller's bytes, computes their
// CRC64 on the way and tells whether all of them were taken.
type sentBody struct {
	src   io.ReaderAt
	size  int64
	guard *watchdog

	mu     sync.Mutex // guards the fields below
	last   *bodyReader
	opened sync.WaitGroup // readers not closed yet
}

// open starts a pass over the body; the transport opens another when a kept-alive connection turns
// out to have been closed before anything was sent.
func (b *sentBody) open() io.ReadCloser {
	r := &bodyReader{b: b}
	b.mu.Lock()
	b.last = r
	b.mu.Unlock()
	b.opened.Add(1)
	return r
}

// wait blocks until the transport let go of the body: only then may the caller reuse its source.
func (b *sentBody) wait() { b.opened.Wait() }

// complete tells whether the last pass handed over every byte, and the CRC64 of them.
func (b *sentBody) complete() (crc uint64, ok bool) {
	b.mu.Lock()
	r := b.last
	b.mu.Unlock()
	if r == nil || !r.whole.Load() {
		return 0, false
	}
	return r.sum.Load(), true
}

// failed returns the error of the caller's source, if that is what broke the attempt.
func (b *sentBody) failed() error {
	b.mu.Lock()
	r := b.last
	b.mu.Unlock()
	if r == nil {
		return nil
	}
	if p := r.err.Load(); p != nil {
		return *p
	}
	return nil
}

// bodyReader is one pass. Read is called by one goroutine of the transport.
type bodyReader struct {
	b     *sentBody
	off   int64
	crc   uint64
	whole atomic.Bool
	sum   atomic.Uint64 // crc, once whole
	err   atomic.Pointer[error]
	close sync.Once
}

func (r *bodyReader) Read(p []byte) (int, error) {
	left := r.b.size - r.off
	if left == 0 {
		r.finish()
		return 0, io.EOF
	}
	n, err := r.b.src.ReadAt(p[:min(int64(len(p)), left)], r.off)
	r.crc = CRC64Update(r.crc, p[:n])
	r.off += int64(n)
	r.b.guard.progress()
	if r.off == r.b.size {
		r.finish()
		return n, nil
	}
	if err == nil || n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("%w at %d of %d bytes: %w", errSource, r.off, r.b.size, err)
	r.err.Store(&err)
	return n, err
}

func (r *bodyReader) finish() {
	if r.whole.Load() {
		return
	}
	r.sum.Store(r.crc)
	r.whole.Store(true)
	r.b.guard.awaitAnswer()
}

func (r *bodyReader) Close() error {
	r.close.Do(r.b.opened.Done)
	return nil
}
