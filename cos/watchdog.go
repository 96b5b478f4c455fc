package cos

import (
	"context"
	"io"
	"sync"
	"time"
)

// watchdog ends an attempt in which nothing moves. There is no limit on the time a transfer takes
// as a whole.
type watchdog struct {
	stall  time.Duration // between two movements of bytes while sending
	read   time.Duration // the same while reading the answer's body
	answer time.Duration // from the end of the request to the header of the answer
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	idle  bool // nothing is expected to move
}

func (c *Client) newWatchdog(r *request, cancel context.CancelCauseFunc) *watchdog {
	w := &watchdog{stall: c.o.StallTimeout, read: c.o.StallTimeout, cancel: cancel}
	w.answer = max(c.o.HeaderTimeout, w.stall)
	if r.slow {
		w.answer *= slowAnswerFactor
		w.read = w.answer // the header may come at once and the verdict in the body minutes later
	}
	first := w.answer
	if r.body != nil {
		first = w.stall
	}
	w.timer = time.AfterFunc(first, func() { w.cancel(ErrStalled) })
	return w
}

// progress notes that bytes moved.
func (w *watchdog) progress() { w.arm(w.stall) }

// awaitAnswer starts the longer wait for the header of the answer.
func (w *watchdog) awaitAnswer() { w.arm(w.answer) }

// begin expects bytes again after rest.
func (w *watchdog) begin() {
	w.mu.Lock()
	w.idle = false
	w.mu.Unlock()
	w.arm(w.read)
}

// rest stops the clock until begin: between two reads of a body it is the caller who takes his time.
func (w *watchdog) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = true
	w.timer.Stop()
}

func (w *watchdog) arm(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.idle {
		w.timer.Reset(d)
	}
}

// guardedReader watches the reads of an answer's body.
type guardedReader struct {
	io.Reader
	guard *watchdog
}

func (g guardedReader) Read(p []byte) (int, error) {
	g.guard.begin()
	defer g.guard.rest()
	return g.Reader.Read(p)
}
