package writeback

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// fileModel is one file of the mount and the plain bytes it must equal.
type fileModel struct {
	r     *rig
	key   string
	h     *Handle
	want  []byte
	names int
}

// TestFileMatchesModel runs random operations on a file and on a slice of bytes. The threshold is low, so
// that puts, appends and patches take turns, and every flush is compared with the object.
func TestFileMatchesModel(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MultipartThreshold = 2 * mib })
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &fileModel{r: r, key: fmt.Sprintf("model/%d", run)}
		m.h = r.create(r.store, m.key, rapid.Bool().Draw(t, "appends"))
		t.Repeat(map[string]func(*rapid.T){
			"write":    m.write,
			"append":   m.append,
			"truncate": m.truncate,
			"punch":    m.punch,
			"flush":    m.flush,
			"reopen":   m.reopen,
			"rename":   m.rename,
			"":         m.check,
		})
		if err := m.h.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func (m *fileModel) put(t *rapid.T, p []byte, off int64) {
	if m.h.appends {
		off = int64(len(m.want))
	}
	if _, err := m.h.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
	if n := off + int64(len(p)); n > int64(len(m.want)) {
		m.want = append(m.want, make([]byte, n-int64(len(m.want)))...)
	}
	copy(m.want[off:], p)
}

func (m *fileModel) write(t *rapid.T) {
	off := rapid.Int64Range(0, 7*mib).Draw(t, "off")
	m.put(t, random(rapid.SampledFrom([]int{1, 100, 4096, 1 << 17}).Draw(t, "len")), off)
}

func (m *fileModel) append(t *rapid.T) {
	m.put(t, random(rapid.IntRange(1, 3000).Draw(t, "len")), int64(len(m.want)))
}

func (m *fileModel) truncate(t *rapid.T) {
	size := rapid.SampledFrom([]int64{0, 1, int64(len(m.want)) / 2, int64(len(m.want)), int64(len(m.want)) + 5000}).Draw(t, "size")
	if err := m.h.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if size <= int64(len(m.want)) {
		m.want = m.want[:size]
		return
	}
	m.want = append(m.want, make([]byte, size-int64(len(m.want)))...)
}

func (m *fileModel) punch(t *rapid.T) {
	off := rapid.Int64Range(0, int64(len(m.want))).Draw(t, "off")
	size := rapid.Int64Range(1, 1<<16).Draw(t, "len")
	if err := m.h.Allocate(off, size, AllocPunchHole|AllocKeepSize); err != nil {
		t.Fatal(err)
	}
	clear(m.want[off:min(off+size, int64(len(m.want)))])
}

func (m *fileModel) flush(t *rapid.T) {
	if err := m.h.Fsync(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.r.wantObject(m.key, m.want)
}

func (m *fileModel) reopen(t *rapid.T) {
	m.flush(t)
	appends := rapid.Bool().Draw(t, "appends")
	if err := m.h.Close(); err != nil {
		t.Fatal(err)
	}
	m.h = m.r.open(m.r.store, m.key, appends)
}

func (m *fileModel) rename(t *rapid.T) {
	m.names++
	m.key = fmt.Sprintf("%s.%d", m.key, m.names)
	if err := m.r.store.Rename(m.h.f, m.key, false); err != nil {
		t.Fatal(err)
	}
}

func (m *fileModel) check(t *rapid.T) {
	p := make([]byte, len(m.want)+1)
	n, err := m.h.ReadAt(t.Context(), p, 0)
	if err != nil || !bytes.Equal(p[:n], m.want) {
		t.Fatalf("read %d bytes (%v), want %d; equal up to %d", n, err, len(m.want), commonPrefix(p[:n], m.want))
	}
	m.h.f.mu.Lock()
	defer m.h.f.mu.Unlock()
	if err := m.h.f.ext.Check(); err != nil {
		t.Fatal(err)
	}
}
