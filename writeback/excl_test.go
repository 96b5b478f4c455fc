package writeback

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
)

// handClock stands still unless the test moves it.
type handClock struct{ past atomic.Int64 } // nanoseconds since handStart

var handStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *handClock) now() time.Time { return handStart.Add(time.Duration(c.past.Load())) }

// claims makes exclusive creation settle at once, on a clock that the test moves.
func claims(c *handClock) func(*Options) {
	return func(o *Options) { o.ClaimAtOpen, o.Now = true, c.now }
}

// createExcl creates and claims a file.
func (r *rig) createExcl(s *Store, key string) (*Handle, error) {
	r.t.Helper()
	f, err := s.Create(key, fileAttr(), CreateMode{Excl: true})
	r.must(err)
	h := f.Open(false)
	f.Release()
	err = f.Claim()
	if err != nil {
		r.must(s.Remove(f))
		r.must(h.Close())
	}
	return h, err
}

// TestClaim lets the service decide who creates a name, before either has written.
func TestClaim(t *testing.T) {
	var clock handClock
	r := newRig(t, claims(&clock))
	other := r.newStore(claims(&clock))
	h, err := r.createExcl(r.store, "lock")
	r.must(err)
	r.wantObject("lock", nil)
	if _, err := r.createExcl(other, "lock"); !errors.Is(err, ErrExists) {
		t.Fatalf("the second creator got %v, want ErrExists", err)
	}
	if st := other.Status(); len(st) != 0 {
		t.Errorf("the loser has left: %+v", st)
	}
	r.srv.ResetStats()
	r.write(h, []byte("mine"), 0)
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(map[string]int64{"PutObject": 1})
	r.wantObject("lock", []byte("mine"))
}

// TestClaimIsOptional sends nothing unless asked to, nor for what was not created exclusively.
func TestClaimIsOptional(t *testing.T) {
	var clock handClock
	r := newRig(t)
	h, err := r.createExcl(r.store, "k")
	r.must(err)
	r.must(h.Flush())
	plain := r.create(r.newStore(claims(&clock)), "j", false)
	r.must(plain.f.Claim())
	r.wantRequests(map[string]int64{})
	r.must(errors.Join(h.Close(), plain.Close()))
}

// TestClaimOfRemovedName creates a name whose deletion still waits: it is sent first.
func TestClaimOfRemovedName(t *testing.T) {
	var clock handClock
	r := newRig(t, claims(&clock))
	for _, key := range []string{"d/1", "d/lock"} {
		r.put(key, []byte("old"))
		h := r.open(r.store, key, false)
		r.must(h.Close())
		f := r.store.Acquire(key, h.f.Stat().Base, h.f.Stat().Attr)
		r.must(r.store.Remove(f))
		f.Release()
	}
	if got := r.store.PendingRemovals(); len(got) != 1 {
		t.Fatalf("deletions that wait: %q, want one", got)
	}
	h, err := r.createExcl(r.store, "d/lock")
	r.must(err)
	r.wantObject("d/lock", nil)
	if _, err := r.createExcl(r.newStore(claims(&clock)), "d/lock"); !errors.Is(err, ErrExists) {
		t.Errorf("the second creator got %v, want ErrExists", err)
	}
	r.must(h.Close())
}

// TestClaimTakenOver has somebody break the lock and take it before its first owner writes.
func TestClaimTakenOver(t *testing.T) {
	var clock handClock
	r := newRig(t, claims(&clock))
	h, err := r.createExcl(r.store, "lock")
	r.must(err)
	r.must(r.client.Delete(t.Context(), "lock", nil))
	r.put("lock", []byte("theirs"))
	clock.past.Store(int64(2 * confirmedFor))
	r.write(h, []byte("mine"), 0)
	if err := h.Flush(); !errors.Is(err, ErrConflict) {
		t.Fatalf("flush: %v, want ErrConflict", err)
	}
	r.wantObject("lock", []byte("theirs"))
	if err := h.Close(); !errors.Is(err, ErrConflict) {
		t.Errorf("close: %v, want ErrConflict", err)
	}
}

// TestVersionedBucket creates what somebody else has made meanwhile, in a bucket where the service does not
// forbid that: it is asked first, however the file is sent.
func TestVersionedBucket(t *testing.T) {
	for name, size := range map[string]int{"put": 10, "parts": 21 * mib, "early parts": 40 * mib} {
		t.Run(name, func(t *testing.T) {
			buckets := []cosserver.Bucket{{Name: cosserver.DefaultBucket, Versioning: "Enabled"}}
			r := newRigOn(t, cosserver.Options{Buckets: buckets}, func(o *Options) { o.Versioned = true })
			h := r.create(r.store, "k", false)
			r.writeAll(h, random(size), 0)
			r.put("k", []byte("theirs"))
			if err := h.Flush(); !errors.Is(err, ErrConflict) {
				t.Fatalf("flush: %v, want ErrConflict", err)
			}
			r.wantObject("k", []byte("theirs"))
			if err := h.Close(); !errors.Is(err, ErrConflict) {
				t.Errorf("close: %v, want ErrConflict", err)
			}
		})
	}
}

// TestClaimLostReply makes the object without telling: it is ours all the same.
func TestClaimLostReply(t *testing.T) {
	var clock handClock
	r := newRig(t, claims(&clock))
	r.srv.AddRule(cosserver.Rule{Op: "PutObject", When: cosserver.After, Action: cosserver.Reset, Limit: 1})
	h, err := r.createExcl(r.store, "lock")
	r.must(err)
	r.must(h.Close())
	r.wantObject("lock", nil)
}
