package writeback

import (
	"testing"
	"time"

	"cosfuse/cos/cosserver"
)

// TestLateRequest loses the reply of a put that the service applies a moment later, after the retry: what
// comes next on that key must come after it.
func TestLateRequest(t *testing.T) {
	tests := []struct {
		name string
		next func(r *rig, h *Handle)
		want string // "" = no object
		puts int    // the late one among them
	}{
		{"overwrite", func(r *rig, h *Handle) {
			r.write(h, []byte("new"), 0)
			r.must(h.Flush())
		}, "new", 3},
		{"unlink", func(r *rig, h *Handle) {
			r.must(r.store.Remove(h.f))
			r.must(r.store.FlushRemovals(""))
		}, "", 2},
		{"rename", func(r *rig, h *Handle) { r.must(r.store.Rename(h.f, "other", false)) }, "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.SettleTime = 500 * time.Millisecond })
			r.srv.AddRule(cosserver.Rule{Op: "PutObject", Key: "k", When: cosserver.Late, Delay: 200 * time.Millisecond, Limit: 1})
			h := r.create(r.store, "k", false)
			r.write(h, []byte("old"), 0)
			r.must(h.Flush())
			tt.next(r, h)
			r.waitFor(func() bool { return r.ended("PutObject", "k") >= tt.puts })
			got, ok := r.object("k")
			if ok != (tt.want != "") || string(got) != tt.want {
				t.Fatalf("object %q (there: %v), want %q", got, ok, tt.want)
			}
			r.must(h.Close())
		})
	}
}

// ended counts the requests of op on key that the server is done with.
func (r *rig) ended(op, key string) int {
	n := 0
	for _, rec := range r.srv.Log() {
		if rec.Op == op && rec.Key == key {
			n++
		}
	}
	return n
}
