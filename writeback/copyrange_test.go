package writeback

import (
	"bytes"
	"errors"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// copyAll copies all of src over dst, as cp does, and returns how many calls that took.
func (r *rig) copyAll(dst, src *Handle) {
	r.t.Helper()
	r.copyRange(dst, 0, src, 0, src.f.Stat().Size)
}

// copyRange copies a range, in as many calls as it takes.
func (r *rig) copyRange(dst *Handle, off int64, src *Handle, srcOff, size int64) {
	r.t.Helper()
	for size > 0 {
		n, err := dst.CopyRange(r.t.Context(), off, src, srcOff, size)
		r.must(err)
		if n == 0 {
			r.t.Fatalf("nothing copied, %d bytes to go", size)
		}
		off, srcOff, size = off+n, srcOff+n, size-n
	}
}

// close ends a file as close(2) does.
func (r *rig) close(h *Handle) {
	r.t.Helper()
	r.must(h.Flush())
	r.must(h.Close())
}

// TestCopyOfAWholeFile costs one request and no bytes, and carries attributes of its own.
func TestCopyOfAWholeFile(t *testing.T) {
	for _, size := range []int{1, 16 << 10, 6 << 20, 30 << 20} {
		r := newRig(t)
		want := random(size)
		_, err := r.client.Upload(t.Context(), "src", bytes.NewReader(want), int64(size), &cos.UploadOptions{
			NoResume: true, PutOptions: cos.PutOptions{Headers: cos.Headers{CacheControl: "no-store", Tagging: "a=b",
				Meta: map[string]string{"mode": "33279", "note": "of the source"}}}})
		r.must(err)
		src := r.open(r.store, "src", false)
		r.requests()
		f, err := r.store.Create("dst", Attr{Mode: fileAttr().Mode, UID: 7}, CreateMode{Excl: true})
		r.must(err)
		dst := f.Open(false)
		f.Release()
		r.copyAll(dst, src)
		r.close(dst)
		r.wantRequests(map[string]int64{"CopyObject": 1})
		r.close(src)
		r.wantObject("dst", want)
		i, err := r.client.Head(t.Context(), "dst", nil)
		r.must(err)
		a := DecodeAttr(i, AttrDefaults{})
		if a.UID != 7 || a.Mode != fileAttr().Mode || a.Headers.CacheControl != "" || len(a.Headers.Meta) != 0 {
			t.Errorf("a copy has attributes that are not its own: %+v", a)
		}
		tags, err := r.client.ObjectTagging(t.Context(), "dst")
		r.must(err)
		if tags != "" {
			t.Errorf("a copy has the tags %q of its source", tags)
		}
	}
}

// TestCopyOfRanges puts a file together from pieces of others, zeros and bytes of its own.
func TestCopyOfRanges(t *testing.T) {
	r := newRig(t)
	a, b := random(40*mib), random(12*mib)
	r.put("a", a)
	r.put("b", b)
	ha, hb := r.open(r.store, "a", false), r.open(r.store, "b", false)
	dst := r.create(r.store, "dst", false)
	r.requests()
	r.copyRange(dst, 0, ha, 3*mib+17, 20*mib)      // at an odd offset
	r.copyRange(dst, 20*mib, hb, 5, 7*mib)         // from another file
	r.write(dst, []byte("own bytes"), 27*mib)      // a run far below the least part
	r.copyRange(dst, 27*mib+9, hb, 0, 12*mib)      // all of it
	r.copyRange(dst, 27*mib+9+12*mib, ha, 11, 100) // too little for a part
	want := bytes.Join([][]byte{a[3*mib+17 : 23*mib+17], b[5 : 5+7*mib], []byte("own bytes"), b, a[11:111]}, nil)
	if got := r.read(dst); !bytes.Equal(got, want) {
		t.Fatalf("before the commit the file differs at byte %d", commonPrefix(got, want))
	}
	in := r.srv.Stats()["UploadPart"].BytesIn
	r.close(dst)
	if got := r.srv.Stats()["UploadPart"].BytesIn - in; got > 3*mib {
		t.Errorf("%d bytes sent, want what stands between copies, at most 3 MiB", got)
	}
	r.wantObject("dst", want)
	r.close(ha)
	r.close(hb)
}

// TestCopyIntoAnObject replaces a stretch of an object by one of another.
func TestCopyIntoAnObject(t *testing.T) {
	r := newRig(t)
	a, want := random(30*mib), random(50*mib)
	r.put("a", a)
	r.put("dst", want)
	ha, dst := r.open(r.store, "a", false), r.open(r.store, "dst", false)
	r.requests()
	r.copyRange(dst, 10*mib, ha, mib, 20*mib)
	copy(want[10*mib:], a[mib:21*mib])
	r.close(dst)
	if got := r.requests(); got["UploadPart"] != 0 || got["GetObject"] != 0 || got["UploadPartCopy"] != 3 {
		t.Errorf("requests %v, want three parts copied and none sent", got)
	}
	r.wantObject("dst", want)
	r.close(ha)
}

// TestCopyOfUncommittedBytes takes over what only this host has.
func TestCopyOfUncommittedBytes(t *testing.T) {
	r := newRig(t)
	want := random(6 * mib)
	r.put("src", want)
	src, dst := r.open(r.store, "src", false), r.create(r.store, "dst", false)
	r.write(src, []byte("not committed"), 5*mib)
	want = bytes.Clone(want)
	copy(want[5*mib:], "not committed")
	r.copyAll(dst, src)
	r.close(dst)
	r.wantObject("dst", want)
	if got, _ := r.object("src"); bytes.Equal(got, want) {
		t.Error("copying a file committed it")
	}
	r.close(src)
	r.wantObject("src", want)
}

// TestCopyIsRefused where the bytes must be read and written instead.
func TestCopyIsRefused(t *testing.T) {
	r := newRig(t)
	r.put("a", random(2*mib))
	_, err := r.client.Put(t.Context(), "cold", bytes.NewReader([]byte("x")), 1, &cos.PutOptions{Headers: cos.Headers{StorageClass: "ARCHIVE"}})
	r.must(err)
	a, cold, dst := r.open(r.store, "a", false), r.open(r.store, "cold", false), r.create(r.store, "dst", false)
	refused := func(what string, dst, src *Handle) {
		t.Helper()
		if n, err := dst.CopyRange(t.Context(), 0, src, 0, 1); n != 0 || !errors.Is(err, ErrCopyBytes) {
			t.Errorf("%s: %d bytes, %v", what, n, err)
		}
	}
	refused("within one file", a, a)
	refused("of an archived object", dst, cold)
	other := r.newStore()
	b := r.create(other, "b", false)
	refused("between mounts", b, a)
	r.must(r.store.Remove(a.f))
	refused("of a file without a name", dst, a)
	for _, h := range []*Handle{a, cold, dst, b} {
		r.must(h.Close())
	}
}

// TestCopyOutlivesItsSource removes, renames and replaces what is still to be copied, for a file that is closed
// and one that is being written.
func TestCopyOutlivesItsSource(t *testing.T) {
	changes := []struct {
		name string
		do   func(r *rig, src *Handle) error
	}{
		{"remove", func(r *rig, src *Handle) error { return r.store.Remove(src.f) }},
		{"rename", func(r *rig, src *Handle) error { return r.store.Rename(src.f, "d/moved", false) }},
		{"rename the directory", func(r *rig, src *Handle) error { return r.store.RenameTree("d/", "e/") }},
		{"overwrite", func(r *rig, src *Handle) error {
			if err := src.Replace(); err != nil {
				return err
			}
			r.write(src, []byte("something else"), 0)
			return src.Fsync(r.t.Context())
		}},
		{"patch", func(r *rig, src *Handle) error {
			r.write(src, []byte("something else"), 100)
			return src.Fsync(r.t.Context())
		}},
		{"rename over it", func(r *rig, src *Handle) error {
			r.put("d/other", []byte("other"))
			o := r.open(r.store, "d/other", false)
			defer o.Close()
			return r.store.Rename(o.f, "d/src", true)
		}},
		{"rename itself over it", func(r *rig, src *Handle) error {
			d := r.store.fileAt("d/dst")
			if err := r.store.Rename(d, "d/src", true); err != nil {
				return err
			}
			return r.store.Rename(d, "d/dst", false)
		}},
	}
	for _, c := range changes {
		for _, open := range []bool{false, true} {
			name := map[bool]string{false: "closed", true: "open"}[open]
			t.Run(c.name+"/"+name, func(t *testing.T) {
				r := newRig(t, background)
				want := random(100 << 10)
				r.put("d/src", want)
				src, dst := r.open(r.store, "d/src", false), r.create(r.store, "d/dst", false)
				r.copyAll(dst, src)
				if !open {
					r.close(dst)
				}
				r.must(c.do(r, src))
				if open {
					if got := r.read(dst); !bytes.Equal(got, want) {
						t.Fatalf("the copy reads differently from byte %d", commonPrefix(got, want))
					}
					r.close(dst)
				}
				r.must(src.Close())
				r.must(r.store.Sync(t.Context(), ""))
				key := "d/dst"
				if c.name == "rename the directory" {
					key = "e/dst"
				}
				r.wantObject(key, want)
			})
		}
	}
}

// TestCopiesOfEachOther has two files want each other's old bytes.
func TestCopiesOfEachOther(t *testing.T) {
	r := newRig(t)
	a, b := random(6*mib), random(7*mib)
	r.put("a", a)
	r.put("b", b)
	ha, hb := r.open(r.store, "a", false), r.open(r.store, "b", false)
	r.copyRange(ha, 0, hb, 0, 3*mib)
	r.copyRange(hb, 0, ha, 3*mib, mib)
	wa, wb := bytes.Clone(a), bytes.Clone(b)
	copy(wa, b[:3*mib])
	copy(wb, a[3*mib:4*mib])
	r.close(ha)
	r.close(hb)
	r.wantObject("a", wa)
	r.wantObject("b", wb)
}

// TestCopyOfAReplacedSource tells at close that another client took the bytes away.
func TestCopyOfAReplacedSource(t *testing.T) {
	for _, size := range []int{1000, 7 * mib} {
		r := newRig(t)
		r.put("src", random(size))
		src, dst := r.open(r.store, "src", false), r.create(r.store, "dst", false)
		r.copyRange(dst, 0, src, 0, int64(size)-1)
		r.put("src", random(size))
		err := dst.Flush()
		if !errors.Is(err, ErrConflict) {
			t.Fatalf("flush: %v, want a conflict", err)
		}
		if _, ok := r.object("dst"); ok {
			t.Error("a copy of which the bytes are gone was committed")
		}
		if err := dst.Close(); !errors.Is(err, ErrConflict) {
			t.Errorf("close: %v, want a conflict", err)
		}
		r.must(src.Close())
		if st := r.store.Status(); len(st) != 1 || st[0].State != StateConflict {
			t.Errorf("status %+v, want the copy kept as a conflict", st)
		}
	}
}

// TestPendingCopySurvivesKill kills the mount between the close and the commit, after the source was removed,
// and while the commit is under way.
func TestPendingCopySurvivesKill(t *testing.T) {
	r := newRig(t, background)
	want := random(9 * mib)
	r.put("src", want)
	src, dst := r.open(r.store, "src", false), r.create(r.store, "dst", false)
	r.copyAll(dst, src)
	r.close(dst)
	part := r.create(r.store, "part", false)
	r.copyRange(part, 5, src, 100, 8*mib)
	r.close(part)
	r.requests()
	s := r.killed(r.store)
	if got := s.Recovered(); got.Files != 2 {
		t.Fatalf("recovered %+v, want two files", got)
	}
	h := r.open(s, "src", false)
	r.must(s.Remove(h.f)) // at once: nothing was copied yet
	r.must(h.Close())
	r.must(s.Sync(t.Context(), ""))
	r.wantObject("dst", want)
	r.wantObject("part", append(make([]byte, 5), want[100:100+8*mib]...))
	r.must(src.Close())
}

// TestKillBetweenCopyAndReply finds the copy made, and neither makes it again nor calls it somebody else's.
func TestKillBetweenCopyAndReply(t *testing.T) {
	var left *Store
	var r *rig
	r = newRig(t, background, func(o *Options) {
		o.Failpoint = func(name string) {
			if name == fpCopySent && left == nil {
				left = r.killed(r.store)
			}
		}
	})
	want := random(16 << 10)
	r.put("src", want)
	src, dst := r.open(r.store, "src", false), r.create(r.store, "dst", false)
	r.copyAll(dst, src)
	r.close(dst)
	r.must(r.store.Sync(t.Context(), ""))
	r.must(src.Close())
	r.must(left.Sync(t.Context(), ""))
	for _, f := range left.Status() {
		t.Errorf("left over: %+v", f)
	}
	r.wantObject("dst", want)
}

// TestCopyBeyondOneRequest copies an object that the service does not copy at once: over 5 GiB, and here over
// 20 MiB.
func TestCopyBeyondOneRequest(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CopyLimit = 20 * mib })
	want := random(50 * mib)
	r.put("huge", want)
	src, dst := r.open(r.store, "huge", false), r.create(r.store, "dst", false)
	r.requests()
	r.copyAll(dst, src)
	r.close(dst)
	r.wantRequests(map[string]int64{"InitiateMultipart": 1, "UploadPartCopy": 3, "CompleteMultipart": 1})
	r.wantObject("dst", want)
	r.close(src)
}

// TestCopyOfAppendable reads the bytes where the service does not copy such objects, and copies where it does.
func TestCopyOfAppendable(t *testing.T) {
	for _, may := range []bool{false, true} {
		r := newRigOn(t, cosserver.Options{Switches: cosserver.Switches{CopyAppendable: may}})
		want := random(300 << 10)
		log := r.create(r.store, "log", true)
		r.write(log, want, 0)
		r.close(log)
		src, dst := r.open(r.store, "log", false), r.create(r.store, "dst", false)
		r.copyAll(dst, src)
		r.close(dst)
		r.wantObject("dst", want)
		dst = r.create(r.store, "again", false)
		if _, err := dst.CopyRange(t.Context(), 0, src, 0, 100); may != (err == nil) {
			t.Errorf("the service copies: %v; the second copy: %v", may, err)
		}
		r.close(dst)
		r.close(src)
	}
}

// TestCopyDuringCommit changes a file by a copy while its commit is under way: it is part of the next one.
func TestCopyDuringCommit(t *testing.T) {
	var during func()
	r := newRig(t, func(o *Options) {
		o.Failpoint = func(name string) {
			if do := during; name == fpCommitFrozen && do != nil {
				during = nil
				do()
			}
		}
	})
	a, b := random(6*mib), random(7*mib)
	r.put("a", a)
	r.put("b", b)
	ha, hb, dst := r.open(r.store, "a", false), r.open(r.store, "b", false), r.create(r.store, "dst", false)
	r.copyAll(dst, hb)
	during = func() { r.copyRange(dst, mib, hb, 0, 2*mib); r.copyRange(dst, 3*mib, ha, 0, mib) }
	r.must(dst.Flush())
	r.wantObject("dst", b)
	want := bytes.Clone(b)
	copy(want[mib:], b[:2*mib])
	copy(want[3*mib:], a[:mib])
	if got := r.read(dst); !bytes.Equal(got, want) {
		t.Fatalf("after the commit the file differs at byte %d", commonPrefix(got, want))
	}
	r.close(dst)
	r.wantObject("dst", want)
	r.close(ha)
	r.close(hb)
	if n := len(r.store.copies.of); n != 0 {
		t.Errorf("%d sources are remembered after the last copy", n)
	}
}
