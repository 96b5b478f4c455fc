package mounttest

import (
	"context"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
)

// Usage is what something cost: the requests that reached the server.
type Usage struct {
	Stats cosserver.Stats
	Log   []cosserver.Record // in the order they ended
}

// Measure runs do and returns its requests, with those that commit what do left uncommitted. The mount must
// be the bucket's only user. Options.Server.LogSize must hold all requests.
func (v *Volume) Measure(t testing.TB, do func()) Usage {
	t.Helper()
	v.Drain(t)
	v.Server.ResetStats()
	do()
	v.Drain(t)
	return Usage{Stats: v.Server.Stats(), Log: v.Server.Log()}
}

// Drain commits everything and waits for the end of every request, whose bytes are counted by then.
func (v *Volume) Drain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := v.Store.Sync(ctx, ""); err != nil && !v.lost {
		t.Errorf("commit: %v", err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if n := v.Server.Stats().Requests(); n == int64(len(v.Server.Log())) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("requests do not end: %+v", v.Server.Stats())
		}
	}
}

// Total counts all requests but the questions for an ACL, which a copy of a version costs once.
func (u Usage) Total() int64 { return u.Stats.Requests() - u.Stats["GetObjectACL"].Requests }

// Sent is how many bytes the server was sent in bodies.
func (u Usage) Sent() int64 {
	var n int64
	for _, o := range u.Stats {
		n += o.BytesIn
	}
	return n
}

// Received is how many bytes of objects the server sent.
func (u Usage) Received() int64 { return u.Stats["GetObject"].BytesOut }

// Count is the number of requests of one operation.
func (u Usage) Count(op string) int64 { return u.Stats[op].Requests }
