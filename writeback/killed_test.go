package writeback

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/writeback/journal"
)

// killedAt lets act run and returns a Store on what would be left if the process were killed when s passes the
// failpoint for the n-th time.
func (r *rig) killedAt(failpoint string, n int, act func(s *Store), change ...func(*Options)) *Store {
	r.t.Helper()
	dir := r.t.TempDir()
	var passed atomic.Int64
	act(r.newStore(append(change, func(o *Options) {
		live := o.Dir
		o.Failpoint = func(name string) {
			if name != failpoint || passed.Add(1) != int64(n) {
				return
			}
			if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
				r.t.Error(err)
			}
		}
	})...))
	if got := passed.Load(); got < int64(n) {
		r.t.Fatalf("%s was passed %d times", failpoint, got)
	}
	return r.newStore(append(change, func(o *Options) { o.Dir = dir })...)
}

// records returns what the journal of a killed Store says.
func (r *rig) records(s *Store) *journal.State {
	r.t.Helper()
	st, err := s.journal.Load()
	r.must(err)
	return st
}

// TestAttemptUnknownToTheJournal sends a commit of a file that has no record, records a change of its attributes
// meanwhile, and kills the Store after the service applied the commit: that is recognised as ours.
func TestAttemptUnknownToTheJournal(t *testing.T) {
	tests := []struct {
		name, op string
		size     int
		patch    bool // of a base of that size, not all of it
	}{
		{"put", "PutObject", 1000, false},
		{"parts", "CompleteMultipart", 21 * mib, false},
		{"patch", "CompleteMultipart", 21 * mib, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			want := random(tt.size)
			r.put("k", want)
			h := r.open(r.store, "k", false)
			if tt.patch {
				copy(want, "changed")
				r.write(h, []byte("changed"), 0)
			} else {
				want = random(tt.size)
				r.must(h.Replace())
				r.write(h, want, 0)
			}
			before := r.etag("k")
			lift := r.srv.AddRule(cosserver.Rule{Op: tt.op, When: cosserver.After, Action: cosserver.Stall})
			done := make(chan error)
			go func() { done <- h.Flush() }()
			r.waitFor(func() bool { return r.etag("k") != before })
			r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
			s := r.killed(r.store)
			lift()
			r.must(<-done)
			r.must(s.Sync(t.Context(), ""))
			if got := s.Status(); len(got) > 0 {
				t.Errorf("left: %+v", got)
			}
			r.wantObject("k", want)
			i, err := r.client.Head(t.Context(), "k", nil)
			r.must(err)
			if m := DecodeAttr(i, AttrDefaults{}).Mode; m != syscall.S_IFREG|0o600 {
				t.Errorf("mode %o", m)
			}
			r.must(h.Close())
		})
	}
}

// etag asks for an object's ETag.
func (r *rig) etag(key string) string {
	r.t.Helper()
	i, err := r.client.Head(r.t.Context(), key, nil)
	r.must(err)
	return i.ETag
}

// TestTwoRecordsOfOneNameNeverMeet renames a file over another when the journal knows both, and kills the Store
// after each record: only one of them may have the name.
func TestTwoRecordsOfOneNameNeverMeet(t *testing.T) {
	for n := 1; n <= 3; n++ { // two closes, one rename
		r := newRig(t)
		s := r.killedAt(fpPersistDone, n, func(s *Store) {
			var files []*Handle
			for _, key := range []string{"a", "b"} {
				h := r.create(s, key, false)
				r.write(h, []byte(key), 0)
				r.must(h.Flush())
				files = append(files, h)
			}
			r.must(s.Rename(files[0].f, "b", true))
			for _, h := range files {
				r.must(h.Close())
			}
		}, background)
		seen := map[string]bool{}
		for _, i := range r.records(s).Inodes {
			if seen[i.Key] {
				t.Errorf("killed after record %d: %q has two", n, i.Key)
			}
			seen[i.Key] = true
		}
		r.must(s.Sync(t.Context(), ""))
		if n == 3 {
			r.wantObject("b", []byte("a"))
		}
	}
}

// TestRenamedOverAnObject renames files that were never committed over an object, kills the Store, and commits:
// what they replace is not taken for somebody else's newer version, however old the files are.
func TestRenamedOverAnObject(t *testing.T) {
	for _, written := range []bool{false, true} {
		r := newRig(t)
		var behind atomic.Int64
		s := r.newStore(background, func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }
		})
		behind.Store(int64(time.Hour))
		h := r.create(s, "a", false)
		if written {
			r.write(h, []byte("new"), 0)
			r.must(h.Flush())
		}
		behind.Store(0)
		r.put("b", []byte("old"))
		old := r.open(s, "b", false)
		r.must(s.Rename(h.f, "b", true))
		k := r.killed(s, background)
		r.must(k.Sync(t.Context(), ""))
		if got := k.Status(); len(got) > 0 {
			t.Errorf("left: %+v", got)
		}
		want := map[bool]string{true: "new"}[written]
		r.wantObject("b", []byte(want))
		r.must(old.Close())
		r.must(s.Remove(h.f)) // it lost its name to the other Store
		r.must(h.Close())
	}
}

// TestRenamedDirectoryKeepsItsMode renames a directory over an empty one of another mode, and kills the Store
// when the journal knows that: the markers look the same, but for the mode.
func TestRenamedDirectoryKeepsItsMode(t *testing.T) {
	r := newRig(t)
	s := r.killedAt(fpTreeRecorded, 1, func(s *Store) {
		for dir, mode := range map[string]uint32{"a/": 0o700, "b/": 0o755} {
			f, err := s.Create(dir, Attr{Mode: syscall.S_IFDIR | mode}, CreateMode{})
			r.must(err)
			f.Release()
		}
		r.must(s.Sync(t.Context(), ""))
		lift := r.srv.AddRule(cosserver.Rule{Op: "CopyObject", Action: cosserver.Fail, Status: 403})
		if err := s.RenameTree("a/", "b/"); err == nil {
			t.Error("renamed, though nothing can be copied")
		}
		lift()
	})
	i, err := r.client.Head(t.Context(), "b/", nil)
	r.must(err)
	if m := DecodeAttr(i, AttrDefaults{}).Mode; m != syscall.S_IFDIR|0o700 {
		t.Errorf("mode %o after %+v", m, s.Recovered())
	}
}

// TestDeletedFileStaysWhereItWas renames the directory of a file that was deleted while it is open, and kills the
// Store when the journal knows both: the file does not come back under the new name.
func TestDeletedFileStaysWhereItWas(t *testing.T) {
	r := newRig(t)
	r.put("a/kept", []byte("x"))
	r.put("a/gone", []byte("x"))
	var held *Handle
	s := r.killedAt(fpTreeRecorded, 1, func(s *Store) {
		h := r.open(s, "a/gone", false)
		r.must(s.Remove(h.f))
		r.must(s.RenameTree("a/", "b/"))
		r.put("a/kept", []byte("x")) // as it was when the kill came
		_, err := r.client.DeleteMany(t.Context(), []string{"b/kept"})
		r.must(err)
		held = h
	})
	if got := s.Recovered(); got.Renames != 1 || got.Removals != 1 {
		t.Fatalf("recovered %+v", got)
	}
	r.wantObject("b/kept", []byte("x"))
	for _, key := range []string{"a/gone", "b/gone"} {
		if _, ok := r.object(key); ok {
			t.Errorf("%s is there", key)
		}
	}
	r.must(held.Close())
}

// TestClosedWhileItIsUnlinked closes the last handle of a file in the middle of its unlink: the object goes all
// the same, and a new file of that name has nothing of it.
func TestClosedWhileItIsUnlinked(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	var h *Handle
	s := r.newStore(func(o *Options) {
		o.Failpoint = func(name string) {
			if name == fpRemoveRecorded {
				r.must(h.Close())
			}
		}
	})
	h = r.open(s, "k", true)
	f := h.f
	r.must(s.Remove(f))
	again := r.create(s, "k", true)
	r.write(again, []byte("new"), 0)
	r.must(again.Flush())
	r.wantObject("k", []byte("new"))
	r.must(s.Remove(again.f))
	r.must(again.Close())
	r.must(s.FlushRemovals(""))
	if _, ok := r.object("k"); ok {
		t.Error("the object is still there")
	}
}

// TestReplacedWhileItIsAppended replaces what was appended while the service has no reply yet. The append was ours,
// though its bytes are not here any more, and what replaces them does not follow it: in the Store that goes on, and
// in one that finds the journal after a kill.
func TestReplacedWhileItIsAppended(t *testing.T) {
	for _, kill := range []bool{false, true} {
		r := newRig(t)
		s := r.newStore(background)
		h := r.create(s, "k", true)
		r.write(h, []byte("one\n"), 0)
		r.must(h.Flush())
		lift := r.srv.AddRule(cosserver.Rule{Op: "AppendObject", When: cosserver.After, Action: cosserver.Stall})
		done := make(chan error)
		go func() { done <- s.Sync(t.Context(), "") }()
		r.waitFor(func() bool { _, ok := r.object("k"); return ok })
		r.must(h.Replace())
		r.write(h, []byte("another"), 0)
		r.must(h.Flush())
		next := s
		if kill {
			next = r.killed(s, background)
		}
		lift()
		r.must(<-done)
		r.must(next.Sync(t.Context(), ""))
		r.wantObject("k", []byte("another"))
		r.must(s.Remove(h.f)) // or its close would meet the other Store's object
		r.must(h.Close())
	}
}

// TestOldNamesAreDeletedLater renames a directory while nothing can be deleted, makes a file under an old name, and
// kills the Store: the other old names go, and the new file stays where it was made.
func TestOldNamesAreDeletedLater(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		r.put(fmt.Sprintf("a/%d", i), []byte("old"))
	}
	lift := r.srv.AddRule(cosserver.Rule{Op: "DeleteObjects", Action: cosserver.Fail, Status: 500})
	s := r.newStore()
	r.must(s.RenameTree("a/", "b/"))
	if got := s.PendingRemovals(); len(got) != 3 {
		t.Fatalf("%v wait to be deleted, want three", got)
	}
	h := r.create(s, "a/1", false)
	r.write(h, []byte("new"), 0)
	r.must(h.Flush())
	k := r.killed(s)
	lift()
	r.must(errors.Join(s.FlushRemovals(""), k.FlushRemovals("")))
	r.wantObject("a/1", []byte("new"))
	for i := range 3 {
		r.wantObject(fmt.Sprintf("b/%d", i), []byte("old"))
	}
	for _, key := range []string{"a/0", "a/2"} {
		if _, ok := r.object(key); ok {
			t.Errorf("%s is still there", key)
		}
	}
	r.must(h.Close())
}
