package cache

import "time"

const (
	// linkMemory is how slowly the best that was seen of the link is forgotten: by one part in so
	// many with each fetch that does worse.
	linkMemory = 1024
	// minWindow is the least that a window shrinks to. The latency may ask for less, but smaller
	// windows mean smaller fetches, and each is a request to pay for.
	minWindow = 2 * minSplit
	// measureFetches is how many fetches a measurement of a stream lasts.
	measureFetches = 4
)

// link is what fetches showed of the way to the service when it was at its best: under load both get
// worse, and a window sized for that would only lengthen the queues. Guarded by Blocks.mu.
type link struct {
	latency time.Duration // from asking to the first byte; 0 = unknown
	rate    int64         // bytes a second on one connection; 0 = unknown
}

// observe notes a fetch: the first byte came after latency, and then size bytes more in d.
func (l *link) observe(latency time.Duration, size int64, d time.Duration) {
	if l.latency == 0 || latency < l.latency {
		l.latency = latency
	} else {
		l.latency += (latency - l.latency) / linkMemory
	}
	if d <= 0 || size <= 0 {
		return
	}
	if rate := perSecond(size, d); rate > l.rate {
		l.rate = rate
	} else {
		l.rate -= (l.rate - rate) / linkMemory
	}
}

// fetchTime returns how long a fetch of size bytes takes, 0 if unknown.
func (l *link) fetchTime(size int64) time.Duration {
	if l.latency == 0 || l.rate == 0 {
		return l.latency
	}
	return l.latency + time.Duration(float64(size)/float64(l.rate)*float64(time.Second))
}

func perSecond(size int64, d time.Duration) int64 {
	return int64(float64(size) / d.Seconds())
}

// stopwatch measures one fetch.
type stopwatch struct {
	b            *Blocks
	start, first time.Time
	rest         int64 // bytes after those that came first
}

func (w *stopwatch) arrived(n int) {
	if w.first.IsZero() {
		w.first = time.Now()
		return
	}
	w.rest += int64(n)
}

// stop is called at the end of a body.
func (w *stopwatch) stop() {
	if w.first.IsZero() {
		return
	}
	d := time.Since(w.first)
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.link.observe(w.first.Sub(w.start), w.rest, d)
}

// measureLocked adapts the window of s to what its reader takes. The bytes that must be on their way
// are the product of that rate and the time of one fetch; twice as much lets a stream that is held
// back by its own window double it. A window grows at once and shrinks slowly, so that neither a
// reader's pause nor the first fetches of a stream make it small.
func (r *Reader) measureLocked(s *stream, now time.Time) {
	b := r.b
	took := b.link.fetchTime(r.chunkLocked(s) * b.o.BlockBytes)
	if took == 0 || s.measured.IsZero() {
		s.measured, s.measuredRun = now, s.run
		return
	}
	elapsed := now.Sub(s.measured)
	if elapsed < measureFetches*took {
		return
	}
	rate := perSecond(s.run-s.measuredRun, elapsed)
	need := int64(2 * float64(rate) * took.Seconds())
	s.measured, s.measuredRun = now, s.run
	if s.most == 0 {
		s.most = b.o.ReadAheadBytes
	}
	if need < s.most {
		need = s.most - (s.most-need)/2
	}
	s.most = min(max(need, minWindow), b.o.ReadAheadBytes)
}
