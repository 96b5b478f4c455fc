package writeback

import (
	"errors"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// TestCommitWithoutACleanReply has the service make an object and tell a wrong checksum of it, then kills the Store:
// the object is recognised as ours, in the Store that goes on as well.
func TestCommitWithoutACleanReply(t *testing.T) {
	for _, kill := range []bool{false, true} {
		for _, op := range []string{"PutObject", "CompleteMultipart"} {
			r := newRig(t)
			want := random(map[string]int{"PutObject": 1000, "CompleteMultipart": 21 * mib}[op])
			h := r.create(r.store, "k", false)
			r.write(h, want, 0)
			lift := r.srv.AddRule(cosserver.Rule{Op: op, Action: cosserver.WrongCRC})
			if err := h.Flush(); !errors.Is(err, cos.ErrChecksum) {
				t.Errorf("got %v, want %v", err, cos.ErrChecksum)
			}
			lift()
			s := r.store
			if kill {
				s = r.killed(s)
			}
			if err := s.Sync(t.Context(), ""); err != nil {
				r.must(s.Sync(t.Context(), "")) // what had failed was told once more
			}
			if got := s.Status(); len(got) > 0 {
				t.Errorf("left: %+v", got)
			}
			r.wantObject("k", want)
			r.must(r.store.Remove(h.f))
			r.must(h.Close())
		}
	}
}
