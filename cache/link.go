package cache

import "time"

const (
	// firstWindow is the most that is kept ahead of a stream until it was measured that more is of use.
	firstWindow = 16 << 20
	// minWindow is the least that a window shrinks to. The latency may ask for less, but smaller
	// windows mean smaller fetches, and each is a request to pay for.
	minWindow = 2 * minSplit
	// measureFetches is how many fetches a measurement of a stream lasts.
	measureFetches = 3
	// linkMemory is how many fetches make the average that a link is known by.
	linkMemory = 8
	// minTimed is the least that a fetch must bring for its time to count.
	minTimed = minSplit / 2
	// gain is what a larger window must bring to be kept: one part in so many.
	gain = 8
	// gainMemory is how many measurements pass, about, until what was found of no use is tried again.
	gainMemory = 64
)

// link is what fetches showed of the way to the service. Latency and bandwidth are not told apart: what
// arrives in bursts, or while we are busy elsewhere, seems to come as fast as memory is. Guarded by
// Blocks.mu.
type link struct {
	took time.Duration // from asking to the last byte, as an average of the last fetches; 0 = unknown
}

// observe notes a fetch of size bytes.
func (l *link) observe(took time.Duration, size int64) {
	switch {
	case size < minTimed:
	case l.took == 0:
		l.took = took
	default:
		l.took += (took - l.took) / linkMemory
	}
}

func perSecond(size int64, d time.Duration) int64 {
	return int64(float64(size) / d.Seconds())
}

// stopwatch measures one fetch.
type stopwatch struct {
	b     *Blocks
	start time.Time
	size  int64 // bytes that arrived
}

// stop is called at the end of a body.
func (w *stopwatch) stop() {
	took := time.Since(w.start)
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.link.observe(took, w.size)
}

// measureLocked adapts the window of s to what its reader takes. What it takes in the time of a fetch is
// on its way; if that is less than half of the window, the reader is slow and the window shrinks, by and by.
// Else the window may be what holds the reader back: it is doubled, and stays so if the reader takes more.
// That tells a link that carries more on more connections from one that only makes them wait longer.
// Short reads are not measured.
func (r *Reader) measureLocked(s *stream, now time.Time) {
	took := r.b.link.took
	if took == 0 || s.measured.IsZero() || s.run < firstWindow && s.most == 0 { // the window still grows by itself
		s.measured, s.measuredRun = now, s.run
		return
	}
	elapsed := now.Sub(s.measured)
	if elapsed < measureFetches*took {
		return
	}
	rate := perSecond(s.run-s.measuredRun, elapsed)
	s.measured, s.measuredRun = now, s.run
	s.adapt(rate, int64(2*float64(rate)*took.Seconds()), r.b.o.ReadAheadBytes)
}

// adapt sets the window after a measurement: the reader takes rate bytes a second, and of a window of need
// bytes half would be on its way.
func (s *stream) adapt(rate, need, limit int64) {
	if s.most == 0 {
		s.most = min(firstWindow, limit)
	}
	enough := s.best + s.best/gain
	s.best -= s.best / gainMemory
	switch {
	case need < s.most:
		s.most, s.trying = max(s.most-(s.most-need)/2, min(minWindow, limit)), false
	case s.trying && rate < enough:
		s.most, s.trying = s.most/2, false
	case rate >= enough && s.most < limit:
		s.most, s.trying, s.best = min(2*s.most, limit), true, rate
	default:
		s.trying = false
	}
}
