package writeback

import (
	"bytes"
	"errors"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// appendAs sets the append mode of a Store.
func appendAs(m AppendMode) func(*Options) { return func(o *Options) { o.Appends = m } }

// appendObject makes an appendable object, or lengthens one, as another client would.
func (r *rig) appendObject(key string, at int64, data []byte) {
	r.t.Helper()
	if _, err := r.client.Append(r.t.Context(), key, at, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		r.t.Fatal(err)
	}
}

// TestAppendModes counts what each mode sends for files that change in different ways.
func TestAppendModes(t *testing.T) {
	const log = "a log of some length\n"
	tests := []struct {
		name    string
		exists  bool // there is an appendable object
		appends bool // through an appending handle
		write   string
		off     int64
		want    string
		by      [3]string // the operation in modes auto, always, never
	}{
		{"new log", false, true, "x\n", 0, "x\n", [3]string{"AppendObject", "AppendObject", "PutObject"}},
		{"new file", false, false, "x\n", 0, "x\n", [3]string{"PutObject", "PutObject", "PutObject"}},
		{"longer log", true, true, "x\n", 0, log + "x\n", [3]string{"AppendObject", "AppendObject", "PutObject"}},
		{"written behind the end", true, false, "x\n", int64(len(log)), log + "x\n", [3]string{"PutObject", "AppendObject", "PutObject"}},
		{"written across the end", true, false, "xyz", int64(len(log)) - 1, log[:len(log)-1] + "xyz", [3]string{"PutObject", "PutObject", "PutObject"}},
		{"written far behind the end", true, false, "x", int64(len(log)) + 2, log + "\x00\x00x", [3]string{"PutObject", "PutObject", "PutObject"}},
		{"written in the middle", true, false, "LOG", 2, "a LOG" + log[5:], [3]string{"PutObject", "PutObject", "PutObject"}},
	}
	for _, tt := range tests {
		for mode, op := range tt.by {
			t.Run(tt.name+"/"+[]string{"auto", "always", "never"}[mode], func(t *testing.T) {
				r := newRig(t, appendAs(AppendMode(mode)))
				var h *Handle
				if tt.exists {
					r.appendObject("k", 0, []byte(log))
					h = r.open(r.store, "k", tt.appends)
				} else {
					h = r.create(r.store, "k", tt.appends)
				}
				r.srv.ResetStats()
				r.write(h, []byte(tt.write), tt.off)
				r.must(h.Flush())
				got := r.requests()
				for _, other := range []string{"AppendObject", "PutObject", "InitiateMultipart"} {
					if want := map[bool]int64{true: 1}[other == op]; got[other] != want {
						t.Errorf("%d of %s, want %d; all: %v", got[other], other, want, got)
					}
				}
				r.must(h.Close())
				r.wantObject("k", []byte(tt.want))
			})
		}
	}
}

// TestAppendAlwaysAgain goes on writing behind the end, through one handle that keeps its place by itself: an
// append for each flush, with these bytes only.
func TestAppendAlwaysAgain(t *testing.T) {
	r := newRig(t, appendAs(AppendAlways))
	r.appendObject("k", 0, []byte("0"))
	h := r.open(r.store, "k", false)
	r.srv.ResetStats()
	want := []byte("0")
	for i := range 5 {
		line := bytes.Repeat([]byte{byte('a' + i)}, 10)
		r.write(h, line, int64(len(want)))
		want = append(want, line...)
		r.must(h.Flush())
	}
	if st := r.srv.Stats()["AppendObject"]; st.Requests != 5 || st.BytesIn != 50 {
		t.Errorf("%d appends of %d bytes, want 5 of 50", st.Requests, st.BytesIn)
	}
	r.must(h.Close())
	r.wantObject("k", want)
}

// TestAppendAlwaysConflict has somebody else append first: bytes that were written at a place do not follow
// an end that moved.
func TestAppendAlwaysConflict(t *testing.T) {
	r := newRig(t, appendAs(AppendAlways))
	r.appendObject("k", 0, []byte("base\n"))
	h := r.open(r.store, "k", false)
	r.write(h, []byte("mine\n"), 5)
	r.appendObject("k", 5, []byte("theirs\n"))
	if err := h.Flush(); !errors.Is(err, ErrConflict) {
		t.Fatalf("flush: %v, want ErrConflict", err)
	}
	if err := h.Close(); !errors.Is(err, ErrConflict) {
		t.Errorf("close: %v, want ErrConflict", err)
	}
	r.wantObject("k", []byte("base\ntheirs\n"))
	if st := r.store.Status(); len(st) != 1 || st[0].State != StateConflict {
		t.Errorf("status: %+v, want a conflict", st)
	}
}

// TestAppendToArchived tells the writer at once that an archived object takes nothing, and keeps the bytes.
func TestAppendToArchived(t *testing.T) {
	r := newRig(t)
	r.appendObject("k", 0, []byte("base\n"))
	lift := r.srv.AddRule(cosserver.Rule{Op: "AppendObject", Action: cosserver.Fail, Status: 403, Code: "InvalidObjectState"})
	h := r.open(r.store, "k", true)
	r.srv.ResetStats()
	r.write(h, []byte("line\n"), 0)
	if err := h.Flush(); !errors.Is(err, cos.ErrInvalidState) {
		t.Fatalf("flush: %v, want ErrInvalidState", err)
	}
	if n := r.requests()["AppendObject"]; n != 1 {
		t.Errorf("%d appends, want 1", n)
	}
	lift()
	r.must(h.Fsync(t.Context()))
	r.must(h.Close())
	r.wantObject("k", []byte("base\nline\n"))
}
