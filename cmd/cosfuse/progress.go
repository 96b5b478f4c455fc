package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

const (
	// progressSilence is how long a command waits before it says what for, and progressEvery how
	// often it says so again where there is no terminal.
	progressSilence = time.Second
	progressEvery   = 10 * time.Second
	// progressPoll is how often a daemon is asked how much is left.
	progressPoll = 200 * time.Millisecond
)

// progress shows how much is left to commit.
type progress interface {
	show(t totals) // a new look
	end()          // no more
}

// newProgress shows a bar on a terminal, and elsewhere lines that begin with what is waited for.
func newProgress(w io.Writer, what string) progress {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		return newBar(f)
	}
	return &lines{w: w, what: what, last: time.Now().Add(progressSilence - progressEvery)}
}

// isTerminal reports whether somebody is looking.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// lines is progress without a terminal: a line now and then.
type lines struct {
	w    io.Writer
	what string
	last time.Time // of the last line
}

func (l *lines) show(t totals) {
	if now := time.Now(); now.Sub(l.last) >= progressEvery {
		l.last = now
		terminal{w: l.w}.say(fmt.Sprintf("%s: %v", l.what, t))
	}
}

func (l *lines) end() {}

// bar is progress on a terminal. What is done is the most there ever was to do, less what is left: writers
// may go on meanwhile.
type bar struct {
	container *mpb.Progress
	bar       *mpb.Bar
	most      int64
	left      atomic.Pointer[totals]
}

func newBar(f *os.File) *bar {
	b := &bar{}
	b.left.Store(&totals{})
	b.container = mpb.New(mpb.WithOutput(f), mpb.WithAutoRefresh(), mpb.WithWidth(barWidth))
	b.bar = b.container.AddBar(0, // so that SetTotal may be called more than once
		mpb.PrependDecorators(decor.Name("committing "), decor.Any(func(decor.Statistics) string { return b.left.Load().String() + " left " })),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return b
}

// barWidth leaves room for words on a terminal of 80 columns.
const barWidth = 30

func (b *bar) show(t totals) {
	b.left.Store(&t)
	b.most = max(b.most, t.BytesLeft, 1)
	b.bar.SetTotal(b.most, false)
	b.bar.SetCurrent(b.most - t.BytesLeft)
}

func (b *bar) end() {
	b.bar.Abort(true)
	b.container.Wait()
}

// waiting shows how a daemon gets on that commits what is left and ends. Its owner calls close.
type waiting struct {
	w     io.Writer
	what  string
	d     *daemonClient // nil if it cannot be asked
	p     progress      // nil until there is something to show
	began time.Time
	asked time.Time
	told  bool // what for, without saying how much
}

func newWaiting(w io.Writer, rec record) *waiting {
	x := &waiting{w: w, what: fmt.Sprintf("waiting for process %d to commit what is left", rec.PID), began: time.Now()}
	x.asked = x.began
	if d, err := dialDaemon(rec.cacheDir); err == nil { // else the directory is gone, and soon the daemon
		x.d = d
	}
	return x
}

// look shows how things are, if it is time to.
func (x *waiting) look(ctx context.Context) {
	now := time.Now()
	if now.Sub(x.asked) < progressPoll {
		return
	}
	x.asked = now
	if x.d != nil {
		if t, err := x.d.totals(ctx, ""); err == nil {
			if x.p == nil {
				x.p = newProgress(x.w, x.what)
			}
			x.p.show(t)
			return
		}
	}
	if x.p == nil && !x.told && now.Sub(x.began) >= progressSilence {
		x.told = true
		terminal{w: x.w}.say(x.what)
	}
}

// close takes the progress away. It may be called again.
func (x *waiting) close() {
	if x.p != nil {
		x.p.end()
		x.p = nil
	}
	if x.d != nil {
		x.d.close()
		x.d = nil
	}
}
