package writeback

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cosfuse/cos/cosserver"
)

// exporter is a Store or an Offline.
type exporter interface {
	Export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]Gap, error)
}

// wantExport fails unless the local version of ino is want.
func wantExport(t *testing.T, s exporter, ino uint64, partial bool, want []byte, gaps ...Gap) {
	t.Helper()
	var b bytes.Buffer
	got, err := s.Export(t.Context(), ino, &b, partial)
	if err != nil || !bytes.Equal(b.Bytes(), want) || !slices.Equal(got, gaps) {
		t.Fatalf("exported %d bytes, gaps %v, %v; want %d, gaps %v", b.Len(), got, err, len(want), gaps)
	}
}

// offline opens what is left in the directory of s as if its process had been killed.
func (r *rig) offline(s *Store, withClient bool) *Offline {
	r.t.Helper()
	o := Options{Dir: r.t.TempDir()}
	r.must(os.CopyFS(o.Dir, os.DirFS(s.Dir)))
	if withClient {
		o.Client, o.Blocks = r.client, s.Blocks
	}
	off, err := OpenOffline(r.t.Context(), o)
	r.must(err)
	r.t.Cleanup(func() { r.must(off.Close()) })
	return off
}

// TestRetryConflict commits the version that lost over the one that won, live and without a mount.
func TestRetryConflict(t *testing.T) {
	for _, live := range []bool{true, false} {
		r := newRig(t)
		ino := r.conflict("k")
		var s interface {
			exporter
			Status() []FileStatus
			Retry(context.Context, uint64) (Replaced, error)
		} = r.store
		if !live {
			s = r.offline(r.store, true)
		}
		wantExport(t, s, ino, false, []byte("ours"))
		r.wantObject("k", []byte("theirs"))
		reader := r.open(r.store, "k", false)
		lift := r.srv.AddRule(cosserver.Rule{Op: "PutObject", Action: cosserver.Fail, Status: 403})
		if _, err := s.Retry(t.Context(), ino); err == nil {
			t.Fatal("a refused commit succeeded")
		}
		if st := s.Status(); len(st) != 1 || st[0].State != StateConflict || st[0].Err == "" {
			t.Errorf("live %v, after a refusal: %+v", live, st)
		}
		lift()
		got, err := s.Retry(t.Context(), ino)
		if err != nil || got.Key != "k" || got.Version.Size != int64(len("theirs")) {
			t.Fatalf("live %v: replaced %+v, %v", live, got, err)
		}
		r.wantObject("k", []byte("ours"))
		if st := s.Status(); len(st) != 0 {
			t.Errorf("live %v, after the retry: %+v", live, st)
		}
		if l, ok := r.store.Local("k"); live && (!ok || l.File != nil || l.Version.Size != int64(len("ours"))) {
			t.Errorf("the name shows %+v, %v", l, ok)
		}
		r.must(reader.Close())
		if _, err := s.Retry(t.Context(), ino); !errors.Is(err, ErrNoSuchFile) {
			t.Errorf("live %v, once more: %v", live, err)
		}
	}
}

// TestConflictOnBase edits the middle of an object that somebody else replaces: what was only in the old
// version is gone, what was written here is not.
func TestConflictOnBase(t *testing.T) {
	r := newRig(t)
	base := random(300)
	r.put("k", base)
	h := r.open(r.store, "k", false)
	r.write(h, []byte("ours"), 100)
	r.put("k", []byte("theirs"))
	h.f.mu.Lock()
	h.f.base.Confirmed = h.f.base.Confirmed.Add(-confirmedFor)
	h.f.mu.Unlock()
	if err := h.Flush(); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	if _, err := r.store.Retry(t.Context(), h.f.ino); !errors.Is(err, ErrInUse) {
		t.Errorf("retry while it is open: %v", err)
	}
	if err := r.store.Drop(h.f.ino); !errors.Is(err, ErrInUse) {
		t.Errorf("drop while it is open: %v", err)
	}
	_ = h.Close() // told already
	for _, s := range []exporter{r.store, r.offline(r.store, true), r.offline(r.store, false)} {
		if _, err := s.Export(t.Context(), h.f.ino, io.Discard, false); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%T: export: %v, want ErrIncomplete", s, err)
		}
		want := make([]byte, 300)
		copy(want[100:], "ours")
		wantExport(t, s, h.f.ino, true, want, Gap{0, 100}, Gap{104, 300})
	}
	if _, err := r.store.Retry(t.Context(), h.f.ino); !errors.Is(err, ErrIncomplete) {
		t.Errorf("retry: %v, want ErrIncomplete", err)
	}
	r.put("k", base) // and back
	want := slices.Clone(base)
	copy(want[100:], "ours")
	wantExport(t, r.store, h.f.ino, false, want)
	_, err := r.store.Retry(t.Context(), h.f.ino)
	r.must(err)
	r.wantObject("k", want)
}

// TestRetryUnfinishedUpload deals with a conflict some of whose bytes are only in an upload: nobody can
// export them, but retry completes the upload.
func TestRetryUnfinishedUpload(t *testing.T) {
	for _, live := range []bool{true, false} {
		r := newRig(t, stagingLimit(32*mib))
		f, err := r.store.Create("big", fileAttr(), CreateMode{Excl: true})
		r.must(err)
		h := f.Open(false)
		f.Release()
		data := random(50 * mib)
		r.writeAll(h, data, 0)
		r.put("big", []byte("theirs"))
		if err := h.Flush(); !errors.Is(err, ErrExists) {
			t.Fatalf("got %v, want ErrExists", err)
		}
		_ = h.Close() // told already
		if _, err := r.store.Export(t.Context(), f.ino, io.Discard, false); !errors.Is(err, ErrIncomplete) {
			t.Errorf("export: %v, want ErrIncomplete", err)
		}
		retry := r.store.Retry
		if !live {
			retry = r.offline(r.store, true).Retry
		}
		_, err = retry(t.Context(), f.ino)
		r.must(err)
		r.wantObject("big", data)
	}
}

// TestDropAbortsUpload leaves no upload behind.
func TestDropAbortsUpload(t *testing.T) {
	r := newRig(t, stagingLimit(32*mib))
	lift := r.srv.AddRule(cosserver.Rule{Op: "CompleteMultipart", Action: cosserver.Fail, Status: 403})
	h := r.create(r.store, "big", false)
	r.writeAll(h, random(50*mib), 0)
	if err := h.Close(); err == nil {
		t.Fatal("a refused commit succeeded")
	}
	lift()
	r.must(r.store.Drop(h.f.ino))
	up, err := r.client.ListUploads(t.Context(), nil)
	r.must(err)
	if len(up.Uploads) != 0 {
		t.Errorf("left behind: %+v", up.Uploads)
	}
}

// TestRetryAttributes gives attributes to the version that another writer made.
func TestRetryAttributes(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	h := r.open(r.store, "k", false)
	r.must(h.f.SetAttr(func(a *Attr) error { a.UID = 7; return nil }))
	r.put("k", []byte("theirs"))
	if err := h.Fsync(t.Context()); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	_ = h.Close()
	_, err := r.store.Retry(t.Context(), h.f.ino)
	r.must(err)
	r.wantObject("k", []byte("theirs"))
	i, err := r.client.Head(t.Context(), "k", nil)
	r.must(err)
	if got := i.Headers.Meta["uid"]; got != "7" {
		t.Errorf("owner %q, want 7", got)
	}
}

// TestDrop forgets a conflict and a file that cannot be committed: the names show what is in COS.
func TestDrop(t *testing.T) {
	r := newRig(t)
	ino := r.conflict("k")
	r.put("refused", []byte("old"))
	r.srv.AddRule(cosserver.Rule{Op: "PutObject", Key: "refused", Action: cosserver.Fail, Status: 403})
	h := r.open(r.store, "refused", false)
	r.must(h.Replace())
	r.write(h, []byte("new"), 0)
	if err := h.Close(); err == nil {
		t.Fatal("a refused commit succeeded")
	}
	off := r.offline(r.store, false)
	for _, s := range []interface {
		Status() []FileStatus
		Drop(uint64) error
	}{off, r.store} {
		r.must(s.Drop(ino))
		r.must(s.Drop(h.f.ino))
		if st := s.Status(); len(st) != 0 {
			t.Errorf("%T: left: %+v", s, st)
		}
		if err := s.Drop(ino); !errors.Is(err, ErrNoSuchFile) {
			t.Errorf("%T: once more: %v", s, err)
		}
	}
	if again := r.killed(r.store).Recovered(); again.Any() {
		t.Errorf("dropped files are recovered: %+v", again)
	}
	if list, err := os.ReadDir(r.store.stagingDir()); err != nil || len(list) != 0 {
		t.Errorf("staging files left: %v, %v", list, err)
	}
	if l, ok := r.store.Local("refused"); ok && l.File != nil {
		t.Error("the dropped file still has its name")
	}
	r.wantObject("refused", []byte("old"))
}

// TestOfflineCarriesNothingOut opens what a mount left, commits one file, and leaves the rest.
func TestOfflineCarriesNothingOut(t *testing.T) {
	r := newRig(t, background)
	var inos []uint64
	for _, key := range []string{"a", "b"} {
		h := r.create(r.store, key, false)
		r.write(h, []byte(key), 0)
		r.must(h.Flush())
		r.must(h.Close())
		inos = append(inos, h.f.ino)
	}
	lost := r.create(r.store, "lost", false)
	r.write(lost, random(100<<10), 0)
	r.must(lost.Flush())
	r.must(lost.Close())
	dir := t.TempDir()
	r.must(os.CopyFS(dir, os.DirFS(r.store.Dir)))
	r.must(os.Truncate(filepath.Join(dir, "staging", stagingName(lost.f.ino, 1)), 10))
	off, err := OpenOffline(t.Context(), Options{Dir: dir, Client: r.client, Blocks: r.store.Blocks})
	r.must(err)
	if _, err := off.Retry(t.Context(), lost.f.ino); !errors.Is(err, ErrIncomplete) {
		t.Errorf("retry of a damaged file: %v", err)
	}
	if _, err := off.Export(t.Context(), lost.f.ino, io.Discard, false); !errors.Is(err, ErrIncomplete) {
		t.Errorf("export of a damaged file: %v", err)
	}
	_, err = off.Retry(t.Context(), inos[1])
	r.must(err)
	r.must(off.Close())
	r.wantObject("b", []byte("b"))
	if _, ok := r.object("a"); ok {
		t.Error("a file nobody asked for was committed")
	}
	left, err := ReadLeft(dir)
	r.must(err)
	if len(left.Files) != 2 {
		t.Errorf("left: %+v", left.Files)
	}
	if _, err := OpenOffline(t.Context(), Options{Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of an empty directory: %v", err)
	}
}
