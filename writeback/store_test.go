package writeback

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// TestEchoCostsOneRequest runs the calls of `echo x > new`: a FLUSH comes before anything is written.
func TestEchoCostsOneRequest(t *testing.T) {
	r := newRig(t)
	h := r.create(r.store, "d/new", false)
	r.must(h.Flush()) // the shell's dup2
	r.wantRequests(nil)
	r.write(h, []byte("x\n"), 0)
	r.must(h.Flush())
	r.wantRequests(map[string]int64{"PutObject": 1})
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(nil)
	r.wantObject("d/new", []byte("x\n"))
}

// TestTouchCostsOneRequest commits an empty file at its last close, with the attributes set before.
func TestTouchCostsOneRequest(t *testing.T) {
	r := newRig(t)
	h := r.create(r.store, "new", false)
	when := time.Unix(1600000000, 5)
	r.must(h.f.SetAttr(func(a *Attr) error { a.Mtime = when; return nil }))
	r.must(h.Flush())
	r.wantRequests(nil)
	r.must(h.Close())
	r.wantRequests(map[string]int64{"PutObject": 1})
	i, err := r.client.Head(t.Context(), "new", nil)
	r.must(err)
	if a := DecodeAttr(i, AttrDefaults{}); !a.Mtime.Equal(when) || a.Mode != syscall.S_IFREG|0o644 {
		t.Fatalf("got %+v", a)
	}
}

// TestOverwriteIsAtomic truncates and rewrites an object that others must never see empty.
func TestOverwriteIsAtomic(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	h := r.open(r.store, "k", false)
	r.requests()
	r.must(h.Replace())
	r.must(h.Flush())
	r.wantObject("k", []byte("old"))
	r.requests()
	r.write(h, []byte("new"), 0)
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(map[string]int64{"GetObjectACL": 1, "GetObjectTagging": 1, "PutObject": 1})
	r.wantObject("k", []byte("new"))
}

// TestSharedStdout flushes from thirty children without uploading unchanged data.
func TestSharedStdout(t *testing.T) {
	r := newRig(t)
	h := r.create(r.store, "out", false)
	r.write(h, []byte("one line\n"), 0)
	for range 30 {
		r.must(h.Flush())
	}
	r.must(h.Close())
	r.wantRequests(map[string]int64{"PutObject": 1})
}

// TestAppends sends exactly the appended bytes, one request a close.
func TestAppends(t *testing.T) {
	r := newRig(t)
	var want []byte
	for i := range 50 {
		var h *Handle
		if i == 0 {
			h = r.create(r.store, "log", true)
		} else {
			l, _ := r.store.Local("log")
			f := r.store.Acquire("log", l.Version, l.Attr)
			h = f.Open(true)
			f.Release()
		}
		line := fmt.Appendf(nil, "line %d\n", i)
		want = append(want, line...)
		r.must(h.Flush())
		r.write(h, line, 0)
		r.must(h.Flush())
		r.must(h.Close())
	}
	st := r.srv.Stats()["AppendObject"]
	if st.Requests != 50 || st.BytesIn != int64(len(want)) {
		t.Fatalf("%d appends of %d bytes, want 50 of %d", st.Requests, st.BytesIn, len(want))
	}
	r.wantRequests(map[string]int64{"AppendObject": 50})
	r.wantObject("log", want)
}

// TestTwoAppenders lets two mounts append lines to one file: each line is there once, whole.
func TestTwoAppenders(t *testing.T) {
	r := newRig(t)
	other := r.newStore()
	h := r.create(r.store, "log", true)
	r.write(h, []byte("first\n"), 0)
	r.must(h.Flush())
	g := r.open(other, "log", true)
	want := "first\n"
	for i := range 10 {
		a, b := fmt.Sprintf("a%d\n", i), fmt.Sprintf("b%d\n", i)
		r.write(h, []byte(a), 0)
		r.write(g, []byte(b), 0)
		r.must(h.Flush())
		r.must(g.Flush())
		want += a + b
	}
	r.wantObject("log", []byte(want))
	if got := r.read(g); string(got) != want {
		t.Fatalf("the second mount reads %q", got)
	}
	r.must(h.Close())
	r.must(g.Close())
}

// TestMultipart uploads a large file in parts.
func TestMultipart(t *testing.T) {
	r := newRig(t)
	data := random(25 * mib)
	h := r.create(r.store, "big", false)
	for off := 0; off < len(data); off += mib {
		r.write(h, data[off:off+mib], int64(off))
	}
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(map[string]int64{"InitiateMultipart": 1, "UploadPart": 4, "CompleteMultipart": 1})
	r.wantObject("big", data)
}

// TestPatch changes, grows and cuts a large object by moving little more than what changed.
func TestPatch(t *testing.T) {
	data := random(40 * mib)
	tests := []struct {
		name    string
		edit    func(r *rig, h *Handle, data []byte) []byte
		maxSent int64
	}{
		{"overwrite in the middle", func(r *rig, h *Handle, d []byte) []byte {
			p := random(mib)
			r.write(h, p, 20*mib+5)
			copy(d[20*mib+5:], p)
			return d
		}, 2 * mib},
		{"grow", func(r *rig, h *Handle, d []byte) []byte {
			p := random(mib)
			r.write(h, p, 40*mib)
			return append(d, p...)
		}, 2 * mib},
		{"cut", func(r *rig, h *Handle, d []byte) []byte {
			r.must(h.Truncate(30 * mib))
			return d[:30*mib]
		}, 0},
		{"leave a hole", func(r *rig, h *Handle, d []byte) []byte {
			r.write(h, []byte("end"), 42*mib)
			return append(append(d, make([]byte, 2*mib)...), "end"...)
		}, 3 * mib},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.put("big", data)
			h := r.open(r.store, "big", false)
			r.requests()
			want := tt.edit(r, h, bytes.Clone(data))
			r.must(h.Flush())
			st := r.srv.Stats()
			if got := st["UploadPart"].BytesIn + st["PutObject"].BytesIn; got > tt.maxSent {
				t.Errorf("%d bytes sent, want at most %d", got, tt.maxSent)
			}
			if got := st["GetObject"].BytesOut; got > 2*mib {
				t.Errorf("%d bytes received", got)
			}
			if got := r.read(h); !bytes.Equal(got, want) {
				t.Errorf("the handle reads other bytes")
			}
			r.must(h.Close())
			r.wantObject("big", want)
		})
	}
}

// TestConflict keeps both versions when somebody else replaced the base.
func TestConflict(t *testing.T) {
	for _, size := range []int{1000, 30 * mib} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRig(t)
			r.put("k", random(size))
			h := r.open(r.store, "k", false)
			r.write(h, []byte("mine"), 10)
			h.f.mu.Lock()
			h.f.base.Confirmed = time.Time{} // as if the HEAD were long ago
			h.f.mu.Unlock()
			theirs := random(size)
			r.put("k", theirs)
			if err := h.Flush(); !errors.Is(err, ErrConflict) {
				t.Fatalf("got %v, want ErrConflict", err)
			}
			r.wantObject("k", theirs)
			if !h.f.Stat().Dirty {
				t.Fatal("the local bytes were dropped")
			}
			if err := h.Close(); !errors.Is(err, ErrConflict) {
				t.Fatalf("got %v, want ErrConflict again", err)
			}
		})
	}
}

// TestExclusiveCreate lets one of two creators win.
func TestExclusiveCreate(t *testing.T) {
	r := newRig(t)
	f, err := r.store.Create("k", fileAttr(), CreateMode{Excl: true})
	r.must(err)
	h := f.Open(false)
	f.Release()
	r.put("k", []byte("theirs"))
	r.write(h, []byte("mine"), 0)
	if err := h.Flush(); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	r.wantObject("k", []byte("theirs"))
	r.must(r.store.Remove(h.f))
	r.must(h.Close())
}

// TestAttributesAreCoalesced sends several changes as one request, of a directory together with its marker.
func TestAttributesAreCoalesced(t *testing.T) {
	r := newRig(t)
	d, err := r.store.Create("dir/", Attr{Mode: syscall.S_IFDIR | 0o700}, CreateMode{})
	r.must(err)
	for _, mode := range []uint32{0o711, 0o755} {
		r.must(d.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFDIR | mode; return nil }))
	}
	r.must(r.store.Sync(t.Context(), ""))
	r.wantRequests(map[string]int64{"PutObject": 1})
	r.must(d.SetAttr(func(a *Attr) error { a.UID = 5; return nil }))
	r.must(d.SetAttr(func(a *Attr) error { a.GID = 6; return nil }))
	r.must(r.store.Sync(t.Context(), ""))
	r.wantRequests(map[string]int64{"CopyObject": 1})
	d.Release()
	i, err := r.client.Head(t.Context(), "dir/", nil)
	r.must(err)
	a := DecodeAttr(i, AttrDefaults{})
	if a.Mode != syscall.S_IFDIR|0o755 || a.UID != 5 || a.GID != 6 {
		t.Fatalf("got %+v", a)
	}
}

// TestAttributesAreSentInTime lets the queue send them by itself.
func TestAttributesAreSentInTime(t *testing.T) {
	sent := make(chan struct{}, 1)
	r := newRig(t, func(o *Options) { o.AttrDelay = time.Millisecond })
	f, err := r.store.Create("dir/", Attr{Mode: syscall.S_IFDIR | 0o700}, CreateMode{})
	r.must(err)
	go func() {
		for f.Stat().Dirty {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
		sent <- struct{}{}
	}()
	<-sent
	f.Release()
	r.wantRequests(map[string]int64{"PutObject": 1})
}

// TestRename covers the states a file can be in when it is renamed.
func TestRename(t *testing.T) {
	t.Run("never committed", func(t *testing.T) {
		r := newRig(t)
		h := r.create(r.store, "tmp", false)
		r.write(h, []byte("x"), 0)
		r.must(r.store.Rename(h.f, "final", false))
		r.wantRequests(nil)
		r.must(h.Flush())
		r.must(h.Close())
		r.wantRequests(map[string]int64{"PutObject": 1})
		r.wantObject("final", []byte("x"))
	})
	t.Run("attributes ride along", func(t *testing.T) {
		r := newRig(t)
		h := r.create(r.store, "tmp", false)
		r.write(h, []byte("x"), 0)
		r.must(h.Flush())
		r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
		r.must(r.store.Rename(h.f, "final", false))
		r.must(h.Close())
		r.must(r.store.Sync(t.Context(), ""))
		r.wantRequests(map[string]int64{"PutObject": 1, "CopyObject": 1, "DeleteObject": 1})
		i, err := r.client.Head(t.Context(), "final", nil)
		r.must(err)
		if a := DecodeAttr(i, AttrDefaults{}); a.Mode != syscall.S_IFREG|0o600 {
			t.Fatalf("mode %o", a.Mode)
		}
	})
	t.Run("dirty over another open file", func(t *testing.T) {
		r := newRig(t)
		r.put("a", []byte("aaaa"))
		r.put("b", []byte("bbbb"))
		h, g := r.open(r.store, "a", false), r.open(r.store, "b", false)
		r.write(h, []byte("X"), 1)
		r.must(r.store.Rename(h.f, "b", true))
		r.wantObject("b", []byte("aaaa"))
		r.must(h.Flush())
		r.wantObject("b", []byte("aXaa"))
		if _, ok := r.object("a"); ok {
			t.Fatal("the old name is still there")
		}
		if !g.f.Stat().Unlinked {
			t.Fatal("the replaced file still has a name")
		}
		r.must(h.Close())
		r.must(g.Close())
	})
	t.Run("appendable", func(t *testing.T) {
		r := newRig(t)
		h := r.create(r.store, "log", true)
		r.write(h, []byte("line\n"), 0)
		r.must(h.Flush())
		r.must(r.store.Rename(h.f, "log.1", false))
		r.wantObject("log.1", []byte("line\n"))
		r.write(h, []byte("more\n"), 0)
		r.must(h.Flush())
		r.must(h.Close())
		r.wantObject("log.1", []byte("line\nmore\n"))
	})
}

// TestRenameTree moves what COS has, what it has not yet, and what is open.
func TestRenameTree(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.put(fmt.Sprintf("d/%d", i), []byte{byte(i)})
	}
	r.put("d/sub/x", []byte("x"))
	r.put("dd", []byte("not below"))
	h := r.open(r.store, "d/0", false)
	n := r.create(r.store, "d/new", false)
	r.write(n, []byte("n"), 0)
	r.requests()
	r.must(r.store.RenameTree("d/", "e/"))
	r.wantRequests(map[string]int64{"ListObjects": 1, "GetObjectACL": 6, "CopyObject": 6, "DeleteObjects": 1})
	r.must(n.Flush())
	r.write(h, []byte("Z"), 0)
	r.must(h.Flush())
	for key, want := range map[string]string{"e/0": "Z", "e/1": "\x01", "e/sub/x": "x", "e/new": "n", "dd": "not below"} {
		r.wantObject(key, []byte(want))
	}
	for _, key := range []string{"d/0", "d/new", "d/sub/x"} {
		if _, ok := r.object(key); ok {
			t.Errorf("%q is still there", key)
		}
	}
	r.must(h.Close())
	r.must(n.Close())
}

// TestRemove covers unlink of files in every state.
func TestRemove(t *testing.T) {
	r := newRig(t)
	n := r.create(r.store, "never", false)
	r.write(n, []byte("x"), 0)
	r.must(r.store.Remove(n.f))
	r.must(n.Flush())
	r.must(n.Close())
	r.wantRequests(nil)

	r.put("open", []byte("still readable"))
	h := r.open(r.store, "open", false)
	r.must(r.store.Remove(h.f))
	i, err := r.client.Head(t.Context(), "open", nil)
	r.must(err)
	r.store.Observed("open", time.Now().Add(time.Second), VersionOf(i, time.Now()), Attr{})
	if l, ok := r.store.Local("open"); !ok || !l.Deleted {
		t.Fatalf("the name is still there: %+v", l)
	}
	if got := r.read(h); string(got) != "still readable" {
		t.Fatalf("read %q", got)
	}
	r.must(h.Close())
	if _, ok := r.object("open"); ok {
		t.Fatal("the object outlived its last close")
	}

	r.put("again", []byte("old"))
	h = r.open(r.store, "again", false)
	r.must(r.store.Remove(h.f))
	m := r.create(r.store, "again", false)
	r.write(m, []byte("new"), 0)
	r.must(m.Flush())
	r.must(m.Close())
	r.must(h.Close())
	r.wantObject("again", []byte("new"))
}

// TestOverlaySettles drops a change once a listing shows it, and keeps it while the listing lags.
func TestOverlaySettles(t *testing.T) {
	r := newRig(t)
	h := r.create(r.store, "d/k", false)
	r.write(h, []byte("x"), 0)
	r.must(h.Flush())
	r.must(h.Close())
	v := func(etag string) func(string) (Version, bool) {
		return func(string) (Version, bool) { return Version{ETag: etag}, etag != "" }
	}
	l, _ := r.store.Local("d/k")
	later := l.At.Add(time.Millisecond)
	r.store.Settle("d/", later, v(""))
	r.store.Settle("d/", later, v("older"))
	r.store.Settle("d/", l.At.Add(-time.Second), v(l.Version.ETag))
	if _, ok := r.store.Local("d/k"); !ok {
		t.Fatal("a lagging listing settled our change")
	}
	r.store.Settle("d/", later, v(l.Version.ETag))
	if _, ok := r.store.Local("d/k"); ok {
		t.Fatal("the change is still laid over listings that show it")
	}
}

// TestKeyTooLongInTree refuses before anything moved.
func TestKeyTooLongInTree(t *testing.T) {
	r := newRig(t)
	long := string(bytes.Repeat([]byte("x"), 800))
	r.put("d/"+long, []byte("x"))
	if err := r.store.RenameTree("d/", string(bytes.Repeat([]byte("y"), 60))+"/"); !errors.Is(err, cos.ErrKeyInvalid) {
		t.Fatalf("got %v", err)
	}
	r.wantObject("d/"+long, []byte("x"))
}

// TestRemovalsAreBatched deletes a directory's files: the first at once, the rest together.
func TestRemovalsAreBatched(t *testing.T) {
	r := newRig(t)
	for i := range 100 {
		r.put(fmt.Sprintf("d/%d", i), []byte("x"))
	}
	remove := func(key string) {
		t.Helper()
		h := r.open(r.store, key, false)
		f := h.f
		r.must(h.Close())
		r.must(r.store.Remove(f))
	}
	for i := range 100 {
		remove(fmt.Sprintf("d/%d", i))
	}
	if l, ok := r.store.Local("d/50"); !ok || !l.Deleted {
		t.Fatal("a deleted name is still there")
	}
	s := r.killed(r.store) // what was acknowledged happens all the same
	if got := s.Recovered().Removals; got > 99 {
		t.Fatalf("%d deletions recovered", got)
	}
	r.must(r.store.FlushRemovals("d/"))
	if page, err := r.client.List(t.Context(), &cos.ListOptions{Prefix: "d/"}); err != nil || len(page.Entries) > 0 {
		t.Fatalf("left (%v): %+v", err, page)
	}
	if got := r.requests(); got["DeleteObject"]+got["DeleteObjects"] > 103 || got["DeleteObjects"] == 0 {
		t.Fatalf("requests %v", got)
	}
}

// TestRefusedRemovalComesBack refuses one key of a batch: its name is back, and the directory's sync says so.
func TestRefusedRemovalComesBack(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"d/a", "d/b"} {
		r.put(k, []byte("x"))
		h := r.open(r.store, k, false)
		r.must(h.Close())
		if k == "d/b" {
			r.srv.AddRule(cosserver.Rule{Op: "DeleteObjects", Action: cosserver.Fail, Status: 403})
		}
		r.must(r.store.Remove(h.f))
	}
	if err := r.store.SyncDir(t.Context(), "d/"); !errors.Is(err, cos.ErrAccessDenied) {
		t.Fatalf("got %v", err)
	}
	if l, ok := r.store.Local("d/b"); ok {
		t.Fatalf("the name is not back: %+v", l)
	}
	r.wantObject("d/b", []byte("x"))
}

// TestRemovedAndMadeAgain never deletes what was made after the deletion.
func TestRemovedAndMadeAgain(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"d/a", "d/b"} {
		r.put(k, []byte("old"))
		h := r.open(r.store, k, false)
		r.must(h.Close())
		r.must(r.store.Remove(h.f))
	}
	h := r.create(r.store, "d/b", false)
	r.write(h, []byte("new"), 0)
	r.must(h.Flush())
	r.must(h.Close())
	r.must(r.store.FlushRemovals(""))
	r.wantObject("d/b", []byte("new"))
}

// TestReplacedWhileOpen reads on from a file that our own rename, or a new file of its name, replaced.
func TestReplacedWhileOpen(t *testing.T) {
	r := newRig(t)
	old := random(3 * mib)
	for _, key := range []string{"a", "b", "c"} {
		r.put(key, old)
	}
	h, g, k := r.open(r.store, "a", false), r.open(r.store, "b", false), r.open(r.store, "c", false)
	tmp := r.create(r.store, "tmp", false)
	r.write(tmp, []byte("new"), 0)
	r.must(tmp.Flush())
	r.must(r.store.Rename(tmp.f, "a", true)) // sed -i
	dirty := r.create(r.store, "tmp", false)
	r.write(dirty, []byte("new"), 0)
	r.must(r.store.Rename(dirty.f, "b", true)) // the same before anything was sent
	r.must(dirty.Flush())
	r.must(r.store.Remove(k.f)) // rm, and again
	again := r.create(r.store, "c", false)
	r.write(again, []byte("new"), 0)
	r.must(again.Flush())
	for i, x := range []*Handle{h, g, k} {
		if got := r.read(x); !bytes.Equal(got, old) {
			t.Errorf("handle %d reads %d bytes that are not the old ones", i, len(got))
		}
	}
	for _, key := range []string{"a", "b", "c"} {
		r.wantObject(key, []byte("new"))
	}
	for _, x := range []*Handle{h, g, k, tmp, dirty, again} {
		r.must(x.Close())
	}
}

// TestReplacingKeepsACLAndTags changes a public, tagged object in every way; an edit must not change who may
// read it.
func TestReplacingKeepsACLAndTags(t *testing.T) {
	chmod := func(r *rig, h *Handle) {
		r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
	}
	tests := []struct {
		name string
		size int
		edit func(r *rig, h *Handle)
		key  string
	}{
		{"put", 100, func(r *rig, h *Handle) { r.write(h, []byte("x"), 5) }, "k"},
		{"put of all", 100, func(r *rig, h *Handle) { r.must(h.Replace()); r.write(h, []byte("x"), 0) }, "k"},
		{"patch", 21 * mib, func(r *rig, h *Handle) { r.write(h, []byte("x"), 5) }, "k"},
		{"upload of all", 100, func(r *rig, h *Handle) { r.must(h.Replace()); r.writeAll(h, random(21*mib), 0) }, "k"},
		{"attributes", 100, chmod, "k"},
		{"rename", 100, func(r *rig, h *Handle) { r.must(r.store.Rename(h.f, "n", false)) }, "n"},
		{"rename with attributes", 100, func(r *rig, h *Handle) { chmod(r, h); r.must(r.store.Rename(h.f, "n", false)) }, "n"},
		{"attributes, then put", 100, func(r *rig, h *Handle) { chmod(r, h); r.must(h.f.Fsync(t.Context())); r.write(h, []byte("x"), 5) }, "k"},
		{"put twice", 100, func(r *rig, h *Handle) { r.write(h, []byte("x"), 5); r.must(h.Flush()); r.write(h, []byte("y"), 6) }, "k"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			data := random(tt.size)
			_, err := r.client.Put(t.Context(), "k", bytes.NewReader(data), int64(tt.size), &cos.PutOptions{
				Headers: cos.Headers{ACL: "public-read", Tagging: "a=1&b=2", CacheControl: "no-store"}})
			r.must(err)
			h := r.open(r.store, "k", false)
			tt.edit(r, h)
			r.must(h.Fsync(t.Context()))
			r.must(h.Close())
			acl, err := r.client.ObjectACL(t.Context(), tt.key)
			r.must(err)
			tags, err := r.client.ObjectTagging(t.Context(), tt.key)
			r.must(err)
			i, err := r.client.Head(t.Context(), tt.key, nil)
			r.must(err)
			if acl.Canned != "public-read" || tags != "a=1&b=2" || i.Headers.CacheControl != "no-store" {
				t.Errorf("ACL %q, tags %q, cache control %q", acl.Canned, tags, i.Headers.CacheControl)
			}
		})
	}
}

// TestSyncDirPublishesNothingHalfDone syncs a directory in which a file is just being written.
func TestSyncDirPublishesNothingHalfDone(t *testing.T) {
	r := newRig(t)
	h, g := r.create(r.store, "d/writing", false), r.create(r.store, "d/done", false)
	r.write(h, []byte("half"), 0)
	r.must(g.Close())
	r.requests()
	r.must(r.store.SyncDir(t.Context(), "d/"))
	r.wantRequests(map[string]int64{})
	r.write(h, []byte(" and half"), 4)
	r.must(h.Flush())
	r.must(h.Close())
	r.wantRequests(map[string]int64{"PutObject": 1})
}

// TestUnlinkedFileLeavesAnothersObject closes a file that was unlinked while open after somebody else made
// a new object of its name.
func TestUnlinkedFileLeavesAnothersObject(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	h := r.open(r.store, "k", false)
	r.must(r.store.Remove(h.f))
	r.put("k", []byte("theirs"))
	r.must(h.Close())
	r.wantObject("k", []byte("theirs"))
	if l, ok := r.store.Local("k"); ok {
		t.Errorf("the name is hidden: %+v", l)
	}
}

// TestAttributesKeepTheTime changes the mode of an object whose time is that of its upload.
func TestAttributesKeepTheTime(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("x"))
	i, err := r.client.Head(t.Context(), "k", nil)
	r.must(err)
	h := r.open(r.store, "k", false)
	r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
	r.must(h.f.Fsync(t.Context()))
	after, err := r.client.Head(t.Context(), "k", nil)
	r.must(err)
	if got := DecodeAttr(after, AttrDefaults{}).Mtime; !got.Equal(i.LastModified) {
		t.Errorf("mtime %v, want %v", got, i.LastModified)
	}
	r.must(h.Close())
}

// TestAttributesOfDirtyFileSurviveKill changes the mode of a file that has bytes to commit.
func TestAttributesOfDirtyFileSurviveKill(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("old"))
	h := r.open(r.store, "k", false)
	r.write(h, []byte("new"), 0)
	r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
	s := r.killed(r.store)
	r.must(s.Sync(t.Context(), ""))
	i, err := r.client.Head(t.Context(), "k", nil)
	r.must(err)
	if m := DecodeAttr(i, AttrDefaults{}).Mode; m != syscall.S_IFREG|0o600 {
		t.Errorf("mode %o", m)
	}
	r.must(h.f.Fsync(t.Context()))
	r.must(h.Close())
}

// TestCloseDeletesWhatWasUnlinked ends the Store before the last close of an unlinked file arrives.
func TestCloseDeletesWhatWasUnlinked(t *testing.T) {
	r := newRig(t)
	r.put("k", []byte("x"))
	s := r.newStore()
	h := r.open(s, "k", false)
	r.must(s.Remove(h.f))
	if _, ok := r.object("k"); !ok {
		t.Fatal("deleted while somebody reads it")
	}
	r.must(s.deleteAllDoomed())
	r.must(h.Close())
	if _, ok := r.object("k"); ok {
		t.Fatal("the object outlived its store")
	}
}
