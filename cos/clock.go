package cos

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// skewTolerance is how far the local clock may be off before it is corrected. The service refuses
// from some fifteen minutes on; Date has whole seconds and answers take time to travel.
const skewTolerance = time.Minute

// serverClock is the local clock corrected by what the answers' Date headers say.
type serverClock struct {
	local func() time.Time
	log   *slog.Logger

	mu     sync.Mutex // guards the fields below
	offset time.Duration
	warned bool
}

// now returns the corrected time and the correction in it.
func (s *serverClock) now() (time.Time, time.Duration) {
	s.mu.Lock()
	offset := s.offset
	s.mu.Unlock()
	return s.local().Add(offset), offset
}

// learn takes note of an answer's Date and returns it; the zero time if there is none.
func (s *serverClock) learn(h http.Header) time.Time {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	seen := date.Sub(s.local())
	s.mu.Lock()
	defer s.mu.Unlock()
	if (seen - s.offset).Abs() <= skewTolerance {
		return date
	}
	s.offset = seen
	if !s.warned {
		s.warned = true
		s.log.Warn("local clock is off; requests are signed with the server's time", "dur", -seen)
	}
	return date
}

// stale tells whether a request signed with the given correction used a clock since found wrong.
func (s *serverClock) stale(used time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.offset - used).Abs() > skewTolerance
}
