package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// rescue is what recover works on: a daemon, or the cache directory of a dead one.
type rescue interface {
	list(ctx context.Context) ([]fileStatus, error)
	export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]gap, error)
	retry(ctx context.Context, ino uint64) (replaced, error)
	drop(ctx context.Context, ino uint64) error
	close()
}

var (
	_ rescue = (*daemonClient)(nil)
	_ rescue = (*offline)(nil)
)

// openRescue finds out which it is. Without a daemon, the service is reached as the last mount did, with
// credentials from the given file if there is one.
func (c *cli) openRescue(ctx context.Context, s site, credentials string) (rescue, bool, error) {
	d, err := dialDaemon(s.cacheDir)
	if err != nil {
		return nil, false, machineError("check --cache-dir", "cache directory: %w", err)
	}
	if _, err = d.totals(ctx, ""); err == nil {
		return d, true, nil
	}
	d.close()
	if !errors.Is(err, errNoDaemon) {
		return nil, false, err
	}
	off, err := c.openOffline(ctx, s.cacheDir, credentials)
	return off, false, err
}

// offline is the write state of a dead daemon, and what it takes to reach the service.
type offline struct {
	files     *writeback.Offline // nil if there never was a journal
	prefix    string
	noService error // why the service cannot be asked; nil if it can
	undo      []func()
}

// openOffline keeps daemons out of the cache directory until the result is closed.
func (c *cli) openOffline(ctx context.Context, cacheDir, credentials string) (_ *offline, err error) {
	if !ownedBy(cacheDir, os.Getuid()) { // root would leave files that its owner's next mount cannot open
		return nil, machineError("do it as its owner", "cache directory %s belongs to another user", cacheDir)
	}
	leave, err := enterDead(cacheDir)
	if err != nil {
		return nil, err
	}
	o := &offline{undo: []func(){leave}}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	opt := writeback.Options{Dir: cacheDir, Logger: slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if o.noService = o.connect(ctx, c, &opt, credentials); o.noService != nil {
		opt.Client, opt.Blocks = nil, nil
	}
	o.files, err = writeback.OpenOffline(ctx, opt)
	if errors.Is(err, iofs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, explainJournal(err, cacheDir)
	}
	o.prefix = o.files.Prefix()
	return o, nil
}

// offlineMemory is for blocks of the versions that files are based on.
const offlineMemory = 32 << 20

// connect fills in what reaches the service, as the last mount did.
func (o *offline) connect(ctx context.Context, c *cli, opt *writeback.Options, credentials string) error {
	m, err := c.optionsOf(opt.Dir, credentials)
	if err != nil {
		return err
	}
	client, err := m.clientOptions(ctx, opt.Logger)
	if err != nil {
		return err
	}
	if m.local != "" {
		server, err := startLocal(m.local, opt.Logger)
		if err != nil {
			return err
		}
		o.undo = append(o.undo, func() { _ = server.close(ctx) }) // what was asked for is answered
		client.Endpoint, client.Credentials = server.listener.URL, server.credentials
	}
	so := m.storeOptions()
	so.Dir, so.Logger = opt.Dir, opt.Logger
	*opt = so
	if opt.Client, err = cos.New(client); err != nil {
		return err
	}
	o.undo = append(o.undo, func() { opt.Client.Close() })
	if opt.Blocks, err = cache.NewBlocks(ctx, cache.BlocksOptions{MemoryBytes: offlineMemory, Resume: brokeOff}); err != nil {
		return err
	}
	o.undo = append(o.undo, opt.Blocks.Close)
	return nil
}

// optionsOf are those of the last mount, as far as they tell how to reach the service.
func (c *cli) optionsOf(cacheDir, credentials string) (*mountOptions, error) {
	a, err := readOrigin(cacheDir)
	if err != nil {
		return nil, machineError("mount the bucket with this cache directory instead", "what %s is of: %w", cacheDir, err)
	}
	if env := environmentSecret(c.getenv); credentials == "" && env.id == "" && env.key == "" {
		credentials = a.CredentialsFile
	}
	set := map[string]string{
		"region": a.Region, "endpoint": a.Endpoint, "local": a.Local, "config": a.ConfigFile, "credentials": credentials,
		"cache-dir": cacheDir,
	}
	if a.Local != "" {
		set["region"], set["credentials"] = "", ""
	}
	if credentials == "" {
		set["role"], set["role-endpoint"] = a.Role, a.RoleEndpoint
	}
	if a.Anonymous && credentials == "" {
		set["anonymous"] = "true"
	}
	o := &mountOptions{}
	f := pflag.NewFlagSet("recover", pflag.ContinueOnError)
	o.addFlags(f)
	for name, v := range set {
		if v == "" {
			continue
		}
		if err := f.Set(name, v); err != nil {
			return nil, fmt.Errorf("%s %q: %w", name, v, err)
		}
	}
	args := []string{cacheDir} // in the place of a mountpoint
	if a.Local == "" {
		args = []string{a.Bucket + ":/" + a.Prefix, cacheDir}
	}
	return o, o.load(f, args, c.getenv)
}

func (o *offline) close() {
	if o.files != nil {
		o.undo = append(o.undo, func() { _ = o.files.Close() }) // what was asked for is synced
	}
	for i := len(o.undo) - 1; i >= 0; i-- {
		o.undo[i]()
	}
}

func (o *offline) list(context.Context) ([]fileStatus, error) {
	if o.files == nil {
		return nil, nil
	}
	return reportFiles(o.files.Status(), o.prefix, time.Now()), nil
}

func (o *offline) export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]gap, error) {
	if o.files == nil {
		return nil, o.explain(writeback.ErrNoSuchFile)
	}
	gaps, err := o.files.Export(ctx, ino, w, partial)
	return reportGaps(gaps), o.explain(err)
}

func (o *offline) retry(ctx context.Context, ino uint64) (replaced, error) {
	if o.files == nil {
		return replaced{}, o.explain(writeback.ErrNoSuchFile)
	}
	was, err := o.files.Retry(ctx, ino)
	return replacedBy(was), o.explain(err)
}

func (o *offline) drop(_ context.Context, ino uint64) error {
	if o.files == nil {
		return o.explain(writeback.ErrNoSuchFile)
	}
	return o.explain(o.files.Drop(ino))
}

// explain gives an error its exit code, and says why the service could not be asked.
func (o *offline) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, writeback.ErrNoService) && o.noService != nil:
		return fmt.Errorf("%w: %w", err, o.noService)
	}
	return &failure{code: rescueCode(err), err: err}
}
