package writeback

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/writeback/journal"
)

func background(o *Options) { o.Background = true }

// killed opens a Store on what would be left of s if its process were killed now.
func (r *rig) killed(s *Store, change ...func(*Options)) *Store {
	r.t.Helper()
	dir := r.t.TempDir()
	r.must(os.CopyFS(dir, os.DirFS(s.Dir)))
	return r.newStore(append(change, func(o *Options) { o.Dir = dir })...)
}

// TestBackgroundSurvivesKill closes files that are only in the journal, kills the Store, and finds them.
func TestBackgroundSurvivesKill(t *testing.T) {
	r := newRig(t, background)
	big := random(200 << 10) // beyond what goes into the journal itself
	for i := range 20 {
		h := r.create(r.store, fmt.Sprintf("f%d", i), false)
		r.write(h, fmt.Append(nil, "file ", i), 0)
		r.must(h.Flush())
		r.must(h.Close())
	}
	h := r.create(r.store, "big", false)
	r.write(h, big, 0)
	r.must(h.Flush())
	r.write(h, []byte("never acknowledged"), 0)
	r.wantRequests(nil)
	s := r.killed(r.store)
	if got := s.Recovered(); got.Files != 21 {
		t.Fatalf("recovered %+v, want 21 files", got)
	}
	if l, ok := s.Local("f7"); !ok || l.File == nil {
		t.Fatal("a recovered file is not in the tree")
	}
	r.must(s.Sync(t.Context(), ""))
	for i := range 20 {
		r.wantObject(fmt.Sprintf("f%d", i), fmt.Append(nil, "file ", i))
	}
	r.wantRequests(map[string]int64{"PutObject": 21, "GetObject": 20, "HeadObject": 21})
	got, _ := r.object("big")
	if string(got[18:]) != string(big[18:]) {
		t.Fatal("acknowledged bytes differ")
	}
	if again := r.killed(s).Recovered(); again.Any() {
		t.Fatalf("committed files are recovered once more: %+v", again)
	}
	r.must(h.Close())
}

// TestBackgroundCoalesces commits bursts to one key, and files that were renamed before, once.
func TestBackgroundCoalesces(t *testing.T) {
	r := newRig(t, background)
	var want []byte
	h := r.create(r.store, "log", true)
	for i := range 50 {
		line := fmt.Appendf(nil, "line %d\n", i)
		want = append(want, line...)
		r.write(h, line, 0)
		r.must(h.Flush())
		r.must(h.Close())
		h = r.open(r.store, "log", true)
	}
	r.must(h.Close())
	lock := r.create(r.store, "index.lock", false)
	r.write(lock, []byte("index"), 0)
	r.must(lock.Flush())
	r.must(r.store.Rename(lock.f, "index", false))
	r.must(lock.Close())
	r.wantRequests(nil)
	s := r.killed(r.store)
	r.must(s.Sync(t.Context(), ""))
	r.wantRequests(map[string]int64{"AppendObject": 1, "PutObject": 1, "HeadObject": 1})
	r.wantObject("log", want)
	r.wantObject("index", []byte("index"))
}

// TestFailedCommitIsKept refuses a commit, kills the Store, and commits after the refusal is lifted.
func TestFailedCommitIsKept(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	lift := r.srv.AddRule(cosserver.Rule{Op: "PutObject", Action: cosserver.Fail, Status: 403})
	h := r.open(r.store, "k", false)
	r.must(h.Replace())
	r.write(h, []byte("new"), 0)
	if err := h.Flush(); !errors.Is(err, cos.ErrAccessDenied) {
		t.Fatalf("got %v, want access denied", err)
	}
	r.wantObject("k", []byte("old"))
	s := r.killed(r.store)
	lift()
	r.must(s.Sync(t.Context(), ""))
	r.wantObject("k", []byte("new"))
	r.must(h.Close())
}

// TestConflictIsParked shows the other writer's version under the name and keeps ours for the user.
func TestConflictIsParked(t *testing.T) {
	r := newRig(t)
	f, err := r.store.Create("k", fileAttr(), CreateMode{Excl: true})
	r.must(err)
	h := f.Open(false)
	f.Release()
	r.write(h, []byte("mine"), 0)
	r.put("k", []byte("theirs"))
	if err := h.Flush(); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	if err := h.Close(); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	if l, ok := r.store.Local("k"); ok {
		t.Fatalf("the name still shows our version: %+v", l)
	}
	s := r.killed(r.store)
	if got := s.Recovered(); got.Conflicts != 1 || got.Files != 0 {
		t.Fatalf("recovered %+v", got)
	}
	r.must(s.Sync(t.Context(), ""))
	r.wantObject("k", []byte("theirs"))
}

// TestAcknowledgedNamesSurviveKill covers mkdir, setattr and unlink of an open file.
func TestAcknowledgedNamesSurviveKill(t *testing.T) {
	r := newRig(t)
	r.put("attr", []byte("x"))
	r.put("doomed", []byte("x"))
	r.put("doomed2", []byte("x"))
	d, err := r.store.Create("dir/", Attr{Mode: syscall.S_IFDIR | 0o700}, CreateMode{})
	r.must(err)
	a := r.open(r.store, "attr", false)
	r.must(a.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
	h, g := r.open(r.store, "doomed", false), r.open(r.store, "doomed2", false)
	r.must(r.store.Remove(h.f))
	r.must(r.store.Remove(g.f))
	r.put("doomed2", []byte("made anew elsewhere"))

	s := r.killed(r.store)
	if got := s.Recovered(); got.Files != 2 || got.Removals != 2 {
		t.Fatalf("recovered %+v", got)
	}
	r.must(s.Sync(t.Context(), ""))
	i, err := r.client.Head(t.Context(), "attr", nil)
	r.must(err)
	if m := DecodeAttr(i, AttrDefaults{}).Mode; m != syscall.S_IFREG|0o600 {
		t.Errorf("mode %o", m)
	}
	r.wantObject("dir/", nil)
	if _, ok := r.object("doomed"); ok {
		t.Error("an unlinked file came back")
	}
	r.wantObject("doomed2", []byte("made anew elsewhere"))
	d.Release()
	for _, h := range []*Handle{a, h, g} {
		r.must(h.Close())
	}
}

// TestRenameTreeRollsForward kills a directory's rename between copies and deletions.
func TestRenameTreeRollsForward(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.put(fmt.Sprintf("d/%d", i), fmt.Append(nil, i))
	}
	b := r.store.journal.Begin()
	b.PutRename(journal.TreeRename{ID: 9, Src: "d/", Dst: "e/", Since: time.Now()})
	r.must(b.Commit(journal.Sync))
	r.put("e/0", []byte("0")) // copied before the kill
	_, err := r.client.DeleteMany(t.Context(), []string{"d/1"})
	r.must(err)
	r.put("e/1", []byte("1")) // moved before the kill
	r.requests()
	s := r.killed(r.store)
	if got := s.Recovered(); got.Renames != 1 {
		t.Fatalf("recovered %+v", got)
	}
	if got := r.requests()["CopyObject"]; got != 2 {
		t.Errorf("%d copies, want 2: one was there", got)
	}
	for i := range 4 {
		r.wantObject(fmt.Sprintf("e/%d", i), fmt.Append(nil, i))
		if _, ok := r.object(fmt.Sprintf("d/%d", i)); ok {
			t.Errorf("d/%d is still there", i)
		}
	}
	if again := r.killed(s).Recovered(); again.Any() {
		t.Errorf("the rename is recovered once more: %+v", again)
	}
}

// TestUploadsAreAborted leaves no multipart upload of ours behind a kill.
func TestUploadsAreAborted(t *testing.T) {
	r := newRig(t)
	lift := r.srv.AddRule(cosserver.Rule{Op: "UploadPart", Part: 2, Action: cosserver.Stall})
	h := r.create(r.store, "big", false)
	r.write(h, random(21*mib), 0)
	done := make(chan error)
	go func() { done <- h.Flush() }()
	r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests >= 2 })
	s := r.killed(r.store)
	if got := s.Recovered(); got.Uploads != 1 {
		t.Fatalf("recovered %+v", got)
	}
	lift()
	if err := <-done; err == nil {
		t.Fatal("a commit succeeded whose upload was aborted")
	}
	up, err := r.client.ListUploads(t.Context(), nil)
	r.must(err)
	for _, u := range up.Uploads {
		t.Errorf("left behind: %+v", u)
	}
	_ = h.Close() // it fails or not: its upload was taken away
}

// waitFor polls until cond holds; the test's deadline ends it otherwise.
func (r *rig) waitFor(cond func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-r.t.Context().Done():
			r.t.Fatal("the test ended first")
		}
	}
}

// TestAppliedCommitIsRecognised kills the Store after the service applied a commit and before its reply:
// recovery neither sends it again nor takes it for somebody else's.
func TestAppliedCommitIsRecognised(t *testing.T) {
	tests := []struct {
		name, op string
		appends  bool
	}{{"put", "PutObject", false}, {"append", "AppendObject", true}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, background)
			h := r.create(r.store, "k", tt.appends)
			r.write(h, []byte("one\n"), 0)
			r.must(h.Flush())
			lift := r.srv.AddRule(cosserver.Rule{Op: tt.op, When: cosserver.After, Action: cosserver.Stall})
			done := make(chan error)
			go func() { done <- r.store.Sync(t.Context(), "") }()
			r.waitFor(func() bool { _, ok := r.object("k"); return ok })
			s := r.killed(r.store, background)
			lift()
			r.must(<-done)
			r.requests()
			r.must(s.Sync(t.Context(), ""))
			if n := r.requests()[tt.op]; n != 0 {
				t.Errorf("sent %d times more", n)
			}
			r.wantObject("k", []byte("one\n"))
			r.must(h.Close())
		})
	}
}

// TestAcknowledgedBytesAreNotOverwritten writes over, cuts and writes again what was acknowledged, and kills
// the Store before anything more is: the file is as it was acknowledged, not half of each.
func TestAcknowledgedBytesAreNotOverwritten(t *testing.T) {
	r := newRig(t, background)
	want := random(200 << 10) // beyond what goes into the journal itself
	h := r.create(r.store, "k", false)
	r.write(h, want, 0)
	r.must(h.Flush())
	for _, change := range []func(){
		func() { r.write(h, random(1000), 5000) },
		func() { r.must(h.Truncate(100)) },
		func() { r.write(h, random(150<<10), 50) },
		func() { r.must(h.Truncate(0)) },
		func() { r.write(h, random(10), 7) },
	} {
		change()
		s := r.killed(r.store, background)
		if got := s.Recovered(); got.Damaged != 0 {
			t.Fatalf("recovered %+v", got)
		}
		k := r.open(s, "k", false)
		if got := r.read(k); string(got) != string(want) {
			t.Fatalf("%d bytes, equal up to %d, want the %d acknowledged ones", len(got), commonPrefix(got, want), len(want))
		}
		r.must(k.f.s.Remove(k.f)) // or its close would commit it
		r.must(k.Close())
	}
	r.must(h.Fsync(t.Context()))
	r.must(h.Close())
}
