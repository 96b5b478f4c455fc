package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"cosfuse/writeback"
)

const statusLong = `Show each file that is not in the bucket as it is in the mount, how many bytes are left to send, since
when, and the error of the last attempt. Nothing is asked of the service.

Without MNT and --cache-dir, all mounts of yours are shown. A mount whose daemon died is shown too: what
is left in its cache directory is committed by the next mount.

  waiting    to be committed when it is closed, or in a moment
  uploading  on its way
  failed     the last attempt failed; it is repeated
  conflict   somebody else replaced the object first: see "cosfuse recover"
  damaged    some of its staged bytes are missing: see "cosfuse recover"`

func (c *cli) statusCommand() *cobra.Command {
	cacheDir, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "status [MNT] [flags]",
		Short: "Show what is not in the bucket yet",
		Long:  statusLong,
		Example: "  cosfuse status ~/mnt\n\n" +
			"  # bytes left, for a script\n  cosfuse status ~/mnt --json | jq '.mounts[0].totals.bytes_left'",
		DisableFlagsInUseLine: true,
		Args:                  optionalMountpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			return c.status(ctx, append(args, "")[0], cacheDir, asJSON)
		},
	}
	addCacheDirFlag(cmd, &cacheDir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// addCacheDirFlag lets a command name a mount by its cache directory.
func addCacheDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "cache-dir", "", "the mount that has, or had, cache directory `DIR`")
}

func (c *cli) status(ctx context.Context, path, cacheDir string, asJSON bool) error {
	sites := c.sites()
	if path != "" || cacheDir != "" {
		s, err := c.locate(path, cacheDir)
		if err != nil {
			return err
		}
		sites = []site{s}
	}
	report := statusReport{Version: reportVersion, Mounts: make([]mountStatus, 0, len(sites))}
	for _, s := range sites {
		m, err := c.statusOf(ctx, s)
		if err != nil && len(sites) == 1 {
			return err
		}
		if err != nil { // one that cannot be seen does not hide the others
			m = mountStatus{Source: s.rec.Source, Mountpoint: s.rec.Mountpoint, CacheDir: s.cacheDir, PID: s.rec.PID,
				State: s.rec.State, Files: []fileStatus{}, Error: err.Error()}
		}
		report.Mounts = append(report.Mounts, m)
	}
	if asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	if len(sites) == 0 {
		_, err := fmt.Fprintln(c.stdout, "you have no mount, and none that died; --cache-dir DIR shows another's")
		return err
	}
	for i := range report.Mounts {
		if err := report.Mounts[i].print(c.stdout); err != nil {
			return err
		}
	}
	return nil
}

// statusOf asks the daemon, or reads what a dead one left.
func (c *cli) statusOf(ctx context.Context, s site) (mountStatus, error) {
	live, err := liveStatus(ctx, s)
	if !errors.Is(err, errNoDaemon) {
		return live, err
	}
	left, err := readLeft(s.cacheDir)
	if err != nil {
		return mountStatus{}, err
	}
	return leftStatus(s.cacheDir, left, time.Now()), nil
}

// liveStatus asks the daemon; the error is errNoDaemon if there is none.
func liveStatus(ctx context.Context, s site) (mountStatus, error) {
	d, err := dialDaemon(s.cacheDir)
	if err != nil {
		return mountStatus{}, machineError("check --cache-dir", "cache directory: %w", err)
	}
	defer d.close()
	answer, err := d.status(ctx, s.path)
	if err != nil {
		return mountStatus{}, err
	}
	rec := s.rec
	if now, err := readRecord(s.cacheDir); err == nil {
		rec = now
	}
	m := mountStatus{
		Source: rec.Source, Mountpoint: rec.Mountpoint, CacheDir: s.cacheDir, PID: rec.PID, State: rec.State,
		Files: answer.Files, Totals: answer.Totals,
	}
	if answer.Removals > 0 {
		m.Pending = &pending{Removals: answer.Removals}
	}
	return m, nil
}

// readLeft reads what a dead daemon left in a cache directory.
func readLeft(cacheDir string) (*writeback.Left, error) {
	leave, err := enterDead(cacheDir)
	if err != nil {
		return nil, err
	}
	defer leave()
	left, err := writeback.ReadLeft(cacheDir)
	if err != nil {
		return nil, explainJournal(err, cacheDir)
	}
	return left, nil
}

// enterDead is visit, with an error for the user.
func enterDead(cacheDir string) (leave func(), err error) {
	leave, err = visit(cacheDir)
	switch {
	case errors.Is(err, errLocked):
		return nil, machineError("try again in a moment; its log tells more",
			"cache directory %s: a daemon has it, and does not answer: it begins, or ends", cacheDir)
	case err != nil:
		return nil, machineError("do it as the user who mounted, or as root", "cache directory: %w", err)
	}
	return leave, nil
}
