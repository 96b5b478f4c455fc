package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootLong = `cosfuse mounts a Tencent COS bucket as an ordinary directory.

To try it without an account, keep the objects in a local directory:
  cosfuse mount --local ~/cos-data ~/mnt

Exit codes:
  0  done
  1  interrupted, or an error that fits none of the others
  2  usage: a flag, an argument, the config file or the credentials
  3  this machine: mountpoint, /dev/fuse, fusermount3, cache directory
  4  the service: bucket, credentials, permissions, endpoint, network
  5  something that was written could not be committed`

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "cosfuse",
		Short:         "Mount a Tencent COS bucket as a directory",
		Long:          rootLong,
		SilenceErrors: true, // run prints them, in one form
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.mountCommand(), c.umountCommand(), c.statusCommand(), c.syncCommand(), c.recoverCommand(),
		c.cacheCommand(), c.warmupCommand(), c.refreshCommand(), c.serveCommand(), c.installCommand(), c.versionCommand())
	return root
}

func unknownCommand(root *cobra.Command, name string) error {
	var names []string
	for _, sub := range root.Commands() {
		names = append(names, sub.Name())
	}
	if s, ok := nearest(name, names); ok {
		return usageError(fmt.Sprintf("did you mean %q?", "cosfuse "+s), "unknown command %q", name)
	}
	return usageError("cosfuse --help lists the commands", "unknown command %q", name)
}

// secretWords occur in the names of flags by which other tools take secrets.
var secretWords = []string{"secret", "token", "password", "passwd", "access-key", "accesskey"}

// secretWord reports whether name is what other tools take secrets by.
func secretWord(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

func secretOnCommandLine(name string) error {
	return usageError("put it into a file with mode 0600 and use --credentials FILE, or set "+
		"COS_SECRET_ID, COS_SECRET_KEY and COS_SESSION_TOKEN in the environment",
		"%s is not accepted, because everyone on this machine can read a command line", name)
}

// flagError turns what pflag says about a flag into a message with a mend. It never repeats a flag's
// value if that may be a secret.
func flagError(cmd *cobra.Command, err error) error {
	help := fmt.Sprintf("%q lists the flags", cmd.CommandPath()+" --help")
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError(help, "%w", err)
	}
	name, dashes := unknown.GetSpecifiedName(), "--"
	if group := unknown.GetSpecifiedShortnames(); group != "" {
		name, dashes = group, "-" // a long name typed with one dash, most often
	}
	name, _, _ = strings.Cut(name, "=")
	if secretWord(name) {
		return secretOnCommandLine(dashes + name)
	}
	spelled := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if s, ok := nearest(spelled, names); ok {
		return usageError(fmt.Sprintf("did you mean --%s?", s), "unknown flag %s%s", dashes, name)
	}
	return usageError(help, "unknown flag %s%s", dashes, name)
}

// wantArgs refuses another number of arguments than len(names).
func wantArgs(cmd *cobra.Command, args []string, names ...string) error {
	mend := fmt.Sprintf("usage: %s; see %q", cmd.UseLine(), cmd.CommandPath()+" --help")
	switch {
	case len(args) < len(names):
		return usageError(mend, "%s is missing", names[len(args)])
	case len(args) > len(names):
		return usageError(mend, "%q is one argument too many", args[len(names)])
	}
	return nil
}

// optionalMountpoint lets a command do without its one argument.
func optionalMountpoint(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wantArgs(cmd, args, "the mountpoint")
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.stdout, version())
			return err
		},
	}
}

// version is a line made of what the linker recorded: the module version, the commit if it was built
// in a checkout, and the toolchain.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "cosfuse, built without build information"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	line := "cosfuse " + v
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if rev := set["vcs.revision"]; rev != "" {
		line += " commit " + rev[:min(len(rev), 12)]
		if set["vcs.modified"] == "true" {
			line += " with changes"
		}
	}
	return fmt.Sprintf("%s %s %s/%s", line, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
