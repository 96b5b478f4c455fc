package writeback

import (
	"testing"

	"cosfuse/cos/cosserver"
)

// waitArrived waits until parts with n bytes were sent early.
func (r *rig) waitArrived(h *Handle, n int64) {
	r.t.Helper()
	r.waitFor(func() bool {
		h.f.mu.Lock()
		defer h.f.mu.Unlock()
		return h.f.arrivedLocked() == n
	})
}

// TestEarlyPartsInBackground sends parts while the file is written, before anybody acknowledges anything; what
// is left is sent after close, and every byte once.
func TestEarlyPartsInBackground(t *testing.T) {
	r := newRig(t, background)
	data := random(36 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data, 0)
	r.waitFor(func() bool { return r.srv.Stats()["UploadPart"].Requests == 4 })
	r.must(h.Flush())
	r.must(h.Close())
	if st := r.store.Status(); len(st) != 1 || st[0].Left > 36*mib {
		t.Errorf("status after close: %+v", st)
	}
	r.must(r.store.Sync(t.Context(), ""))
	if n := r.srv.Stats()["UploadPart"].BytesIn; n != 36*mib {
		t.Errorf("%d bytes sent, want %d", n, 36*mib)
	}
	r.wantRequests(map[string]int64{"InitiateMultipart": 1, "UploadPart": 5, "CompleteMultipart": 1})
	r.wantObject("big", data)
}

// TestEarlyPartsSurviveKill kills the Store after a close was acknowledged, with parts on their way or even the
// only copy of their bytes: the next one commits the whole file and leaves no upload behind.
func TestEarlyPartsSurviveKill(t *testing.T) {
	for name, limit := range map[string]int64{"staged": 0, "punched": 32 * mib} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, background, stagingLimit(limit))
			data := random(70 * mib)
			h := r.create(r.store, "big", false)
			r.writeAll(h, data, 0)
			r.must(h.Flush())
			r.must(h.Close())
			if _, ok := r.object("big"); ok {
				t.Fatal("committed already: the test proves nothing")
			}
			s := r.killed(r.store, background)
			r.must(s.Sync(t.Context(), ""))
			r.wantObject("big", data)
			up, err := r.client.ListUploads(t.Context(), nil)
			r.must(err)
			if limit > 0 && len(up.Uploads) > 0 {
				t.Errorf("left behind: %+v", up.Uploads)
			}
		})
	}
}

// TestAcknowledgedBytesArePunchedSafely acknowledges the beginning of a file and goes on writing until it gives
// up its place in the cache: a kill then still finds what was acknowledged.
func TestAcknowledgedBytesArePunchedSafely(t *testing.T) {
	r := newRig(t, background, stagingLimit(40*mib))
	data := random(45 * mib)
	h := r.create(r.store, "big", false)
	r.writeAll(h, data[:30*mib], 0)
	r.must(h.Flush())
	r.writeAll(h, data[30*mib:40*mib], 30*mib)
	r.waitArrived(h, 40*mib)
	r.writeAll(h, data[40*mib:], 40*mib)
	if !h.f.ext.Any(isSent) {
		t.Fatal("nothing was punched: the test proves nothing")
	}
	s := r.killed(r.store, background)
	r.must(s.Sync(t.Context(), ""))
	got, ok := r.object("big")
	if !ok || len(got) < 30*mib || commonPrefix(got, data) != len(got) {
		t.Errorf("recovered (there: %t) %d bytes, equal up to %d; %d were acknowledged", ok, len(got), commonPrefix(got, data), 30*mib)
	}
}

// TestRenameOfEarlyUpload renames a closed file in background mode. What has arrived for the most part is
// completed and copied; what has not moves for nothing.
func TestRenameOfEarlyUpload(t *testing.T) {
	data := random(33 * mib)
	t.Run("arrived", func(t *testing.T) {
		r := newRig(t, background)
		h := r.create(r.store, ".tmp", false)
		r.writeAll(h, data, 0)
		r.waitArrived(h, 32*mib)
		r.must(h.Flush())
		r.must(h.Close())
		f := r.store.Acquire(".tmp", Version{}, Attr{})
		r.must(r.store.Rename(f, "big", false))
		f.Release()
		r.must(r.store.Sync(t.Context(), ""))
		if n := r.srv.Stats()["UploadPart"].BytesIn; n != 33*mib {
			t.Errorf("%d bytes sent, want %d", n, 33*mib)
		}
		r.wantObject("big", data)
		if _, ok := r.object(".tmp"); ok {
			t.Error("the old name is still there")
		}
	})
	t.Run("not arrived", func(t *testing.T) {
		r := newRig(t, background)
		lift := r.srv.AddRule(cosserver.Rule{Op: "UploadPart", Action: cosserver.Stall})
		h := r.create(r.store, ".tmp", false)
		r.writeAll(h, data, 0)
		r.must(h.Flush())
		r.must(h.Close())
		f := r.store.Acquire(".tmp", Version{}, Attr{})
		r.must(r.store.Rename(f, "big", false))
		f.Release()
		if n := r.srv.Stats()["CompleteMultipart"].Requests + r.srv.Stats()["CopyObject"].Requests; n != 0 {
			t.Errorf("%d objects made by the rename", n)
		}
		lift()
		r.must(r.store.Sync(t.Context(), ""))
		r.wantObject("big", data)
		up, err := r.client.ListUploads(t.Context(), nil)
		r.must(err)
		if len(up.Uploads) > 0 {
			t.Errorf("left behind: %+v", up.Uploads)
		}
	})
}
