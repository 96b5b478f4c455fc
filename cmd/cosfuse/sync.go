package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const syncLong = `Commit everything that was written at PATH, a mountpoint or a file or directory in a mount, and wait
until it is in the bucket. Without PATH it is all of the only mount you have.

What could not be committed is named, and the exit code is then 5.`

func (c *cli) syncCommand() *cobra.Command {
	cacheDir := ""
	cmd := &cobra.Command{
		Use:                   "sync [PATH] [flags]",
		Short:                 "Wait until everything is in the bucket",
		Long:                  syncLong,
		Example:               "  cosfuse sync ~/mnt\n\n  # one directory\n  cosfuse sync ~/mnt/results",
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return wantArgs(cmd, args, "the path")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			s, err := c.locate(append(args, "")[0], cacheDir)
			if err != nil {
				return err
			}
			return c.sync(ctx, s)
		},
	}
	addCacheDirFlag(cmd, &cacheDir)
	return cmd
}

func (c *cli) sync(ctx context.Context, s site) error {
	d, err := dialDaemon(s.cacheDir)
	if err != nil {
		return machineError("check --cache-dir", "cache directory: %w", err)
	}
	defer d.close()
	var result syncReply
	err = c.watch(ctx, d, s.path, "committing", func(ctx context.Context) (err error) {
		result, err = d.sync(ctx, s.path)
		return err
	})
	// Somebody unmounts it: that waits for everything, too.
	if rec, recErr := readRecord(s.cacheDir); recErr == nil && rec.State == stateDraining && rec.alive() {
		return c.awaitDrain(ctx, rec)
	}
	switch {
	case errors.Is(err, errNoDaemon):
		return c.syncDead(s)
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted; what is being committed goes on")
	case err != nil:
		return err
	case len(result.Left) > 0:
		return uncommitted(result)
	case result.Error != "":
		return &failure{code: exitUncommitted, err: errors.New("not everything could be committed: " + result.Error), mend: logHint(s.rec)}
	}
	return nil
}

// syncDead answers for a mount without a daemon: nobody can commit anything, but perhaps there is nothing.
func (c *cli) syncDead(s site) error {
	left, err := readLeft(s.cacheDir)
	if err != nil {
		return err
	}
	if left.Empty() {
		return nil
	}
	m := leftStatus(s.cacheDir, left, time.Now())
	return &failure{code: exitUncommitted, mend: "mount it again: that commits what was left",
		err: fmt.Errorf("nothing serves cache directory %s any more, and in it are: %s", s.cacheDir, m.summary())}
}

// maxNamed bounds the files that an error names.
const maxNamed = 20

// uncommitted is the error that names what is not in the bucket.
func uncommitted(r syncReply) error {
	var names []string
	kept := false
	for i, f := range r.Left {
		kept = kept || f.State.Kept()
		if i == maxNamed {
			names = append(names, fmt.Sprintf("and %d more", len(r.Left)-i))
			break
		}
		why := f.Error
		if f.State.Kept() || why == "" {
			why = strings.TrimSuffix(string(f.State)+": "+why, ": ")
		}
		names = append(names, printable(f.Path)+" ("+printable(why)+")")
	}
	if r.Error != "" {
		names = append(names, r.Error)
	}
	mend := "\"cosfuse status\" shows when it is tried again"
	if kept {
		mend = "\"cosfuse recover\" exports or drops what another writer was faster with"
	}
	return &failure{code: exitUncommitted, err: errors.New("not committed: " + strings.Join(names, ", ")), mend: mend}
}

// watch shows how much is left at path while work goes on.
func (c *cli) watch(ctx context.Context, d *daemonClient, path, what string, work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	var p progress // made when it has taken a moment: most often there is nothing to show
	poll := time.NewTicker(progressPoll)
	defer poll.Stop()
	for {
		select {
		case err := <-done:
			if p != nil {
				p.end()
			}
			return err
		case <-poll.C:
			if p == nil {
				p = newProgress(c.stderr, what)
			}
			if t, err := d.totals(ctx, path); err == nil { // else the work ends, with the better error
				p.show(t)
			}
		}
	}
}
