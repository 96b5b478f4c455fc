package store

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// past lets listings show an older state: the one of a fixed time ago, or the one of the moment
// listings were frozen. It keeps a snapshot of the index from before each change that listings must
// not show yet.
type past struct {
	db    *pebble.DB
	clock func() time.Time

	mu     sync.Mutex // guards the fields below; a leaf
	lag    time.Duration
	before []*snapshot // oldest first; each is the state before a change at its time
	frozen *snapshot
}

// snapshot is closed when the past and every listing let go of it.
type snapshot struct {
	*pebble.Snapshot
	at   time.Time
	uses int // guarded by past.mu
}

// remember is called before each change.
func (p *past) remember() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lag <= 0 {
		return
	}
	now := p.clock()
	p.pruneLocked(now)
	p.before = append(p.before, &snapshot{Snapshot: p.db.NewSnapshot(), at: now, uses: 1})
}

func (p *past) pruneLocked(now time.Time) {
	n := 0
	for n < len(p.before) && !p.before[n].at.After(now.Add(-p.lag)) {
		p.releaseLocked(p.before[n])
		n++
	}
	p.before = p.before[n:]
}

func (p *past) releaseLocked(s *snapshot) {
	s.uses--
	if s.uses == 0 {
		s.Snapshot.Close() // nothing is written, nothing can be lost
	}
}

// view returns what a listing reads, and what ends its use.
func (p *past) view() (r pebble.Reader, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pruneLocked(p.clock())
	s := p.frozen
	if s == nil && len(p.before) > 0 {
		s = p.before[0]
	}
	if s == nil {
		return p.db, func() {}
	}
	s.uses++
	return s.Snapshot, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.releaseLocked(s)
	}
}

func (p *past) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = &snapshot{Snapshot: p.db.NewSnapshot(), uses: 1}
	}
}

func (p *past) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		p.releaseLocked(p.frozen)
		p.frozen = nil
	}
}

func (p *past) setLag(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag = d
	p.pruneLocked(p.clock())
}

func (p *past) close() {
	p.thaw()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.before {
		p.releaseLocked(s)
	}
	p.before = nil
}

// FreezeListings makes listings show the present state until ThawListings.
func (s *Store) FreezeListings() { s.past.freeze() }

// ThawListings ends what FreezeListings began.
func (s *Store) ThawListings() { s.past.thaw() }

// SetLag makes listings show the state of d ago from now on. Memory grows with the number of changes
// made within d.
func (s *Store) SetLag(d time.Duration) { s.past.setLag(d) }
