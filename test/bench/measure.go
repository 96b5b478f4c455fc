package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"cosfuse/cos/cosserver"
)

// bench is a run.
type bench struct {
	o        *options
	dir      string
	progress io.Writer
	sizes    sizes
	subjects []string // that are there
	programs map[string]program
	srv      *server
	filled   []string // fixtures
	areas    int
}

// find builds cosfuse and returns the subjects that are installed.
func (b *bench) find(ctx context.Context) ([]string, error) {
	b.programs = map[string]program{}
	var found []string
	for _, name := range b.o.subjects {
		switch name {
		case cosfuseName:
			binary, err := b.build(ctx)
			if err != nil {
				return nil, err
			}
			b.programs[name] = cosfuseProgram(binary)
		case aloneName:
		default:
			if _, err := exec.LookPath(name); err != nil {
				fmt.Fprintf(b.progress, "bench: %s is not installed\n", name)
				continue
			}
			i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
			b.programs[name] = programs[i]
		}
		found = append(found, name)
	}
	return found, nil
}

func (b *bench) build(ctx context.Context) (string, error) {
	if b.o.cosfuse != "" {
		return filepath.Abs(b.o.cosfuse)
	}
	binary := filepath.Join(b.dir, "cosfuse")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "cosfuse/cmd/cosfuse")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, said)
	}
	return binary, nil
}

// measure carries out a workload with all subjects, and returns rows step by step.
func (b *bench) measure(ctx context.Context, w workload) ([]row, error) {
	if err := b.srv.shape(ctx, cosserver.Shape{}); err != nil {
		return nil, err
	}
	fill := &filler{b.srv.client, b.sizes}
	for _, f := range w.needs {
		if slices.Contains(b.filled, f.name) {
			continue
		}
		fmt.Fprintf(b.progress, "bench: making the objects of %q\n", f.name)
		if err := f.make(ctx, fill); err != nil {
			return nil, fmt.Errorf("objects of %q: %w", f.name, err)
		}
		if err := pause(ctx, f.age); err != nil {
			return nil, err
		}
		b.filled = append(b.filled, f.name)
	}
	best := map[string][]row{} // by subject
	for range b.o.repeat {
		for _, name := range b.subjects {
			rows, err := b.subject(ctx, w, name, fill)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			best[name] = faster(best[name], rows)
		}
	}
	var rows []row
	for i := range w.steps {
		for _, name := range b.subjects {
			if r := best[name][i]; r.cost.stats != nil || r.err != nil {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// faster merges two runs of a workload.
func faster(a, b []row) []row {
	if a == nil {
		return b
	}
	for i := range a {
		if a[i].err != nil || b[i].err == nil && b[i].cost.took < a[i].cost.took {
			a[i] = b[i]
		}
	}
	return a
}

// subject carries out a workload with one subject. Steps that it does not have stay empty rows.
func (b *bench) subject(ctx context.Context, w workload, name string, fill *filler) (_ []row, err error) {
	b.areas++
	area := fmt.Sprintf("work/%d/", b.areas)
	if err := fill.area(ctx, area); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "subject")
	place := &place{sizes: b.sizes, mnt: filepath.Join(dir, "mnt"), area: area, local: filepath.Join(dir, "local"), fill: fill}
	if err := os.MkdirAll(place.local, 0o700); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	run := &session{b: b, p: b.programs[name], place: place, dir: dir}
	defer func() { err = errors.Join(err, run.end()) }()
	rows := make([]row, len(w.steps))
	for i, s := range w.steps {
		rows[i] = row{step: s.name, subject: name}
		if name == aloneName && s.alone == nil {
			continue
		}
		fmt.Fprintf(b.progress, "bench: %s: %s\n", name, s.name)
		if name == aloneName {
			rows[i].cost, rows[i].err = b.alone(ctx, w, i, area)
		} else {
			rows[i].cost, rows[i].err = run.step(ctx, s)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := rows[i].err; err != nil {
			fmt.Fprintf(b.progress, "bench: %s: %s: %v\n", name, s.name, err)
		}
	}
	return rows, nil
}

// alone measures the client in a process of its own.
func (b *bench) alone(ctx context.Context, w workload, i int, area string) (cost, error) {
	var out bytes.Buffer
	c := child{Alone: &aloneConfig{Address: b.srv.address, Scale: b.o.scale, Workload: w.name, Step: i, Area: area}}
	cmd, err := startChild(ctx, c, os.Stderr)
	if err != nil {
		return cost{}, err
	}
	cmd.Stdout = &out
	if err := b.begin(ctx); err != nil {
		return cost{}, err
	}
	if err := cmd.Run(); err != nil {
		return cost{}, err
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return cost{}, err
	}
	res := cost{took: r.Took}
	res.cpu, res.peak = ended(cmd.ProcessState)
	res.stats, err = b.srv.stats(ctx)
	return res, err
}

// begin shapes the server and sets its counts to zero.
func (b *bench) begin(ctx context.Context) error {
	sh := cosserver.Shape{Latency: b.o.latency, BytesPerSecond: b.o.bandwidth}
	return errors.Join(b.srv.shape(ctx, sh), b.srv.reset(ctx))
}

// session is a workload on the mounts of one program.
type session struct {
	b     *bench
	p     program
	place *place
	dir   string
	m     *mounted // nil if nothing is mounted
}

// step carries out one step.
func (s *session) step(ctx context.Context, st step) (cost, error) {
	if err := s.b.srv.shape(ctx, cosserver.Shape{}); err != nil {
		return cost{}, err
	}
	if st.ready != nil && st.write { // it works on the bucket
		if err := st.ready(ctx, s.place); err != nil {
			return cost{}, err
		}
	}
	if err := s.prepare(ctx, st.start); err != nil {
		return cost{}, err
	}
	if st.ready != nil && !st.write { // it works on the mount
		if err := st.ready(ctx, s.place); err != nil {
			return cost{}, err
		}
	}
	if _, err := s.b.srv.stats(ctx); err != nil { // what the mount asks for by itself has ended
		return cost{}, err
	}
	if err := s.b.begin(ctx); err != nil {
		return cost{}, err
	}
	return s.timed(ctx, st)
}

// timed measures what st does.
func (s *session) timed(ctx context.Context, st step) (c cost, err error) {
	pid := s.m.cmd.Process.Pid
	if err := resetPeak(pid); err != nil {
		return c, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := st.do(ctx, s.place); err != nil {
		return c, fmt.Errorf("%w: %s", err, s.m.said())
	}
	c.took = time.Since(began)
	after, err1 := cpuTime(pid)
	c.cpu = after - before
	var err2 error
	c.peak, err2 = peakMemory(pid)
	if err := errors.Join(err1, err2); err != nil {
		return c, err
	}
	if st.write {
		state := s.m.cmd
		if err := s.end(); err != nil {
			return c, err
		}
		c.took = time.Since(began)
		total, _ := ended(state.ProcessState)
		c.cpu = total - before
	}
	c.stats, err = s.b.srv.stats(ctx)
	return c, err
}

// prepare mounts as a step wants it.
func (s *session) prepare(ctx context.Context, how start) error {
	if how == again && s.m != nil {
		return nil
	}
	if err := s.end(); err != nil {
		return err
	}
	if how == fresh {
		if err := os.RemoveAll(filepath.Join(s.dir, "cache")); err != nil {
			return err
		}
	}
	var err error
	s.m, err = s.p.mount(ctx, s.b.srv.address, s.dir)
	return err
}

// end unmounts, if something is mounted.
func (s *session) end() error {
	if s.m == nil {
		return nil
	}
	m := s.m
	s.m = nil
	return m.stop()
}
