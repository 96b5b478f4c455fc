package mountproc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/fs"
	"cosfuse/writeback"
)

// Main is what TestMain calls: it runs the tests, or serves the mount that Start asked for, and returns
// the exit code.
func Main(m *testing.M) int {
	text := os.Getenv(env)
	if text == "" {
		return m.Run()
	}
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := serve(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// daemon is the mount inside its process.
type daemon struct {
	c      Config
	ahead  atomic.Int64 // nanoseconds
	passed atomic.Int64 // passings of the failpoint
	client *cos.Client
	blocks *cache.Blocks
	store  *writeback.Store
	mount  *fs.Mount
}

// patience bounds how long the end of a mount waits for commits.
const patience = 60 * time.Second

func serve(c Config) error {
	syscall.Umask(0) // the kernel has applied the caller's
	d := &daemon{c: c}
	d.ahead.Store(int64(c.Ahead))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := json.NewEncoder(os.Stdout)
	err := d.start(ctx)
	if err != nil {
		return errors.Join(err, out.Encode(reply{Err: err.Error()}))
	}
	if err := out.Encode(reply{Recovered: d.store.Recovered()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var cmd command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			return err
		}
		var r reply
		if err := d.run(ctx, cmd); err != nil {
			r.Err = err.Error()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
		if cmd.Op == "unmount" && r.Err == "" {
			return nil
		}
	}
	return errors.Join(errors.New("the test went away"), d.mount.Detach())
}

func (d *daemon) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

// start mounts.
func (d *daemon) start(ctx context.Context) (err error) {
	c := d.c
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	d.client, err = cos.New(cos.Options{
		Endpoint: c.URL, Region: c.Region, Bucket: c.Bucket, Logger: log, Attempts: c.Attempts,
		BaseDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, StallTimeout: c.StallTimeout, HeaderTimeout: c.StallTimeout,
	})
	if err != nil {
		return err
	}
	if d.blocks, err = cache.NewBlocks(ctx, cache.BlocksOptions{MemoryBytes: 64 << 20, Resume: brokeOff}); err != nil {
		return err
	}
	changes := fs.NewChanges()
	o := writeback.Options{
		Client: d.client, Blocks: d.blocks, Dir: c.Cache, Logger: log, Now: d.now, Changed: changes.Add,
		Defaults: writeback.AttrDefaults{FileMode: 0o644, DirMode: 0o755}, Background: c.Background,
		MultipartThreshold: c.MultipartThreshold, AttrDelay: c.AttrDelay,
		SettleTime: c.SettleTime, UploadGrace: c.UploadGrace,
	}
	if c.Failpoint != "" || c.Record != "" {
		o.Failpoint = d.failpoint
	}
	if d.store, err = writeback.Open(ctx, o); err != nil {
		return err
	}
	d.mount, err = fs.New(ctx, c.Dir, fs.Options{
		Client: d.client, Store: d.store, Blocks: d.blocks, Changes: changes, Logger: log, Now: d.now,
		MetaTTL: c.MetaTTL, NegativeTTL: c.NegativeTTL,
		Defaults: writeback.AttrDefaults{FileMode: 0o644, DirMode: 0o755},
	})
	return err
}

// brokeOff is true of a download that ended early and may be continued where it did.
func brokeOff(err error) bool {
	return errors.Is(err, cos.ErrTransport) || errors.Is(err, cos.ErrStalled) || errors.Is(err, cos.ErrBadResponse)
}

// failpoint kills the process, without any chance to tidy up, if name is where it is to die.
func (d *daemon) failpoint(name string) {
	if d.c.Record != "" {
		record(d.c.Record, name)
	}
	if name != d.c.Failpoint || d.passed.Add(1) < int64(max(d.c.Pass, 1)) {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // cannot fail
	select {}
}

// record appends a line to a file, at once: the process may die any moment.
func record(path, line string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err) // ends the mount, and with it the test
	}
	_, err = f.WriteString(line + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		panic(err)
	}
}

// run carries out one command.
func (d *daemon) run(ctx context.Context, cmd command) error {
	switch cmd.Op {
	case "sync":
		return d.store.Sync(ctx, "")
	case "advance":
		d.ahead.Store(int64(cmd.Ahead))
		return nil
	case "unmount":
		return d.unmount()
	}
	return fmt.Errorf("no command is called %q", cmd.Op)
}

// unmount ends everything, in order.
func (d *daemon) unmount() error {
	if err := d.mount.Unmount(); err != nil {
		return err
	}
	d.mount.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := d.store.Close(ctx)
	d.blocks.Close()
	return errors.Join(err, d.client.Close())
}
