package writeback

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"maps"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// TestMain runs few random cases, unless -rapid.checks says otherwise: each moves megabytes.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "15"); err != nil {
		panic(err)
	}
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// rig is a server, a client and Stores on it.
type rig struct {
	t      *testing.T
	srv    *cosserver.Server
	client *cos.Client
	store  *Store
}

// newRig starts an empty bucket and one Store.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	return newRigOn(t, cosserver.Options{}, change...)
}

// newRigOn is newRig on a server with options.
func newRigOn(t *testing.T, so cosserver.Options, change ...func(*Options)) *rig {
	t.Helper()
	so.Dir, so.NoSync, so.Anonymous = t.TempDir(), true, true
	srv, err := cosserver.Open(so)
	if err != nil {
		t.Fatal(err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, srv: srv}
	t.Cleanup(func() {
		srv.SetRules(nil) // nothing stalls for ever
		if err := errors.Join(l.Close(t.Context()), srv.Close()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
	})
	r.client, err = cos.New(cos.Options{Endpoint: l.URL, Region: srv.Region(), Bucket: srv.Bucket()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.client.Close(); err != nil {
			t.Error(err)
		}
	})
	r.store = r.newStore(change...)
	srv.ResetStats()
	return r
}

// newStore opens one more Store on the bucket: another mount.
func (r *rig) newStore(change ...func(*Options)) *Store {
	r.t.Helper()
	blocks, err := cache.NewBlocks(r.t.Context(), cache.BlocksOptions{MemoryBytes: 32 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	o := Options{Client: r.client, Blocks: blocks, Dir: r.t.TempDir(), AttrDelay: time.Hour, SettleTime: 100 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.end(s) })
	return s
}

// end ends a Store without a commit: what a test leaves dirty stays so.
func (r *rig) end(s *Store) {
	r.t.Helper()
	s.cancel()
	s.lazy.stop()
	s.removals.wg.Wait()
	s.orphans.wg.Wait()
	for _, f := range s.allFilesLocked() {
		f.discard()
	}
	if err := s.journal.Close(); err != nil {
		r.t.Error(err)
	}
	s.Blocks.Close()
}

// requests returns how many requests of each operation the server saw since the last call.
func (r *rig) requests() map[string]int64 {
	out := make(map[string]int64)
	for op, st := range r.srv.Stats() {
		if st.Requests > 0 {
			out[op] = st.Requests
		}
	}
	r.srv.ResetStats()
	return out
}

// wantRequests fails unless exactly these requests were made since the last look.
func (r *rig) wantRequests(want map[string]int64) {
	r.t.Helper()
	if got := r.requests(); !maps.Equal(got, want) {
		r.t.Fatalf("requests %v, want %v", got, want)
	}
}

// object returns an object's bytes; ok is false if there is none.
func (r *rig) object(key string) (data []byte, ok bool) {
	r.t.Helper()
	g, err := r.client.Get(r.t.Context(), key, nil)
	if errors.Is(err, cos.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = g.Body.Close() }() // read to the end below
	data, err = io.ReadAll(g.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return data, true
}

// wantObject fails unless the object has these bytes.
func (r *rig) wantObject(key string, want []byte) {
	r.t.Helper()
	got, ok := r.object(key)
	if !ok || !bytes.Equal(got, want) {
		r.t.Fatalf("object %q (there: %v) has %d bytes, want %d; equal up to %d", key, ok, len(got), len(want), commonPrefix(got, want))
	}
}

func commonPrefix(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// put stores an object as another client would.
func (r *rig) put(key string, data []byte) {
	r.t.Helper()
	if _, err := r.client.Put(r.t.Context(), key, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		r.t.Fatal(err)
	}
}

// must fails the test on an error.
func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fileAttr is what a new file has.
func fileAttr() Attr { return Attr{Mode: syscall.S_IFREG | 0o644} }

// create makes a file and opens it.
func (r *rig) create(s *Store, key string, appends bool) *Handle {
	r.t.Helper()
	f, err := s.Create(key, fileAttr(), CreateMode{})
	r.must(err)
	h := f.Open(appends)
	f.Release()
	return h
}

// open opens an existing object, as a mount would after a HEAD.
func (r *rig) open(s *Store, key string, appends bool) *Handle {
	r.t.Helper()
	var f *File
	if l, ok := s.Local(key); ok && l.File != nil {
		f = s.Acquire(key, Version{}, Attr{})
	} else {
		i, err := r.client.Head(r.t.Context(), key, nil)
		r.must(err)
		f = s.Acquire(key, VersionOf(i, s.now()), DecodeAttr(i, s.Defaults))
	}
	h := f.Open(appends)
	f.Release()
	return h
}

// write writes all of p at off.
func (r *rig) write(h *Handle, p []byte, off int64) {
	r.t.Helper()
	if n, err := h.WriteAt(p, off); err != nil || n != len(p) {
		r.t.Fatalf("wrote %d of %d: %v", n, len(p), err)
	}
}

// read returns the whole file through a handle.
func (r *rig) read(h *Handle) []byte {
	r.t.Helper()
	p := make([]byte, h.f.Stat().Size+10)
	n, err := h.ReadAt(r.t.Context(), p, 0)
	r.must(err)
	return p[:n]
}

// random returns n bytes that no other call returns.
func random(n int) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(rand.Uint32())})
	_, _ = rng.Read(p) // never fails
	return p
}
