package writeback

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/writeback/journal"
)

func noGrace(o *Options) { o.UploadGrace = time.Nanosecond }

// begin begins an upload as another client would.
func (r *rig) begin(key string) string {
	r.t.Helper()
	id, err := r.client.InitiateMultipart(r.t.Context(), key, nil)
	r.must(err)
	return id
}

// uploads lists the IDs of the uploads under way.
func (r *rig) uploads() []string {
	r.t.Helper()
	l, err := r.client.ListUploads(r.t.Context(), nil)
	r.must(err)
	var out []string
	for _, u := range l.Uploads {
		out = append(out, u.UploadID)
	}
	return out
}

// flushLarge writes a file that goes up in parts.
func (r *rig) flushLarge(s *Store, key string) {
	r.t.Helper()
	h := r.create(s, key, false)
	r.write(h, random(21*mib), 0)
	r.must(h.Flush())
	r.must(h.Close())
}

// TestUploadOfUnknownIDIsAborted kills the Store before and after an upload begins, and loses the reply: nothing is
// left of it.
func TestUploadOfUnknownIDIsAborted(t *testing.T) {
	for _, failpoint := range []string{fpUploadIntended, fpUploadInitiated} {
		r := newRig(t)
		s := r.killedAt(failpoint, 1, func(s *Store) {
			lift := r.srv.AddRule(cosserver.Rule{Op: "UploadPart", Action: cosserver.Fail, Status: 403})
			h := r.create(s, "big", false)
			r.write(h, random(21*mib), 0)
			if err := h.Flush(); err == nil {
				t.Error("committed without parts")
			}
			lift()
			r.must(s.Remove(h.f))
			r.must(h.Close())
			if failpoint == fpUploadInitiated {
				r.begin("big") // as it was when the kill came
			}
		}, noGrace)
		if got := r.uploads(); len(got) > 0 {
			t.Errorf("killed at %s: left behind: %v", failpoint, got)
		}
		r.waitFor(func() bool { return r.records(s).Empty() }) // the service may begin it for some time yet
	}
	r := newRig(t, noGrace)
	r.srv.AddRule(cosserver.Rule{Op: "InitiateMultipart", When: cosserver.After, Action: cosserver.Reset, Limit: 1})
	r.flushLarge(r.store, "big")
	r.waitFor(func() bool { return len(r.uploads()) == 0 })
	if n := r.requests()["AbortMultipart"]; n != 1 {
		t.Errorf("%d uploads aborted, want one", n)
	}
}

// TestUploadsOfOthersAreLeftAlone recovers intents beside uploads that could be taken for theirs.
func TestUploadsOfOthersAreLeftAlone(t *testing.T) {
	r := newRig(t)
	s := r.newStore()
	intend := func(since time.Time) {
		b := s.journal.Begin()
		b.PutIntent(journal.Intent{ID: uint64(since.UnixNano()), Key: "big", Since: since})
		r.must(b.Commit(journal.Sync))
	}
	intend(time.Now().Add(time.Minute)) // begins after all uploads here
	intend(time.Now().Add(-time.Hour))  // ended before them
	begun := r.begin("big")
	theirs := []string{begun, r.begin("bigger")}
	r.killed(s, noGrace)
	intend(time.Now())
	theirs = append(theirs, r.begin("big"))
	_, err := r.client.UploadPart(t.Context(), "big", theirs[2], 1, bytes.NewReader(random(10)), 10, nil)
	r.must(err)
	k := r.killed(s)
	for _, id := range theirs {
		if !slices.Contains(r.uploads(), id) {
			t.Error("an upload that is, or may be, another client's was aborted")
		}
	}
	if st := r.records(k); len(st.Intents) != 2 {
		t.Errorf("%d intents are left, want the one to come and the one that may have begun an upload", len(st.Intents))
	}
	r.killed(k, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) } })
	if got := r.uploads(); slices.Contains(got, begun) || len(got) != 2 {
		t.Errorf("uploads %v, want all but the one that had no parts for two hours", got)
	}
}
