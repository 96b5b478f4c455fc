package writeback

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cosfuse/cache"
	"cosfuse/writeback/journal"
)

// disk is what a Store writes to, and what of it a power cut may leave: of the journal by pebble's crashable file
// system, of the staging files what was synced, with or without any page of what was not.
type disk struct {
	r       *rig
	rng     *rand.Rand
	dir     string
	journal *vfs.MemFS
	synced  map[string][]byte // staging files as they were when they were synced
}

func newDisk(r *rig, rng *rand.Rand) *disk {
	return &disk{r: r, rng: rng, dir: r.t.TempDir(), journal: vfs.NewCrashableMem(), synced: make(map[string][]byte)}
}

// options let a Store write to the disk.
func (d *disk) options(o *Options) {
	o.Dir, o.Background, o.journalIn = d.dir, true, journal.Options{FS: d.journal}
	o.synced = func(name string) {
		data, err := os.ReadFile(filepath.Join(d.dir, "staging", name))
		if err != nil {
			d.r.t.Error(err)
		}
		d.synced[name] = data
	}
}

// cutPage is what reaches the disk together, or does not.
const cutPage = 4096

// left is what the cut leaves of a staging file; nil: not even its name.
func (d *disk) left(old, now []byte) []byte {
	switch d.rng.IntN(4) {
	case 0:
		return old
	case 1:
		return now
	}
	if old == nil && d.rng.IntN(3) == 0 {
		return []byte{}
	}
	out := make([]byte, max(len(old), len(now)))
	for off := 0; off < len(out); off += cutPage {
		end := min(off+cutPage, len(out))
		switch from := d.rng.IntN(3); {
		case from == 0 && off < len(now):
			copy(out[off:end], now[off:])
		case off < len(old):
			copy(out[off:end], old[off:])
		case from == 1: // the rest was not even allotted
			return out[:max(off, len(old))]
		}
	}
	return out
}

// cut returns what is left after a power cut now, on another disk.
func (d *disk) cut() *disk {
	t := d.r.t
	t.Helper()
	c := newDisk(d.r, d.rng)
	c.journal = d.journal.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * d.rng.IntN(3), RNG: d.rng})
	d.r.must(os.MkdirAll(filepath.Join(c.dir, "staging"), 0o700))
	names := make(map[string]bool)
	for name := range d.synced {
		names[name] = true
	}
	list, err := os.ReadDir(filepath.Join(d.dir, "staging"))
	d.r.must(err)
	for _, e := range list {
		names[e.Name()] = true
	}
	for name := range names {
		now, err := os.ReadFile(filepath.Join(d.dir, "staging", name))
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			t.Fatal(err)
		}
		if left := d.left(d.synced[name], now); left != nil {
			d.r.must(os.WriteFile(filepath.Join(c.dir, "staging", name), left, 0o600))
		}
	}
	return c
}

// mount opens a Store on what is left. The journal lies where the Store before had it.
func (d *disk) mount(journalDir string) *Store {
	d.r.t.Helper()
	blocks, err := cache.NewBlocks(d.r.t.Context(), cache.BlocksOptions{MemoryBytes: 1 << 20})
	d.r.must(err)
	o := Options{Client: d.r.client, Blocks: blocks, AttrDelay: time.Hour}
	d.options(&o)
	o.journalDir = journalDir
	s, err := Open(d.r.t.Context(), o)
	d.r.must(err)
	return s
}

// written is a file and all that it ever was.
type written struct {
	h      *Handle
	key    string
	states [][]byte
	acked  int // the state that was acknowledged; -1: none
}

func (w *written) now() []byte { return w.states[len(w.states)-1] }

func (w *written) set(p []byte) { w.states = append(w.states, p) }

// wantAfterCut fails unless the file is in one of the states since the last that was acknowledged.
func (d *disk) wantAfterCut(s *Store, w *written) error {
	got, ok := []byte(nil), false
	if l, known := s.Local(w.key); known && l.File != nil {
		if l.File.attempt != nil { // as the commit to come will
			d.r.must(l.File.settleAttempt(d.r.t.Context()))
		}
		h := d.r.open(s, w.key, false)
		got, ok = d.r.read(h), true
		h.f.mu.Lock()
		h.f.wrote = false // its close is none of the file's
		h.f.mu.Unlock()
		d.r.must(h.Close())
	} else {
		got, ok = d.r.object(w.key)
	}
	if !ok && w.acked < 0 {
		return nil
	}
	if !ok {
		return fmt.Errorf("%s is lost", w.key)
	}
	for _, p := range w.states[max(w.acked, 0):] {
		if bytes.Equal(p, got) {
			return nil
		}
	}
	return fmt.Errorf("%s has %d bytes that it never had, or not since %d of %d states; equal to the last up to %d",
		w.key, len(got), w.acked, len(w.states), commonPrefix(got, w.now()))
}

// cutter cuts the power again and again while files are written.
type cutter struct {
	*disk
	s      *Store
	files  []*written
	images int
}

// image recovers from a power cut now.
func (c *cutter) image(at string) {
	t := c.r.t
	t.Helper()
	c.images++
	d := c.cut()
	s := d.mount(filepath.Join(c.dir, "journal"))
	defer c.r.end(s)
	for _, w := range c.files {
		if err := d.wantAfterCut(s, w); err != nil {
			t.Errorf("power cut at %s: %v (recovered %+v)", at, err, s.Recovered())
		}
	}
}

// step changes or acknowledges a file.
func (c *cutter) step(n int) {
	if n < 3 {
		key := fmt.Sprint("f", n)
		c.files = append(c.files, &written{h: c.r.create(c.s, key, n == 2), key: key, states: [][]byte{{}}, acked: -1})
	}
	w := c.files[c.rng.IntN(len(c.files))]
	switch c.rng.IntN(6) {
	case 0, 1:
		p := random(1 + c.rng.IntN([]int{300, 9000, 150 << 10}[c.rng.IntN(3)]))
		off := c.rng.IntN(len(w.now()) + 1)
		if w.h.appends {
			off = len(w.now())
		}
		next := make([]byte, max(len(w.now()), off+len(p)))
		copy(next, w.now())
		copy(next[off:], p)
		w.set(next)
		c.r.write(w.h, p, int64(off))
	case 2:
		size := c.rng.IntN(len(w.now()) + 1)
		w.set(w.now()[:size:size])
		c.r.must(w.h.Truncate(int64(size)))
	case 3, 4:
		wrote := w.h.f.wroteNow()
		c.r.must(w.h.Flush())
		if wrote {
			w.acked = len(w.states) - 1
		}
	default:
		c.r.must(w.h.Fsync(c.r.t.Context()))
		w.acked = len(w.states) - 1
	}
}

func (f *File) wroteNow() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrote
}

// TestPowerCut cuts the power after each step of files that are written, cut, closed and committed, and inside of
// the steps that make something safe. What was acknowledged is there, and nothing that never was.
func TestPowerCut(t *testing.T) {
	images := 0
	for seed := range uint64(6) {
		r := newRig(t)
		c := &cutter{disk: newDisk(r, rand.New(rand.NewPCG(seed, 0)))}
		c.s = r.newStore(c.options, func(o *Options) {
			o.Failpoint = func(name string) {
				if c.s != nil && (name == fpPersistStaged || name == fpPersistDone || name == fpCommitPublished) {
					c.image(name)
				}
			}
		})
		for n := range 40 {
			c.step(n)
			c.image(fmt.Sprintf("seed %d, after step %d", seed, n))
		}
		images += c.images
		for _, w := range c.files {
			r.must(w.h.Close())
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d images recovered", images)
}
