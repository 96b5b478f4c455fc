package writeback

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// refuseCopies makes the service forbid copies to keys that match.
func (r *rig) refuseCopies(to string) (lift func()) {
	return r.srv.AddRule(cosserver.Rule{Op: "CopyObject", Key: to, Action: cosserver.Fail, Status: 403, Code: "InvalidObjectState"})
}

// leave renames directory d, of some objects, to e; the service refuses to copy d/cold.
func (r *rig) leave() (lift func()) {
	r.t.Helper()
	for i := range 5 {
		r.put(fmt.Sprint("d/", i), []byte{byte('0' + i)})
	}
	r.put("d/cold", []byte("cold"))
	lift = r.refuseCopies("e/cold")
	r.must(r.store.RenameTree("d/", "e/"))
	return lift
}

// wantBehind fails unless the Store shows e/cold, with these bytes, as the one file that could not be moved,
// and no d/cold.
func (r *rig) wantBehind(s *Store, text string) FileStatus {
	r.t.Helper()
	st := s.Status()
	if len(st) != 1 || st[0].Key != "e/cold" || st[0].State != StateFailed || st[0].Err == "" {
		r.t.Fatalf("status %+v, want that e/cold failed", st)
	}
	if l, ok := s.Local("d/cold"); !ok || !l.Deleted {
		r.t.Errorf("d/cold: %+v, %v, want it deleted", l, ok)
	}
	l, ok := s.Local("e/cold")
	if !ok || l.File == nil {
		r.t.Fatalf("e/cold: %+v, %v, want a file", l, ok)
	}
	h := r.open(s, "e/cold", false)
	if got := string(r.read(h)); got != text {
		r.t.Errorf("e/cold reads %q, want %q", got, text)
	}
	if err := h.Close(); err != nil && !strings.Contains(err.Error(), "InvalidObjectState") {
		r.t.Errorf("close: %v, want what the last try ended in", err)
	}
	return st[0]
}

// TestRenameLeavesBehind moves what the service lets it, keeps the rest readable under the new name, over a
// kill too, and moves it when it can.
func TestRenameLeavesBehind(t *testing.T) {
	r := newRig(t)
	lift := r.leave()
	r.wantObject("d/cold", []byte("cold"))
	for i := range 5 {
		r.wantObject(fmt.Sprint("e/", i), []byte{byte('0' + i)})
		if _, ok := r.object(fmt.Sprint("d/", i)); ok {
			t.Errorf("d/%d is still there", i)
		}
	}
	r.wantBehind(r.store, "cold")
	if err := r.store.Sync(t.Context(), ""); !errors.Is(err, cos.ErrInvalidState) {
		t.Errorf("sync: %v, want ErrInvalidState", err)
	}
	s := r.killed(r.store)
	r.wantBehind(s, "cold")
	lift()
	r.must(s.Sync(t.Context(), ""))
	r.wantObject("e/cold", []byte("cold"))
	if _, ok := r.object("d/cold"); ok {
		t.Error("d/cold is still there")
	}
	if st := s.Status(); len(st) != 0 {
		t.Errorf("status after all: %+v", st)
	}
}

// TestBehindSurvivesLostDeletion does not hear whether the old names were deleted. They are deleted later, but for
// the one that is the only copy.
func TestBehindSurvivesLostDeletion(t *testing.T) {
	r := newRig(t)
	heard := r.srv.AddRule(cosserver.Rule{Op: "DeleteObjects", Action: cosserver.Fail, Status: 503, Code: "SlowDown"})
	r.leave()
	if n := len(r.store.PendingRemovals()); n != 5 {
		t.Errorf("%d deletions wait, want 5", n)
	}
	heard()
	if err := r.store.Sync(t.Context(), ""); !errors.Is(err, cos.ErrInvalidState) {
		t.Errorf("sync: %v, want ErrInvalidState", err)
	}
	for i := range 5 {
		if _, ok := r.object(fmt.Sprint("d/", i)); ok {
			t.Errorf("d/%d is still there", i)
		}
	}
	r.wantObject("d/cold", []byte("cold"))
	r.wantBehind(r.store, "cold")
}

// TestRenameOfRefusedTree changes nothing if nothing can be copied.
func TestRenameOfRefusedTree(t *testing.T) {
	r := newRig(t)
	r.put("d/a", []byte("a"))
	r.put("d/b", []byte("b"))
	r.refuseCopies("e/*")
	if err := r.store.RenameTree("d/", "e/"); !errors.Is(err, cos.ErrInvalidState) {
		t.Fatalf("got %v, want ErrInvalidState", err)
	}
	for _, key := range []string{"d/a", "d/b"} {
		if l, ok := r.store.Local(key); ok {
			t.Errorf("%s: %+v", key, l)
		}
	}
	r.wantObject("d/a", []byte("a"))
	if st := r.store.Status(); len(st) != 0 {
		t.Errorf("status %+v", st)
	}
}

// TestBehindIsTheOnlyCopy lets nobody replace an object that was left behind: a new file of its old name, a
// file or a directory renamed there.
func TestBehindIsTheOnlyCopy(t *testing.T) {
	r := newRig(t)
	lift := r.leave()
	h := r.create(r.store, "d/cold", false)
	r.write(h, []byte("new"), 0)
	if err := h.Flush(); !errors.Is(err, ErrInUse) {
		t.Errorf("new file: %v, want ErrInUse", err)
	}
	r.put("f", []byte("f"))
	g := r.open(r.store, "f", false)
	if err := r.store.Rename(g.f, "d/cold", true); !errors.Is(err, ErrInUse) {
		t.Errorf("rename of a file: %v, want ErrInUse", err)
	}
	r.must(g.Close())
	r.put("g/cold", []byte("g"))
	if err := r.store.RenameTree("g/", "d/"); !errors.Is(err, ErrInUse) {
		t.Errorf("rename of a directory: %v, want ErrInUse", err)
	}
	r.wantObject("d/cold", []byte("cold"))
	lift()
	r.must(errors.Join(r.store.SyncBelow(t.Context(), "e"), h.Flush(), h.Close(), r.store.Sync(t.Context(), "")))
	r.wantObject("e/cold", []byte("cold"))
	r.wantObject("d/cold", []byte("new"))
}

// TestBehindChanges works on a file that was left behind as on any other.
func TestBehindChanges(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, h *Handle)
		key    string // where it is in the end; "" = nowhere
		want   string
	}{
		{"write", func(r *rig, h *Handle) { r.write(h, []byte("C"), 0); r.must(h.Flush()) }, "e/cold", "Cold"},
		{"append", func(r *rig, h *Handle) { r.write(h, []byte("er"), 4); r.must(h.Flush()) }, "e/cold", "colder"},
		{"truncate", func(r *rig, h *Handle) { r.must(h.Truncate(0)); r.must(h.Fsync(r.t.Context())) }, "e/cold", ""},
		{"chmod", func(r *rig, h *Handle) {
			r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
		}, "e/cold", "cold"},
		{"unlink", func(r *rig, h *Handle) { r.must(r.store.Remove(h.f)) }, "", ""},
		{"rename", func(r *rig, h *Handle) {
			if err := r.store.Rename(h.f, "n", false); !errors.Is(err, cos.ErrInvalidState) {
				r.t.Errorf("rename: %v, want ErrInvalidState", err)
			}
		}, "e/cold", "cold"},
		{"rename of the directory", func(r *rig, _ *Handle) { r.must(r.store.RenameTree("e/", "n/")) }, "n/cold", "cold"},
		{"rename back", func(r *rig, _ *Handle) {
			if err := r.store.RenameTree("e/", "d/"); !errors.Is(err, ErrInUse) {
				r.t.Errorf("rename: %v, want ErrInUse", err)
			}
		}, "e/cold", "cold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			lift := r.leave()
			h := r.open(r.store, "e/cold", false)
			tt.change(r, h)
			s := r.killed(r.store)
			lift()
			r.must(errors.Join(s.Sync(t.Context(), ""), s.FlushRemovals("")))
			for _, key := range []string{"d/cold", "e/cold", "n/cold", "n"} {
				if got, ok := r.object(key); ok != (key == tt.key) || ok && string(got) != tt.want {
					t.Errorf("%s: there %v, %q; want %q at %q", key, ok, got, tt.want, tt.key)
				}
			}
			if st := s.Status(); len(st) != 0 {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// TestBehindDecided lets the user decide: Drop gives the object its old name back, and where somebody else has
// made the new one meanwhile Retry puts it over that.
func TestBehindDecided(t *testing.T) {
	r := newRig(t)
	lift := r.leave()
	s := r.killed(r.store)
	r.must(s.Drop(r.wantBehind(s, "cold").Ino))
	if l, ok := s.Local("d/cold"); ok && l.Deleted {
		t.Errorf("after Drop d/cold is %+v", l)
	}
	r.wantObject("d/cold", []byte("cold"))

	s = r.killed(r.store)
	r.put("e/cold", []byte("theirs"))
	lift()
	if err := s.Sync(t.Context(), ""); !errors.Is(err, ErrConflict) {
		t.Fatalf("sync: %v, want ErrConflict", err)
	}
	st := s.Status()
	if len(st) != 1 || st[0].State != StateConflict {
		t.Fatalf("status %+v, want a conflict", st)
	}
	_, err := s.Retry(t.Context(), st[0].Ino)
	r.must(errors.Join(err, s.FlushRemovals("")))
	r.wantObject("e/cold", []byte("cold"))
	if _, ok := r.object("d/cold"); ok {
		t.Error("d/cold is still there")
	}
}

// TestBehindLostReply moves the object without telling: the next try finds it there.
func TestBehindLostReply(t *testing.T) {
	r := newRig(t)
	lift := r.leave()
	lift()
	r.srv.AddRule(cosserver.Rule{Op: "CopyObject", When: cosserver.After, Action: cosserver.Reset, Limit: 1})
	r.must(r.store.Sync(t.Context(), ""))
	r.must(r.store.FlushRemovals(""))
	r.wantObject("e/cold", []byte("cold"))
	if _, ok := r.object("d/cold"); ok {
		t.Error("d/cold is still there")
	}
}
