package writeback

import (
	"bytes"
	"fmt"
	"testing"

	"cosfuse/cos/cosserver"
)

// TestRenameAtEveryUploadStage is git's dance: write a lock file, close it, rename it over the real one; with
// the rename coming in at each stage of the lock file's upload. However they meet, the real name has the new
// content in the end, and the lock file is gone.
func TestRenameAtEveryUploadStage(t *testing.T) {
	stages := []struct {
		op    string
		size  int
		grows bool // opened for append
	}{
		{"PutObject", 100, false},
		{"AppendObject", 100, true},
		{"InitiateMultipart", 21 * mib, false},
		{"UploadPart", 21 * mib, false},
		{"CompleteMultipart", 21 * mib, false},
	}
	for _, st := range stages {
		for _, when := range []cosserver.When{cosserver.Before, cosserver.After} {
			t.Run(fmt.Sprintf("%s %s", when, st.op), func(t *testing.T) {
				r := newRig(t)
				r.put("index", []byte("old"))
				lift := r.srv.AddRule(cosserver.Rule{Op: st.op, Key: "index.lock", When: when, Action: cosserver.Stall})
				data := random(st.size)
				h := r.create(r.store, "index.lock", st.grows)
				r.write(h, data, 0)
				flushed, renamed := make(chan error, 1), make(chan error, 1)
				go func() { flushed <- h.Flush() }()
				r.waitFor(func() bool { return r.srv.Stats()[st.op].Requests > 0 })
				go func() { renamed <- r.store.Rename(h.f, "index", true) }()
				lift()
				r.must(<-flushed)
				r.must(<-renamed)
				r.must(h.Close())
				r.must(r.store.Sync(t.Context(), ""))
				got, _ := r.object("index")
				if !bytes.Equal(got, data) {
					t.Errorf("index has %d bytes, want the %d of the lock file", len(got), len(data))
				}
				if _, ok := r.object("index.lock"); ok {
					t.Error("the lock file is in the bucket")
				}
				if st := h.f.Stat(); st.Dirty {
					t.Errorf("something is left to commit: %+v", st)
				}
			})
		}
	}
}
