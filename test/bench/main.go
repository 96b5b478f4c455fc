package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// childEnv is set in processes that the benchmark starts of itself: its value says what to do.
const childEnv = "COSFUSE_BENCH_CHILD"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the command: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, stdin, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return 1
}

func dispatch(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if text := os.Getenv(childEnv); text != "" {
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return fmt.Errorf("%s: %w", childEnv, err)
		}
		if c.Serve != nil {
			return c.Serve.serve(ctx, stdin, stdout)
		}
		return c.Alone.work(ctx, stdout)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return o.run(ctx, stdout, stderr)
}

// child is what a process started by the benchmark is for: one of these.
type child struct {
	Serve *serverConfig `json:",omitempty"`
	Alone *aloneConfig  `json:",omitempty"`
}

// options of a run.
type options struct {
	latency   time.Duration
	bandwidth int64 // bytes a second of each connection; 0 = any
	subjects  []string
	only      *regexp.Regexp // workloads
	scale     int            // sizes and counts are divided by it
	repeat    int            // times that each is measured; the fastest counts
	dir       string         // scratch
	cosfuse   string         // binary; "" = built from this source
}

// megabyte is the unit of -bandwidth.
const megabyte = 1e6

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	var bandwidth float64
	var subjects, only string
	f.DurationVar(&o.latency, "latency", 15*time.Millisecond, "what each request waits before it is answered")
	f.Float64Var(&bandwidth, "bandwidth", 100, "megabytes a second of each connection, in each direction; 0 is as fast as it goes")
	f.StringVar(&subjects, "subjects", strings.Join(subjectNames, ","), "what to measure, of these; programs that are not installed are left out")
	f.StringVar(&only, "run", "", "regular expression of the workloads to run (default all: "+workloadNames()+")")
	f.IntVar(&o.scale, "scale", 1, "divide all sizes and counts by this")
	f.IntVar(&o.repeat, "repeat", 1, "measure each so many times, in turns, and show the fastest")
	f.StringVar(&o.dir, "dir", "", "directory for objects and caches, up to 4 GiB at scale 1 (default: a new one where temporary files go)")
	f.StringVar(&o.cosfuse, "cosfuse", "", "cosfuse to measure (default: built from this source)")
	if err := f.Parse(args); err != nil {
		return nil, flag.ErrHelp // what is wrong has been said
	}
	o.bandwidth = int64(bandwidth * megabyte)
	o.subjects = strings.Split(subjects, ",")
	for _, s := range o.subjects {
		if !slices.Contains(subjectNames, s) {
			return nil, fmt.Errorf("-subjects: there is no %q, only %s", s, strings.Join(subjectNames, ", "))
		}
	}
	if f.NArg() > 0 || o.scale < 1 || o.repeat < 1 || o.bandwidth < 0 || o.latency < 0 {
		return nil, errors.New("-scale and -repeat are at least 1, -bandwidth and -latency at least 0, and there are no arguments but flags")
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

// run measures everything and prints the table.
func (o *options) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "cosfuse-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{o: o, dir: dir, progress: stderr, sizes: newSizes(o.scale)}
	if b.subjects, err = b.find(ctx); err != nil {
		return err
	}
	if b.srv, err = startServer(ctx, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.srv.stop()) }()
	var t table
	for _, w := range workloads(b.sizes) {
		if !o.only.MatchString(w.name) {
			continue
		}
		rows, err := b.measure(ctx, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		t.rows = append(t.rows, rows...)
	}
	fmt.Fprintf(stdout, "%s; %d cores; latency %v, %d MB/s per connection; sizes 1/%d; best of %d\n\n",
		kernel(), runtime.NumCPU(), o.latency, o.bandwidth/megabyte, o.scale, o.repeat)
	return t.print(stdout)
}

// kernel names the system.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	major, rest, _ := strings.Cut(strings.TrimSpace(string(text)), ".")
	minor, _, _ := strings.Cut(rest, ".")
	return "Linux " + major + "." + minor
}
