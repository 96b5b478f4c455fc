package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// drainPoll is how often umount looks whether the daemon has ended.
	drainPoll = 50 * time.Millisecond
	// maxUsers bounds the processes named when a mount is busy.
	maxUsers = 5
)

const umountLong = `Unmount MNT and return once everything that was written to it is in the bucket.

What could not be committed is named, and the exit code is then 5. A mount that was already taken away
by "umount" or "fusermount3 -u" is waited for in the same way.`

func (c *cli) umountCommand() *cobra.Command {
	var how umountHow
	cmd := &cobra.Command{
		Use:     "umount MNT",
		Aliases: []string{"unmount"},
		Short:   "Unmount and wait until everything is committed",
		Long:    umountLong,
		Example: "  cosfuse umount ~/mnt\n\n" +
			"  # in use by others: take it away from the tree now, wait until they are done\n" +
			"  cosfuse umount --lazy ~/mnt",
		Args: func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args, "the mountpoint") },
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			err := c.umount(ctx, args[0], how)
			if c.helper && (errors.Is(err, errDaemonDied) || errors.Is(err, errDaemonUnknown)) {
				// What umount(8) was to do is done; what the journal has is the next mount's.
				terminal{w: c.stderr}.say(err.Error())
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&how.lazy, "lazy", "l", false, "take the mount away even if it is in use ")
	cmd.Flags().BoolVar(&how.noWait, "no-wait", false, "return once it is unmounted; its process goes on to commit what is left")
	return cmd
}

// umountHow says how to unmount.
type umountHow struct{ lazy, noWait bool }

func (c *cli) umount(ctx context.Context, arg string, how umountHow) error {
	path, err := realPath(arg)
	if err != nil {
		return machineError("check the path", "mountpoint: %w", err)
	}
	entry, mounted, err := c.findMount(path)
	if err != nil {
		return err
	}
	rec, recErr := c.findRecord(path, entry)
	found := recErr == nil
	wasAlive := found && rec.alive()
	switch {
	case !mounted && !wasAlive:
		return machineError("\"findmnt -t fuse."+fsType+"\" lists what is mounted", "nothing is mounted on %s", path)
	case mounted && !entry.ours():
		return machineError("unmount it with: umount "+path, "%s is not a mount of cosfuse but %s (%s)", path, entry.source, entry.fstype)
	case mounted:
		if err := c.takeAway(ctx, path, how.lazy); err != nil {
			return err
		}
	}
	switch {
	case !wasAlive:
		return unseen(path, rec, found)
	case how.noWait:
		terminal{w: c.stderr}.say(fmt.Sprintf("process %d goes on committing what was written to %s", rec.PID, rec.Mountpoint))
		return nil
	}
	return c.awaitDrain(ctx, rec)
}

// Reasons why an unmounting cannot wait for the commits.
var (
	errDaemonUnknown = errors.New("the process that served it cannot be found")
	errDaemonDied    = errors.New("the process that served it died before")
)

// unseen is the error for a mount that was taken away while no daemon could be seen to live.
func unseen(path string, rec record, found bool) error {
	if !found {
		return machineError("\"pgrep -a cosfuse\" shows whether it is still committing; wait until it has ended",
			"%s is unmounted, but %w", path, errDaemonUnknown)
	}
	return died(rec)
}

// takeAway unmounts, explaining who is in the way.
func (c *cli) takeAway(ctx context.Context, path string, lazy bool) error {
	err := unmount(ctx, path, lazy)
	if err == nil {
		return nil
	}
	if _, mounted, findErr := c.findMount(path); findErr == nil && !mounted {
		return nil // by somebody else, just now
	}
	if users := mountUsers(path); len(users) > 0 {
		return machineError("leave it (cd elsewhere, close the files) and try again, see \"fuser -vm "+path+
			"\", or use --lazy", "%s is in use by %s: %w", path, strings.Join(users, ", "), err)
	}
	if errors.Is(err, os.ErrPermission) {
		return machineError("do it as the user who mounted it, or as root", "unmount %s: %w", path, err)
	}
	return machineError("\"fuser -vm "+path+"\" or \"lsof +f -- "+path+"\", as root, show who uses it; --lazy does not wait for them",
		"unmount %s: %w", path, err)
}

// awaitDrain waits for the daemon to end and tells how it did.
func (c *cli) awaitDrain(ctx context.Context, rec record) error {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	p := newWaiting(c.stderr, rec)
	defer p.close()
	for rec.alive() {
		select {
		case <-poll.C:
			p.look(ctx)
		case <-ctx.Done():
			return fmt.Errorf("interrupted; process %d goes on committing what was written to %s", rec.PID, rec.Mountpoint)
		}
	}
	p.close()
	last, err := readRecord(rec.cacheDir)
	switch {
	case err != nil || !last.same(rec):
		return nil // the next mount has the directory already; it waited for the end, too
	case last.State == stateEnded:
		return nil
	case last.State == stateFailed:
		return &failure{code: exitUncommitted, err: fmt.Errorf("%s is unmounted, but not everything could be committed: %s",
			rec.Mountpoint, strings.ReplaceAll(last.Error, "\n", "; ")), mend: logHint(last)}
	}
	return died(last)
}

// died is the error for a daemon that ended without having committed. It tells what is in the journal.
func died(rec record) error {
	f := &failure{code: exitUncommitted, mend: logHint(rec), err: fmt.Errorf(
		"%s is unmounted, but %w (process %d): what nobody had closed or synced is lost",
		rec.Mountpoint, errDaemonDied, rec.PID)}
	left, err := readLeft(rec.cacheDir)
	if err != nil || left.Empty() {
		return f
	}
	m := leftStatus(rec.cacheDir, left, time.Now())
	f.err = fmt.Errorf("%w; in its journal are: %s", f.err, m.summary())
	f.mend = "mount it again: that commits what is left"
	return f
}

func logHint(rec record) string {
	if rec.LogFile == "" {
		return ""
	}
	return "its log tells more: " + rec.LogFile
}

// mountUsers names processes with a file or directory of the mount open, as far as we may see.
func mountUsers(path string) []string {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	var users []string
	for _, cwd := range links {
		proc := filepath.Dir(cwd)
		held := []string{cwd, filepath.Join(proc, "root"), filepath.Join(proc, "exe")}
		if fds, err := filepath.Glob(filepath.Join(proc, "fd", "*")); err == nil {
			held = append(held, fds...)
		}
		if !slices.ContainsFunc(held, func(link string) bool { return leadsInto(link, path) }) {
			continue
		}
		if len(users) == maxUsers {
			return append(users, "others")
		}
		comm, _ := os.ReadFile(filepath.Join(proc, "comm")) // gone meanwhile: the number is enough
		users = append(users, fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(comm)), filepath.Base(proc)))
	}
	return users
}

// leadsInto reports whether link leads to dir or into it; it asks the kernel's names only, not dir.
func leadsInto(link, dir string) bool {
	target, err := os.Readlink(link)
	return err == nil && (target == dir || strings.HasPrefix(target, dir+"/"))
}
