package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const mountLong = `Mount a bucket, or what is below a prefix of one, on an empty directory.

BUCKET is the full name, APPID included. The command returns once the mount answers; a process stays
behind and serves it until "cosfuse umount MNT", "umount MNT" or a signal ends it. Everything written
is then committed before that process ends.

Credentials are looked for in --credentials FILE, then COS_SECRET_ID, COS_SECRET_KEY and
COS_SESSION_TOKEN in the environment, then the file of --config. They are never taken from the command
line, which everyone on the machine can read. The file of --credentials has lines such as
  secret_id = AKIDxxxxxxxx
  secret_key = xxxxxxxx
and mode 0600.`

const mountExample = `  # No account: objects are kept in a local directory
  cosfuse mount --local ~/cos-data ~/mnt

  # A bucket
  export COS_SECRET_ID=AKIDxxxxxxxx COS_SECRET_KEY=xxxxxxxx
  cosfuse mount photos-1250000000 ~/mnt --region ap-guangzhou

  # A directory of a bucket, with the credentials in a file, read-only
  cosfuse mount photos-1250000000:/2024/summer ~/mnt --region ap-guangzhou \
      --credentials ~/.cos-credentials --read-only

  # A public bucket
  cosfuse mount open-data-1250000000 ~/mnt --region ap-beijing --anonymous

  # A server started with "cosfuse serve"
  cosfuse mount test-1250000000 ~/mnt --endpoint http://127.0.0.1:9000 --region ap-guangzhou \
      --credentials ~/cos-data/credentials

  # The same options in a file: region: ap-guangzhou, read-only: true, ...
  cosfuse mount photos-1250000000 ~/mnt --config ~/.cosfuse.yaml`

func (c *cli) mountCommand() *cobra.Command {
	o := &mountOptions{systemFile: c.systemFile}
	cmd := &cobra.Command{
		Use:                   "mount (BUCKET-APPID[:/PREFIX] | --local DIR) MNT [flags]",
		Short:                 "Mount a bucket on a directory",
		Long:                  mountLong,
		Example:               mountExample,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := o.applyWords(cmd.Flags()); err != nil {
				return err
			}
			if o.local != "" && !o.localSpec {
				return wantArgs(cmd, args, "the mountpoint")
			}
			return wantArgs(cmd, args, "the bucket", "the mountpoint")
		},
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
		defer stop()
		rep, daemon, err := c.daemonReporter()
		if err != nil {
			return err
		}
		if daemon {
			return c.mountDaemon(ctx, o, cmd, args, rep)
		}
		return c.mount(ctx, o, cmd, args)
	}
	return cmd
}

// mount starts a daemon and waits until it is ready, or with --foreground is one itself.
func (c *cli) mount(ctx context.Context, o *mountOptions, cmd *cobra.Command, args []string) error {
	if err := o.load(cmd.Flags(), args, c.getenv); err != nil {
		return err
	}
	if o.fake {
		return nil
	}
	user := terminal{w: c.stderr}
	if err := c.checkMachine(ctx, o, user.say); err != nil {
		return err
	}
	if o.foreground {
		user.mounted = fmt.Sprintf("%s is mounted on %s; Ctrl-C unmounts it", o.source(), o.mountpoint)
		return c.mountHere(ctx, o, cmd, user, false)
	}
	if o.logFile == "" {
		if err := makePrivate(o.cacheDir, 0o700); err != nil {
			return machineError("use --cache-dir DIR with a directory of your own", "cache directory: %w", err)
		}
		o.logFile = o.defaultLogFile()
	}
	if err := c.startDaemon(ctx, c.args, o.logFile); err != nil {
		return err
	}
	if _, err := os.Stat(o.mountpoint); err != nil {
		return machineError("its log tells more: "+o.logFile, "mounted, but it does not answer: %w", err)
	}
	return nil
}

// mountDaemon is the process that mount starts. It sees the same arguments, environment and working
// directory, and so the same options.
func (c *cli) mountDaemon(ctx context.Context, o *mountOptions, cmd *cobra.Command, args []string, rep reporter) error {
	if err := o.load(cmd.Flags(), args, c.getenv); err != nil {
		rep.failed(err)
		return err
	}
	if o.logFile == "" {
		o.logFile = o.defaultLogFile()
	}
	if err := os.Chdir("/"); err != nil { // not to keep the directory it was started in busy
		rep.failed(err)
		return err
	}
	// Started through /proc/self/exe it would be "exe" to ps and pgrep; that is all that failing costs.
	_ = os.WriteFile("/proc/self/comm", []byte("cosfuse"), 0)
	return c.mountHere(ctx, o, cmd, rep, true)
}

// mountHere serves the mount in this process.
func (c *cli) mountHere(ctx context.Context, o *mountOptions, cmd *cobra.Command, rep reporter, daemon bool) error {
	log, closeLog, err := newLogger(o, c.stderr, daemon)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version(), settings(cmd.Flags()))
	o.logNotes(log)
	o.limitMemory(c.getenv)
	syscall.Umask(0) // the kernel applied the caller's; ours must not take away more
	err = c.serveMount(ctx, o, log, rep)
	if closeErr := closeLog(); err == nil && closeErr != nil {
		return closeErr
	}
	return err
}
