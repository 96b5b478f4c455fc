package model

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

// config is how the mounts of a world are mounted, and what happens to them.
type config struct {
	name       string
	mix        mix
	background bool
	shared     bool // two mounts of one bucket, and others who change it
}

// world is a bucket and one or two mounts of it.
type world struct {
	c      config
	t      *testing.T
	bucket *mounttest.Bucket
	ahead  *atomic.Int64 // of every clock but the machine's, in nanoseconds
	mounts []*mountproc.Proc
	starts int // makes new directories
	lists  int
	log    string // what the mounts logged before the last failure
}

// threshold makes parts and patches of files that are still quick to write.
const threshold = 1 << 20

// pause is how long other mounts wait until what was confirmed a moment ago is asked for again.
const pause = 10 * time.Second

func newWorld(t *testing.T, c config) *world {
	t.Helper()
	mounttest.NeedFUSE(t)
	w := &world{c: c, t: t, ahead: new(atomic.Int64)}
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
func (w *world) begin() error {
	n := 1
	if w.c.shared {
		n = 2
	}
	for len(w.mounts) < n {
		w.starts++
		dir := filepath.Join(w.t.TempDir(), "m")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		mc := mountproc.Config{
			URL: w.bucket.URL, Region: w.bucket.Server.Region(), Bucket: w.bucket.Server.Bucket(),
			Dir: dir, Cache: dir + ".cache", Log: dir + ".log",
			Background: w.c.background, MultipartThreshold: threshold, AttrDelay: 30 * time.Millisecond,
			Ahead: time.Duration(w.ahead.Load()),
		}
		if w.c.shared {
			mc.MetaTTL, mc.NegativeTTL = time.Nanosecond, time.Nanosecond
		}
		p, err := mountproc.Start(mc)
		if err != nil {
			return err
		}
		w.mounts = append(w.mounts, p)
	}
	return nil
}

// killAll ends all mounts; the next begin makes new ones.
func (w *world) killAll() error {
	var errs []error
	for _, p := range w.mounts {
		errs = append(errs, p.Kill())
	}
	w.mounts = nil
	return errors.Join(errs...)
}

// restart mounts once more what ended, with its cache.
func (w *world) restart(i int) error {
	c := w.mounts[i].Config
	c.Ahead = time.Duration(w.ahead.Load())
	p, err := mountproc.Start(c)
	if err != nil {
		return err
	}
	w.mounts[i] = p
	return nil
}

// advance moves all clocks on.
func (w *world) advance() error {
	w.ahead.Add(int64(pause))
	for _, p := range w.mounts {
		if err := p.SetAhead(time.Duration(w.ahead.Load())); err != nil {
			return err
		}
	}
	return nil
}

// logs returns the end of the mounts' logs.
func (w *world) logs() string {
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
func (w *world) objects(prefix string) (map[string][]byte, error) {
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

func (w *world) object(key string) ([]byte, error) {
	r, err := w.bucket.Client.Get(context.Background(), key, nil)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r.Body)
	return data, errors.Join(err, r.Body.Close())
}

func (w *world) putObject(key string, data []byte) error {
	_, err := w.bucket.Client.Put(context.Background(), key, bytes.NewReader(data), int64(len(data)), nil)
	return err
}

// uploads counts multipart uploads that nobody finished.
func (w *world) uploads() (int, error) {
	u, err := w.bucket.Client.ListUploads(context.Background(), nil)
	if err != nil {
		return 0, err
	}
	return len(u.Uploads), nil
}

// rules of a fault, for the server.
func (f *fault) rules(seed uint64) []cosserver.Rule {
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
