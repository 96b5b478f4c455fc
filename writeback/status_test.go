package writeback

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/writeback/journal"
)

// states are the files of a status by key.
func states(list []FileStatus) map[string]FileState {
	out := make(map[string]FileState)
	for _, f := range list {
		out[f.Key] = f.State
	}
	return out
}

// TestStatus tells live, and after a kill from the directory alone, what is dirty and why.
func TestStatus(t *testing.T) {
	r := newRig(t, background)
	h := r.create(r.store, "waiting", false)
	r.write(h, []byte("bytes"), 0)
	r.must(h.Flush())
	g := r.create(r.store, "dir/failed", false)
	r.write(g, random(100<<10), 0)
	r.srv.AddRule(cosserver.Rule{Op: "PutObject", Key: "dir/failed", Action: cosserver.Fail, Status: 403})
	if err := g.Fsync(t.Context()); err == nil {
		t.Fatal("a refused commit succeeded")
	}
	lost := r.create(r.store, "lost", false)
	r.write(lost, random(100<<10), 0)
	r.must(lost.Flush())
	r.conflict("mine")
	c := r.create(r.store, "clean", false)
	r.write(c, []byte("clean"), 0)
	r.must(c.Fsync(t.Context()))

	want := map[string]FileState{"waiting": StateWaiting, "dir/failed": StateFailed, "lost": StateWaiting, "mine": StateConflict}
	live := r.store.Status()
	if got := states(live); !maps.Equal(got, want) {
		t.Errorf("live: %v, want %v", got, want)
	}
	i := slices.IndexFunc(live, func(f FileStatus) bool { return f.Key == "dir/failed" })
	if f := live[i]; f.Left != 100<<10 || f.Size != 100<<10 || !f.Open || f.Since.IsZero() || f.Err == "" {
		t.Errorf("failed file: %+v", f)
	}

	if _, err := ReadLeft(r.store.Dir); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("of a live store: got %v, want ErrLocked", err)
	}
	dir := t.TempDir()
	r.must(os.CopyFS(dir, os.DirFS(r.store.Dir)))
	r.must(os.Truncate(filepath.Join(dir, "staging", stagingName(lost.f.ino, 1)), 10))
	want["lost"] = StateDamaged
	for range 2 { // reading it once changes nothing
		left, err := ReadLeft(dir)
		r.must(err)
		if got := states(left.Files); !maps.Equal(got, want) || left.Bucket != r.client.Bucket() || left.Empty() {
			t.Errorf("offline: %v of %s, want %v", got, left.Bucket, want)
		}
	}
	for _, h := range []*Handle{h, g, lost, c} {
		_ = h.Close() // the refused one fails again
	}
}

// conflict makes a parked file at key: another writer was first.
func (r *rig) conflict(key string) uint64 {
	r.t.Helper()
	f, err := r.store.Create(key, fileAttr(), CreateMode{Excl: true})
	r.must(err)
	h := f.Open(false)
	f.Release()
	r.write(h, []byte("ours"), 0)
	r.put(key, []byte("theirs"))
	if err := h.Fsync(r.t.Context()); !errors.Is(err, ErrExists) {
		r.t.Fatalf("got %v, want ErrExists", err)
	}
	_ = h.Close() // told already
	return f.ino
}

// TestStatusOfUpload counts down what is left while parts arrive.
func TestStatusOfUpload(t *testing.T) {
	r := newRig(t)
	lift := r.srv.AddRule(cosserver.Rule{Op: "UploadPart", Part: 3, Action: cosserver.Stall})
	h := r.create(r.store, "big", false)
	r.write(h, random(21*mib), 0)
	done := make(chan error, 1)
	go func() { done <- h.Flush() }()
	r.waitFor(func() bool {
		st := r.store.Status()
		return len(st) == 1 && st[0].State == StateUploading && st[0].Left == 21*mib-2*ladderFirst
	})
	lift()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if st := r.store.Status(); len(st) != 0 {
		t.Errorf("after the commit: %+v", st)
	}
	r.must(h.Close())
}

func TestBelow(t *testing.T) {
	tests := []struct {
		key, dir string
		want     bool
	}{
		{"a/b", "", true}, {"a", "a", true}, {"a/", "a", true}, {"a/b", "a", true}, {"a/b", "a/", true},
		{"ab", "a", false}, {"b", "a", false}, {"a", "a/b", false},
	}
	for _, tt := range tests {
		if got := Below(tt.key, tt.dir); got != tt.want {
			t.Errorf("Below(%q, %q) = %v", tt.key, tt.dir, got)
		}
	}
}
