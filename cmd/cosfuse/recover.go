package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cosfuse/writeback"
)

const recoverLong = `Look at what could not be committed and decide what becomes of it.

A file stays behind when somebody else replaced the object before it was committed (conflict), when
bytes in the cache directory are missing (damaged), when the service refuses it (failed), or when the
daemon died: then the next mount commits it, and nothing need be done here.

  list             what there is, with its numbers
  export INO FILE  write the local version to FILE; the object and the journal stay as they are
  retry INO        commit the local version over whatever is in the bucket now
  drop INO         forget the local version

A daemon that lives is asked; else the cache directory of the dead one is used, and the service is
reached as the last mount reached it: retry needs credentials, and so does export if some of the bytes
are only in the bucket.`

const recoverExample = `  cosfuse recover list --mount ~/mnt
  cosfuse recover export 12 report.mine.txt --mount ~/mnt
  cosfuse recover retry 12 --mount ~/mnt

  # everything a dead daemon left
  cosfuse recover export --all ~/saved --cache-dir ~/.cache/cosfuse/photos-1250000000`

// recovery is one invocation of recover.
type recovery struct {
	*cli
	mount, cacheDir, credentials string
	all                          string // directory of export --all
	partial, yes                 bool
}

func (c *cli) recoverCommand() *cobra.Command {
	r := &recovery{cli: c}
	cmd := &cobra.Command{
		Use:     "recover",
		Short:   "Export, retry or drop what could not be committed",
		Long:    recoverLong,
		Example: recoverExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	f := cmd.PersistentFlags()
	f.StringVar(&r.mount, "mount", "", "mountpoint `MNT`, also of a mount whose daemon died (default: the only one there is)")
	f.StringVar(&r.cacheDir, "cache-dir", "", "the mount that has, or had, cache directory `DIR`")
	f.StringVar(&r.credentials, "credentials", "", "without a daemon: `FILE` with secret_id and secret_key (default: the mount's)")
	cmd.AddCommand(r.listCommand(), r.exportCommand(), r.retryCommand(), r.dropCommand())
	return cmd
}

func (r *recovery) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what needs a decision, and all that a dead daemon left",
		Args: func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.with(cmd, func(_ context.Context, _ rescue, files []fileStatus) error {
				if len(files) == 0 {
					_, err := fmt.Fprintln(r.stdout, "there is nothing to recover")
					return err
				}
				return printFiles(r.stdout, files)
			})
		},
	}
}

func (r *recovery) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export (INO FILE | --all DIR)", Short: "Write the local version of a file to another place",
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if r.all != "" {
				return wantArgs(cmd, args)
			}
			return wantArgs(cmd, args, "the number of the file", "the file to write")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.with(cmd, func(ctx context.Context, on rescue, files []fileStatus) error {
				if r.all != "" {
					return r.exportAll(ctx, on, files)
				}
				f, err := pick(files, args[0])
				if err != nil {
					return err
				}
				return r.exportOne(ctx, on, f, args[1])
			})
		},
	}
	cmd.Flags().StringVar(&r.all, "all", "", "write all files below `DIR`, which is created")
	cmd.Flags().BoolVar(&r.partial, "partial", false, "write zeros for bytes that are nowhere any more, and say which")
	return cmd
}

func (r *recovery) retryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "retry INO", Short: "Commit the local version over whatever is in the bucket now",
		Args: func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args, "the number of the file") },
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.with(cmd, func(ctx context.Context, on rescue, files []fileStatus) error {
				f, err := pick(files, args[0])
				if err != nil {
					return err
				}
				was, err := on.retry(ctx, f.Ino)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(r.stdout, "%s is committed and replaced %v\n", printable(f.Path), was)
				return err
			})
		},
	}
}

func (r *recovery) dropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drop INO", Short: "Forget the local version of a file, after asking",
		Args: func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args, "the number of the file") },
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.with(cmd, func(ctx context.Context, on rescue, files []fileStatus) error {
				f, err := pick(files, args[0])
				if err != nil {
					return err
				}
				if err := r.confirm(f); err != nil {
					return err
				}
				return on.drop(ctx, f.Ino)
			})
		},
	}
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	return cmd
}

// with opens the mount, or what is left of it, and hands out what there is to decide upon.
func (r *recovery) with(cmd *cobra.Command, do func(context.Context, rescue, []fileStatus) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
	defer stop()
	s, err := r.locate(r.mount, r.cacheDir)
	if err != nil {
		return err
	}
	on, live, err := r.openRescue(ctx, s, r.credentials)
	if err != nil {
		return err
	}
	defer on.close()
	files, err := on.list(ctx)
	if err != nil {
		return err
	}
	if live { // what only waits is the daemon's
		var stuck []fileStatus
		for _, f := range files {
			if f.State == writeback.StateFailed || f.State.Kept() || f.Error != "" {
				stuck = append(stuck, f)
			}
		}
		files = stuck
	}
	return do(ctx, on, files)
}

// pick finds a file by its number.
func pick(files []fileStatus, text string) (fileStatus, error) {
	ino, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fileStatus{}, usageError("\"cosfuse recover list\" shows the numbers", "%q is not the number of a file", text)
	}
	for _, f := range files {
		if f.Ino == ino {
			return f, nil
		}
	}
	return fileStatus{}, usageError("\"cosfuse recover list\" shows the numbers", "there is nothing to recover with number %d", ino)
}

// confirm asks before bytes are lost.
func (r *recovery) confirm(f fileStatus) error {
	if r.yes {
		return nil
	}
	lost := "Its bytes are then lost"
	if f.Behind != "" && f.BytesLeft == 0 {
		lost = "It is then called " + printable(f.Behind) + " again"
	}
	fmt.Fprintf(r.stderr, "Forget the local version of %s (%s, %s)? %s. [y/N] ", printable(f.Path), f.State, byteCount(f.Size), lost)
	answer, err := bufio.NewReader(r.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &failure{code: exitOther, err: errors.New("nothing was dropped"), mend: "answer y, or use --yes"}
}

// String names a version for people.
func (r replaced) String() string {
	if r.ETag == "" {
		return "nothing"
	}
	text := fmt.Sprintf("version %s, %s", r.ETag, byteCount(r.Size))
	if !r.LastModified.IsZero() {
		text += ", of " + r.LastModified.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	return text
}

// exportOne writes a file to a name that nothing has yet, or to standard output if it is "-".
func (r *recovery) exportOne(ctx context.Context, on rescue, f fileStatus, to string) error {
	if to == "-" {
		gaps, err := on.export(ctx, f.Ino, r.stdout, r.partial)
		r.tellGaps(f, gaps)
		return r.explainExport(err)
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, iofs.ErrExist) {
		return usageError("give another name, or remove it", "%s exists", to)
	}
	if err != nil {
		return machineError("check the path", "%w", err)
	}
	if err := r.exportTo(ctx, on, f, out); err != nil {
		return errors.Join(r.explainExport(err), os.Remove(to))
	}
	return nil
}

// exportTo writes a file, and closes it.
func (r *recovery) exportTo(ctx context.Context, on rescue, f fileStatus, out *os.File) error {
	gaps, err := on.export(ctx, f.Ino, out, r.partial)
	if err = errors.Join(err, out.Close()); err == nil {
		r.tellGaps(f, gaps)
	}
	return err
}

// explainExport adds what may be done about bytes that are missing.
func (r *recovery) explainExport(err error) error {
	if err == nil || r.partial || exitCode(err) != exitUncommitted {
		return err
	}
	return &failure{code: exitUncommitted, err: err, mend: "--partial writes what there is"}
}

// tellGaps says which bytes of an export are zeros because nobody has them.
func (r *recovery) tellGaps(f fileStatus, gaps []gap) {
	for _, g := range gaps {
		terminal{w: r.stderr}.say(fmt.Sprintf("%s: bytes %d to %d are missing and written as zeros", printable(f.Path), g.Off, g.End-1))
	}
}

// exportAll writes every file below a directory, at its path; what fails does not stop the others.
func (r *recovery) exportAll(ctx context.Context, on rescue, files []fileStatus) error {
	if err := os.MkdirAll(r.all, 0o777); err != nil {
		return machineError("check the path", "%w", err)
	}
	root, err := os.OpenRoot(r.all) // a key is not to lead out of it
	if err != nil {
		return machineError("check the path", "%w", err)
	}
	defer root.Close()
	var failed []string
	for _, f := range files {
		name, err := r.exportBelow(ctx, root, on, f)
		if err != nil {
			failed = append(failed, fmt.Sprintf("%s (%v)", printable(f.Path), err))
			continue
		}
		fmt.Fprintf(r.stdout, "%s\n", printable(path.Join(r.all, name)))
	}
	if len(failed) > 0 {
		return r.explainExport(&failure{code: exitUncommitted, err: errors.New("not exported: " + strings.Join(failed, ", "))})
	}
	return nil
}

// exportBelow writes one file at its path below root, with its number behind the name if that is taken.
func (r *recovery) exportBelow(ctx context.Context, root *os.Root, on rescue, f fileStatus) (name string, err error) {
	if strings.HasSuffix(f.Path, "/") {
		return f.Path, root.MkdirAll(strings.TrimSuffix(f.Path, "/"), 0o777)
	}
	if dir := path.Dir(f.Path); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return "", err
		}
	}
	name = f.Path
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, iofs.ErrExist) {
		name = fmt.Sprintf("%s.%d", f.Path, f.Ino)
		out, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return "", err
	}
	if err := r.exportTo(ctx, on, f, out); err != nil {
		return "", errors.Join(err, root.Remove(name))
	}
	return name, nil
}
