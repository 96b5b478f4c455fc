package treemodel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Crowd runs random operations of several workers at once, each in a directory of its own, and kills the
// mount now and then, at a random moment. After each kill every worker finds what it may find. It returns
// how many operations agreed; the mount is fresh.
func (w *World) Crowd(seed uint64, workers, kills int) (ops int64, err error) {
	defer func() {
		if err != nil {
			w.Log = w.logs()
		}
		err = errors.Join(err, w.killAll())
	}()
	if err := w.begin(); err != nil {
		return 0, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	crowd := make([]*member, workers)
	for i := range crowd {
		if crowd[i], err = w.join(seed, i); err != nil {
			return 0, err
		}
	}
	for k := range kills {
		if err := w.shift(crowd, time.Duration(1+rng.IntN(120))*time.Millisecond); err != nil {
			return 0, fmt.Errorf("seed %d, kill %d: %w", seed, k, err)
		}
	}
	for _, m := range crowd {
		ops += m.ops
		if err := m.end(false); err != nil {
			return ops, fmt.Errorf("seed %d, at the end: %w", seed, err)
		}
	}
	return ops, nil
}

// member is one worker of a crowd.
type member struct {
	*list
	rng        *rand.Rand
	ops        int64
	last       []string   // what it did last, and how that ended
	candidates []*machine // after that
}

// join makes a member, and its directory.
func (w *World) join(seed uint64, i int) (*member, error) {
	w.lists++
	name := strconv.Itoa(w.lists)
	l := &list{w: w, prefix: name + "/", want: newMachine()}
	l.disks = []*disk{newDisk(filepath.Join(w.mounts[0].Config.Dir, name))}
	return &member{list: l, rng: rand.New(rand.NewPCG(seed, uint64(i)+1))}, w.putObject(l.prefix, nil)
}

// shift lets the members work until the mount is killed, mounts again, and compares.
func (w *World) shift(crowd []*member, d time.Duration) error {
	var dying atomic.Bool
	var wg sync.WaitGroup
	errs := make([]error, len(crowd))
	for i, m := range crowd {
		wg.Go(func() { errs[i] = m.work(&dying) })
	}
	<-time.After(d)
	dying.Store(true)
	err := w.mounts[0].Signal(syscall.SIGKILL)
	wg.Wait()
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	if err := w.mounts[0].Kill(); err != nil {
		return err
	}
	for _, m := range crowd {
		m.disk().closeAll()
	}
	if err := w.restart(0); err != nil {
		for _, m := range crowd {
			err = fmt.Errorf("%w\n%s: %s", err, m.prefix, m.story())
		}
		return err
	}
	for _, m := range crowd {
		if err := m.goOn(m.candidates...); err != nil {
			return fmt.Errorf("%s: %s\n%w", m.prefix, m.story(), err)
		}
		m.last = append(m.last, "killed and mounted again")
	}
	return nil
}

// story is what the member did last, a line each.
func (m *member) story() string { return "\n" + strings.Join(m.last, "\n") }

// work runs operations until the mount dies under one.
func (m *member) work(dying *atomic.Bool) error {
	mix := m.w.c.Mix
	for {
		o := mix.Draw(m.rng, 1)[0]
		before := m.want.clone()
		stale := m.mayBeStale(o)
		got, want := m.disk().run(o), m.want.run(o)
		m.last = append(m.last[max(0, len(m.last)-40):], fmt.Sprintf("%v: %v", o, got))
		switch {
		case got.equal(want), stale && got.errno == syscall.ESTALE:
			m.ops++
		case dying.Load() && interrupted(got.errno):
			m.candidates = m.outcomes(o, before)
			return nil
		default:
			return fmt.Errorf("%s: %s, want %v", m.prefix, m.story(), want)
		}
	}
}
