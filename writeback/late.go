package writeback

import (
	"context"
	"strings"
	"sync"
	"time"
)

// late remembers requests that were sent whole and got no reply. The service may apply one of them after
// the retry that succeeded, and even after the next change of the key: a put that comes late would bring
// old bytes back, a deletion would take new ones away. So the key's next change waits until that cannot
// happen any more.
type late struct {
	settle time.Duration
	now    func() time.Time

	mu      sync.Mutex // guards the fields below; a leaf
	since   map[string]time.Time
	batches int // deletions of several keys without a reply, ever
}

// note is told of an attempt without a reply.
func (l *late) note(op, key string) {
	if op == "AppendObject" || op == "UploadPart" || op == "UploadPartCopy" || op == "InitiateMultipart" || op == "AbortMultipart" {
		return // position, ETag and upload ID keep a late one from doing harm
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if key == "" {
		l.batches++
		return
	}
	l.noteLocked(key)
}

func (l *late) noteLocked(key string) {
	now := l.now()
	if l.since == nil {
		l.since = make(map[string]time.Time)
	}
	for k, at := range l.since {
		if now.Sub(at) >= l.settle {
			delete(l.since, k)
		}
	}
	l.since[key] = now
}

// lostBatches counts the deletions of several keys that got no reply so far.
func (l *late) lostBatches() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches
}

// noteKeys notes a batch that concerned keys.
func (l *late) noteKeys(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.noteLocked(k)
	}
}

// left is how long keys, or anything below trees, must wait.
func (l *late) left(keys, trees []string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait time.Duration
	for k, at := range l.since {
		for _, key := range keys {
			if k == key {
				wait = max(wait, l.settle-l.now().Sub(at))
			}
		}
		for _, t := range trees {
			if strings.HasPrefix(k, t) {
				wait = max(wait, l.settle-l.now().Sub(at))
			}
		}
	}
	return wait
}

// wait blocks until no request without a reply can change keys, or anything below trees, any more. The
// caller has the turn on them, so that no other change comes in between.
func (l *late) wait(ctx context.Context, keys, trees []string) error {
	d := l.left(keys, trees)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ErrClosed
	}
}
