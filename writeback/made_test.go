package writeback

import (
	"maps"
	"sync"
	"testing"
	"time"
)

// TestMadeIsTold checks that who keeps attributes hears of what was made and is there, once the Store stops
// keeping it.
func TestMadeIsTold(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]uint32)
	now := time.Now()
	r := newRig(t, func(o *Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
		o.Made = func(key string, at time.Time, v Version, a Attr) {
			mu.Lock()
			defer mu.Unlock()
			if !v.Absent() && a.Known && !at.IsZero() {
				told[key] = a.Mode & 0o777
			}
		}
	})
	want := func(when string, want map[string]uint32) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(told, want) {
			t.Errorf("%s: told of %v, want %v", when, told, want)
		}
	}
	for _, key := range []string{"old", "gone", "moved"} {
		h := r.create(r.store, key, false)
		r.must(h.Close())
	}
	gone := r.open(r.store, "gone", false)
	r.must(r.store.Remove(gone.f))
	r.must(gone.Close())
	want("while it is kept", map[string]uint32{})
	mu.Lock()
	now = now.Add(overlayAge + time.Second)
	mu.Unlock()
	r.must(r.create(r.store, "new", false).Close())
	want("after a while", map[string]uint32{"old": 0o644, "moved": 0o644})
	r.must(r.create(r.store, "dirty", false).f.SetAttr(func(a *Attr) error { a.Mode = 0o600; return nil }))
	r.store.tellMade()
	want("in the end", map[string]uint32{"old": 0o644, "moved": 0o644, "new": 0o644})
}
