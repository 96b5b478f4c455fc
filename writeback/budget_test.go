package writeback

import (
	"errors"
	"fmt"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// stagingLimit leaves room for the threshold and a few parts.
func stagingLimit(n int64) func(*Options) { return func(o *Options) { o.StagingBytes = n } }

// withinLimit fails if more is staged than allowed; one write may be over.
func (r *rig) withinLimit(s *Store) {
	r.t.Helper()
	if used, limit := s.StagedBytes(); used > limit+mib {
		r.t.Fatalf("%d bytes staged, the limit is %d", used, limit)
	}
}

// TestFileLargerThanStaging writes one that never fits: parts that were sent give up their place.
func TestFileLargerThanStaging(t *testing.T) {
	r := newRig(t, stagingLimit(32*mib))
	data := random(70 * mib)
	h := r.create(r.store, "big", false)
	for off := 0; off < len(data); off += mib {
		r.write(h, data[off:off+mib], int64(off))
		r.withinLimit(r.store)
	}
	if _, err := h.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, ErrStagingFull) {
		t.Errorf("reading what is only in the upload: %v", err)
	}
	if err := h.Truncate(mib); !errors.Is(err, ErrStagingFull) {
		t.Errorf("cutting what is only in the upload: %v", err)
	}
	r.must(h.Flush())
	r.must(h.Close())
	r.wantObject("big", data)
	if used, _ := r.store.StagedBytes(); used != 0 {
		t.Errorf("%d bytes staged after the last close", used)
	}
}

// TestOnlyCopyIsKept fails the commit of such a file, kills the Store, and completes the upload later.
func TestOnlyCopyIsKept(t *testing.T) {
	r := newRig(t, stagingLimit(32*mib))
	lift := r.srv.AddRule(cosserver.Rule{Op: "CompleteMultipart", Action: cosserver.Fail, Status: 403})
	data := random(50 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data, 0)
	if err := h.Flush(); !errors.Is(err, cos.ErrAccessDenied) {
		t.Fatalf("got %v", err)
	}
	s := r.killed(r.store)
	if got := s.Recovered(); got.Files != 1 || got.Uploads != 0 {
		t.Fatalf("recovered %+v", got)
	}
	lift()
	r.must(s.Sync(t.Context(), ""))
	r.wantObject("big", data)
}

// TestWritersWaitForRoom holds writers back in background mode instead of failing them.
func TestWritersWaitForRoom(t *testing.T) {
	r := newRig(t, background, stagingLimit(4*mib))
	for i := range 20 {
		h := r.create(r.store, fmt.Sprintf("f%d", i), false)
		r.write(h, random(mib), 0)
		r.withinLimit(r.store)
		r.must(h.Flush())
		r.must(h.Close())
	}
	r.must(r.store.Sync(t.Context(), ""))
	if got := r.requests()["PutObject"]; got != 20 {
		t.Fatalf("%d puts, want 20", got)
	}
}

// TestNoRoomFailsAtWrite fails the write that does not fit, never the close after it, and commits nothing of
// the file until it is truncated.
func TestNoRoomFailsAtWrite(t *testing.T) {
	r := newRig(t, stagingLimit(2*mib))
	h := r.create(r.store, "k", false)
	r.write(h, random(mib), 0)
	if _, err := h.WriteAt(random(2*mib), mib); !errors.Is(err, ErrStagingFull) {
		t.Fatalf("got %v, want ErrStagingFull", err)
	}
	if _, err := h.WriteAt([]byte("x"), 0); !errors.Is(err, ErrPoisoned) {
		t.Fatalf("got %v, want ErrPoisoned", err)
	}
	if err := h.Flush(); !errors.Is(err, ErrPoisoned) {
		t.Fatalf("got %v, want ErrPoisoned", err)
	}
	if _, ok := r.object("k"); ok {
		t.Fatal("a file whose write failed was committed")
	}
	r.must(h.Truncate(0))
	r.write(h, []byte("fits"), 0)
	r.must(h.Flush())
	r.must(h.Close())
	r.wantObject("k", []byte("fits"))
}
