package writeback

import (
	"bytes"
	"syscall"
	"testing"

	"cosfuse/cos/cosserver"
)

// writeAll writes data in pieces of 1 MiB from off.
func (r *rig) writeAll(h *Handle, data []byte, off int) {
	r.t.Helper()
	for n := 0; n < len(data); n += mib {
		r.write(h, data[n:min(n+mib, len(data))], int64(off+n))
	}
}

// TestEarlyParts sends parts while the file is written: at close only what was not whole is left.
func TestEarlyParts(t *testing.T) {
	r := newRig(t)
	data := random(36 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data, 0)
	r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests == 4 })
	r.must(h.Flush())
	r.wantRequests(map[string]int64{"InitiateMultipart": 1, "UploadPart": 5, "CompleteMultipart": 1})
	r.must(h.Close())
	r.wantObject("big", data)
	if st := h.f.Stat(); st.Dirty || st.MtimeKnown {
		t.Fatalf("dirty %v, time known %v: want neither", st.Dirty, st.MtimeKnown)
	}
}

// TestEarlyPartsRewritten overwrites, cuts and lengthens what was sent already.
func TestEarlyPartsRewritten(t *testing.T) {
	r := newRig(t)
	data := random(33 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data, 0)
	r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests == 4 })
	patch := random(mib)
	r.write(h, patch, 9*mib) // part 2
	copy(data[9*mib:], patch)
	r.must(h.Truncate(26 * mib)) // within part 4
	more := random(3 * mib)
	r.writeAll(h, more, 26*mib)
	data = append(data[:26*mib], more...)
	r.must(h.Allocate(mib, 10, AllocPunchHole|AllocKeepSize)) // part 1
	clear(data[mib : mib+10])
	r.must(h.Flush())
	r.must(h.Close())
	r.wantObject("big", data)
}

// TestEarlyPartInFlight overwrites a part while it is being sent.
func TestEarlyPartInFlight(t *testing.T) {
	r := newRig(t)
	release := r.srv.AddRule(cosserver.Rule{Op: "UploadPart", Part: 1, When: cosserver.After, Action: cosserver.Stall})
	data := random(24 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data, 0)
	r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests >= 1 })
	patch := random(mib)
	r.write(h, patch, 0)
	copy(data, patch)
	release()
	r.must(h.Flush())
	r.must(h.Close())
	r.wantObject("big", data)
}

// TestEarlyUploadIsNotLeft aborts the upload of a file that ends otherwise.
func TestEarlyUploadIsNotLeft(t *testing.T) {
	tests := []struct {
		name string
		end  func(r *rig, h *Handle)
		want bool
	}{
		{"unlinked", func(r *rig, h *Handle) { r.must(r.store.Remove(h.f)) }, false},
		{"truncated to little", func(r *rig, h *Handle) { r.must(h.Truncate(5)) }, true},
		{"renamed", func(r *rig, h *Handle) {
			r.must(r.store.Rename(h.f, "elsewhere", false))
			r.must(r.store.Rename(h.f, "big", false))
			r.must(r.store.Rename(h.f, "moved", false))
		}, false},
		{"chmod", func(r *rig, h *Handle) {
			r.must(h.f.SetAttr(func(a *Attr) error { a.Mode = syscall.S_IFREG | 0o600; return nil }))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			data := random(24 * mib)
			h := r.create(r.store, "big", false)
			r.writeAll(h, data, 0)
			r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests >= 1 })
			tt.end(r, h)
			size := h.f.Stat().Size
			r.must(h.Flush())
			r.must(h.Close())
			r.must(r.store.Sync(t.Context(), ""))
			up, err := r.client.ListUploads(t.Context(), nil)
			r.must(err)
			if len(up.Uploads) > 0 {
				t.Errorf("left behind: %+v", up.Uploads)
			}
			if got, ok := r.object("big"); ok != tt.want || ok && !bytes.Equal(got, data[:size]) {
				t.Errorf("object: there %v, %d bytes", ok, len(got))
			}
		})
	}
}
