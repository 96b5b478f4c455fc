package treemodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mountproc"
	"cosfuse/test/internal/mounttest"
)

// Death is where a mount kills itself: when it passes a failpoint for the n-th time.
type Death struct {
	Failpoint string
	Pass      int
}

// Config is how the mounts of a world are mounted, and what happens to them.
type Config struct {
	Name       string
	Mix        Mix
	Background bool
	Shared     bool // two mounts of one bucket, and others who change it
	Hasty      bool // the mounts soon lose patience with requests that stall

	Deaths []Death // of the first mount, of the one after it, and so on; what mounts after these lives
	Record string  // file that takes the names of the failpoints passed; "" = none
}

// World is a bucket and one or two mounts of it.
type World struct {
	Died int    // how many of Config's deaths the last Run saw
	Log  string // what the mounts logged before the last failure

	c       Config
	t       testing.TB
	bucket  *mounttest.Bucket
	ahead   *atomic.Int64 // of every clock but the machine's, in nanoseconds
	mounts  []*mountproc.Proc
	doors   []*cosserver.Listener // of the server, one for each mount
	killing bool                  // kill the mount after an operation that failed with bytes in hand
	starts  int                   // makes new directories
	lists   int
}

// threshold makes parts and patches of files that are still quick to write.
const threshold = 1 << 20

// pause is how long other mounts wait until what was confirmed a moment ago is asked for again.
const pause = 10 * time.Second

// What a hasty mount bears.
const (
	Attempts = 5                      // of one request
	patience = 500 * time.Millisecond // without a byte
	Settled  = 300 * time.Millisecond // after which a request without a reply has been applied, or never will be
)

// NewWorld starts a bucket for the time of the test; Run makes the mounts. The test is skipped where
// nothing can be mounted.
func NewWorld(t testing.TB, c Config) *World {
	t.Helper()
	mounttest.NeedFUSE(t)
	w := &World{c: c, t: t, ahead: new(atomic.Int64)}
	w.bucket = mounttest.NewBucket(t, cosserver.Options{
		Clock: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	t.Cleanup(func() {
		if err := w.killAll(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// begin makes the mounts that are not there, with empty caches.
func (w *World) begin() error {
	n := 1
	if w.c.Shared {
		n = 2
	}
	for len(w.mounts) < n {
		w.starts++
		dir := filepath.Join(w.t.TempDir(), "m")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		mc := mountproc.Config{
			Region: w.bucket.Server.Region(), Bucket: w.bucket.Server.Bucket(),
			Dir: dir, Cache: dir + ".cache", Log: dir + ".log",
			Background: w.c.Background, MultipartThreshold: threshold, AttrDelay: 30 * time.Millisecond,
			UploadGrace: time.Nanosecond, // nobody else makes uploads here
			Ahead:       time.Duration(w.ahead.Load()), Record: w.c.Record,
		}
		if w.c.Hasty {
			mc.Attempts, mc.StallTimeout, mc.SettleTime = Attempts, patience, Settled
		}
		if w.c.Shared {
			mc.MetaTTL, mc.NegativeTTL = time.Nanosecond, time.Nanosecond
		}
		w.doom(&mc)
		p, door, err := w.mount(mc)
		if err != nil {
			return err
		}
		w.mounts, w.doors = append(w.mounts, p), append(w.doors, door)
	}
	return nil
}

// mount starts a mount that has a door of its own to the server.
func (w *World) mount(c mountproc.Config) (*mountproc.Proc, *cosserver.Listener, error) {
	door, err := w.bucket.Server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	c.URL = door.URL
	p, err := mountproc.Start(c)
	if err != nil {
		return nil, nil, errors.Join(err, shut(&door))
	}
	return p, door, nil
}

// shut closes the door of a mount that is gone, and returns when none of its requests is under way: after that
// nothing changes any more that the mount had asked for and was not told.
func shut(door **cosserver.Listener) error {
	d := *door
	if d == nil {
		return nil
	}
	*door = nil
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	return d.Close(ctx)
}

// killAll ends all mounts; the next begin makes new ones.
func (w *World) killAll() error {
	var errs []error
	for i, p := range w.mounts {
		errs = append(errs, p.Kill(), shut(&w.doors[i]))
	}
	w.mounts, w.doors = nil, nil
	return errors.Join(errs...)
}

// doom sets where the next mount is to die.
func (w *World) doom(c *mountproc.Config) {
	c.Failpoint = ""
	if w.Died < len(w.c.Deaths) {
		d := w.c.Deaths[w.Died]
		c.Failpoint, c.Pass = d.Failpoint, d.Pass
	}
}

// mortal reports whether mount i may die by itself.
func (w *World) mortal(i int) bool { return w.mounts[i].Config.Failpoint != "" }

// restart mounts once more what ended, with its cache. If that one is to die and does, while it recovers,
// the next takes its place.
func (w *World) restart(i int) error {
	for {
		if err := shut(&w.doors[i]); err != nil {
			return err
		}
		c := w.mounts[i].Config
		c.Ahead = time.Duration(w.ahead.Load())
		w.doom(&c)
		p, door, err := w.mount(c)
		if errors.Is(err, mountproc.ErrDied) && c.Failpoint != "" {
			w.Died++
			continue
		}
		if err != nil {
			return err
		}
		w.mounts[i], w.doors[i] = p, door
		err = p.Sync()
		if errors.Is(err, mountproc.ErrDied) && c.Failpoint != "" {
			w.Died++
			if err := p.Kill(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			err = p.Sync() // what had failed before was told now
		}
		if err != nil {
			return fmt.Errorf("sync after mounting again: %w", err)
		}
		return nil
	}
}

// Fresh takes all mounts away: the next Run has new ones, with empty caches.
func (w *World) Fresh() error {
	w.Died = 0
	return w.killAll()
}

// advance moves all clocks on.
func (w *World) advance() error {
	w.ahead.Add(int64(pause))
	for _, p := range w.mounts {
		if err := p.SetAhead(time.Duration(w.ahead.Load())); err != nil {
			return err
		}
	}
	return nil
}

// logs returns the end of the mounts' logs.
func (w *World) logs() string {
	var out strings.Builder
	for _, p := range w.mounts {
		text, err := os.ReadFile(p.Config.Log)
		if err != nil {
			continue
		}
		fmt.Fprintf(&out, "%s:\n%s\n", p.Config.Log, text[max(0, len(text)-6000):])
	}
	return out.String()
}

// objects reads everything below prefix, as somebody who mounts nothing.
func (w *World) objects(prefix string) (map[string][]byte, error) {
	out := map[string][]byte{}
	o := cos.ListOptions{Prefix: prefix}
	for {
		page, err := w.bucket.Client.List(context.Background(), &o)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			data, err := w.object(e.Key)
			switch {
			case errors.Is(err, cos.ErrNotFound): // deleted meanwhile
			case err != nil:
				return nil, err
			case e.Key != prefix:
				out[strings.TrimPrefix(e.Key, prefix)] = data
			}
		}
		if !page.Truncated {
			return out, nil
		}
		o.Marker = page.NextMarker
	}
}

func (w *World) object(key string) ([]byte, error) {
	r, err := w.bucket.Client.Get(context.Background(), key, nil)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r.Body)
	return data, errors.Join(err, r.Body.Close())
}

func (w *World) putObject(key string, data []byte) error {
	_, err := w.bucket.Client.Put(context.Background(), key, bytes.NewReader(data), int64(len(data)), nil)
	return err
}

// appendObject appends at the object's end.
func (w *World) appendObject(key string, data []byte) error {
	i, err := w.bucket.Client.Head(context.Background(), key, nil)
	if err != nil {
		return err
	}
	_, err = w.bucket.Client.Append(context.Background(), key, i.Size, bytes.NewReader(data), int64(len(data)), nil)
	return err
}

// uploads counts multipart uploads below prefix that nobody finished.
func (w *World) uploads(prefix string) (n int, err error) {
	u, err := w.bucket.Client.ListUploads(context.Background(), &cos.ListUploadsOptions{Prefix: prefix})
	if err != nil {
		return 0, err
	}
	return len(u.Uploads), nil
}

// rules of a fault, for the server.
func (f *Fault) rules(seed uint64) []cosserver.Rule {
	r := cosserver.Rule{
		Op: f.Op, Action: cosserver.Action(f.What), When: cosserver.When(f.When), Status: f.Status, Seed: seed,
	}
	if !f.Hard {
		r.Probability = 0.3
	}
	return []cosserver.Rule{r}
}

// interrupted reports whether a number may come from a mount that was killed under an operation.
func interrupted(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENOTCONN, syscall.ECONNABORTED, syscall.EIO, syscall.EINTR:
		return true
	}
	return false
}

// refused reports whether a number may come from a service that fails all tries.
func refused(errno syscall.Errno) bool {
	switch errno {
	case syscall.EACCES, syscall.EIO, syscall.EBUSY, syscall.ETIMEDOUT:
		return true
	}
	return false
}
