package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"

	"cosfuse/cache"
)

const cacheLong = `Show what a mount keeps of what was read, in memory and in its cache directory, and how often it was of
use. With --trim what was not used for longest goes until SIZE is left on disk; 0 leaves nothing.

The cache directory of a mount that has ended can be looked at and trimmed, too.`

// cacheCommandOptions are those of the command.
type cacheCommandOptions struct {
	cacheDir string
	trim     byteSize
	trims    bool // --trim was given
	asJSON   bool
}

func (c *cli) cacheCommand() *cobra.Command {
	o := &cacheCommandOptions{}
	cmd := &cobra.Command{
		Use:                   "cache [MNT] [flags]",
		Short:                 "Show and trim what is cached",
		Long:                  cacheLong,
		Example:               "  cosfuse cache ~/mnt\n\n  # give back disk space\n  cosfuse cache ~/mnt --trim 1GiB",
		DisableFlagsInUseLine: true,
		Args:                  optionalMountpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			s, err := c.locate(append(args, "")[0], o.cacheDir)
			if err != nil {
				return err
			}
			o.trims = cmd.Flags().Changed("trim")
			return c.cache(ctx, s, o)
		},
	}
	addCacheDirFlag(cmd, &o.cacheDir)
	cmd.Flags().Var(&o.trim, "trim", "leave so much on disk at most")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) cache(ctx context.Context, s site, o *cacheCommandOptions) error {
	report, err := liveCache(ctx, s, o)
	if errors.Is(err, errNoDaemon) {
		report, err = leftCache(ctx, s.cacheDir, o)
	}
	if err != nil {
		return err
	}
	if o.asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	m, d := report.Memory, report.Disk
	if _, err := fmt.Fprintf(c.stdout, "memory  %s; %d reads of a block found it, %d did not; %s fetched\n",
		byteCount(m.Bytes), m.Hits, m.Misses, byteCount(m.FetchedBytes)); err != nil {
		return err
	}
	if !d.Enabled {
		_, err := fmt.Fprintln(c.stdout, "disk    none: switched off, or failed, and then the log tells why")
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "disk    %s in %d blocks of %d objects; %d read from it, %d evicted, %d damaged and fetched again, %d not kept\n",
		byteCount(d.Bytes), d.Blocks, d.Objects, d.Hits, d.Evictions, d.Damaged, d.Skipped)
	return err
}

// liveCache asks the daemon; the error is errNoDaemon if there is none.
func liveCache(ctx context.Context, s site, o *cacheCommandOptions) (cacheReport, error) {
	d, err := dialDaemon(s.cacheDir)
	if err != nil {
		return cacheReport{}, machineError("check --cache-dir", "cache directory: %w", err)
	}
	defer d.close()
	if o.trims {
		return d.trim(ctx, int64(o.trim))
	}
	return d.cache(ctx)
}

// leftCache looks at what a daemon that is gone left, and trims it.
func leftCache(ctx context.Context, cacheDir string, o *cacheCommandOptions) (r cacheReport, err error) {
	leave, err := visit(cacheDir)
	if err != nil {
		return r, machineError("try again in a moment", "cache directory %s: %w", cacheDir, err)
	}
	defer leave()
	dir := filepath.Join(cacheDir, blocksName)
	if _, err := os.Stat(dir); errors.Is(err, iofs.ErrNotExist) {
		return r, nil
	}
	const unbounded = 1 << 50 // nothing is written, and nothing goes by itself
	b, err := cache.NewBlocks(ctx, cache.BlocksOptions{MemoryBytes: 16 << 20, Disk: &cache.DiskOptions{Dir: dir, MaxBytes: unbounded}})
	if err != nil {
		return r, explainKept(err, blocksName)
	}
	defer b.Close()
	if o.trims {
		b.TrimDisk(int64(o.trim))
	}
	r.Disk = reportDisk(b.DiskUsage())
	return r, nil
}
