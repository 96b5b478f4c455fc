package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const warmupLong = `Bring the content of PATH, a file or a directory in a mount with all that is below it, into the cache on
disk, so that reading it later asks for no data. What is there already is not fetched again.

More than --disk-cache-size does not stay: "cosfuse cache" shows how much there is.`

const refreshLong = `Forget what is cached of names and attributes at PATH, a file or a directory in a mount with all that is
below it, so that what others have changed shows at once. Content need not be forgotten: it belongs to
versions.`

func (c *cli) warmupCommand() *cobra.Command {
	return c.pathCommand("warmup", "Bring files into the cache", warmupLong,
		"  cosfuse warmup ~/mnt/dataset", c.warmup)
}

func (c *cli) refreshCommand() *cobra.Command {
	return c.pathCommand("refresh", "Forget what is cached of names and attributes", refreshLong,
		"  cosfuse refresh ~/mnt/results", c.refresh)
}

// pathCommand is a command on a path in a mount, done by the daemon.
func (c *cli) pathCommand(name, short, long, example string, do func(context.Context, *daemonClient, string) error) *cobra.Command {
	return &cobra.Command{
		Use:                   name + " PATH",
		Short:                 short,
		Long:                  long,
		Example:               example,
		DisableFlagsInUseLine: true,
		Args:                  func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args, "the path") },
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			s, err := c.locate(args[0], "")
			if err != nil {
				return err
			}
			d, err := dialDaemon(s.cacheDir)
			if err != nil {
				return machineError("check the path", "cache directory: %w", err)
			}
			defer d.close()
			err = do(ctx, d, s.path)
			switch {
			case errors.Is(err, errNoDaemon):
				return machineError("mount it again", "nothing serves %s any more", s.rec.Mountpoint)
			case err != nil && ctx.Err() != nil:
				return errors.New("interrupted")
			}
			return err
		},
	}
}

func (c *cli) refresh(ctx context.Context, d *daemonClient, path string) error {
	return d.refresh(ctx, path)
}

func (c *cli) warmup(ctx context.Context, d *daemonClient, path string) error {
	p := newWarmProgress(c.stderr)
	last, err := d.warmup(ctx, path, p.show)
	p.end()
	if err != nil {
		return err
	}
	what := totals{Files: int(last.Files), BytesLeft: last.Bytes}
	if _, err := fmt.Fprintln(c.stdout, what); err != nil {
		return err
	}
	now, err := d.cache(ctx)
	if err == nil && now.Disk.Enabled && now.Disk.Bytes < last.Bytes/2 {
		terminal{w: c.stderr}.say("not all of it stayed: the cache on disk has " + byteCount(now.Disk.Bytes) +
			"; mount with a larger --disk-cache-size, or free space")
	}
	return nil
}

// warmProgress shows how far a warmup is: as a bar on a terminal, else in a line now and then.
type warmProgress struct {
	w         io.Writer
	told      time.Time // when the last line was written
	container *mpb.Progress
	bar       *mpb.Bar
}

func newWarmProgress(w io.Writer) *warmProgress {
	p := &warmProgress{w: w, told: time.Now().Add(progressSilence - progressEvery)}
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return p
	}
	p.container = mpb.New(mpb.WithOutput(f), mpb.WithAutoRefresh(), mpb.WithWidth(barWidth))
	p.bar = p.container.AddBar(0, // so that SetTotal may be called more than once
		mpb.PrependDecorators(decor.Name("fetching "), decor.Counters(decor.SizeB1024(0), "% .1f of % .1f ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return p
}

func (p *warmProgress) show(r warmReport) {
	if p.bar != nil {
		p.bar.SetTotal(max(r.Bytes, 1), false)
		p.bar.SetCurrent(r.BytesDone)
		return
	}
	if now := time.Now(); now.Sub(p.told) >= progressEvery {
		p.told = now
		terminal{w: p.w}.say(fmt.Sprintf("fetching: %d of %d files, %s of %s", r.FilesDone, r.Files, byteCount(r.BytesDone), byteCount(r.Bytes)))
	}
}

func (p *warmProgress) end() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(true)
	p.container.Wait()
}
