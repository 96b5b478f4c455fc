package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command: it parses args, does what they say and returns the exit code. Cancelling
// ctx is a request to stop, as SIGTERM is. It blocks until done: for a mount in the foreground and
// for serve, until they are told to end.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newCLI(stdin, stdout, stderr).run(ctx, args)
}

// cli is one invocation: what it can see of the machine, so that tests can show it another.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	getenv     func(string) string
	devFuse    string // path of the FUSE device
	mountinfo  string // path of the table of mounts
	runtimeDir func(uid int) []string
	open       opener   // mounts a bucket
	args       []string // of this invocation, for the daemon
}

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	c := &cli{
		stdin: stdin, stdout: stdout, stderr: stderr,
		getenv:    os.Getenv,
		devFuse:   "/dev/fuse",
		mountinfo: "/proc/self/mountinfo",
		open:      openVolume,
	}
	c.runtimeDir = func(uid int) []string { return runtimeDirs(uid, c.getenv) }
	return c
}

func (c *cli) run(ctx context.Context, args []string) int {
	c.args = args
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(c.stderr, "cosfuse: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitCode(err)
}

// Exit codes; doc.go and the root command's help tell them to users.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitMachine     = 3
	exitService     = 4
	exitUncommitted = 5
)

// failure is an error a user can act on: what is wrong, what mends it, and the exit code.
type failure struct {
	code int
	err  error  // what is wrong
	mend string // what to do; may be empty
}

// Error is one line: the problem, then the mend.
func (f *failure) Error() string {
	if f.mend == "" {
		return f.err.Error()
	}
	return f.err.Error() + "; " + f.mend
}

// Unwrap returns the problem.
func (f *failure) Unwrap() error { return f.err }

func usageError(mend, format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...), mend: mend}
}

func machineError(mend, format string, args ...any) error {
	return &failure{code: exitMachine, err: fmt.Errorf(format, args...), mend: mend}
}

func serviceError(mend, format string, args ...any) error {
	return &failure{code: exitService, err: fmt.Errorf(format, args...), mend: mend}
}

func exitCode(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exitOther
}
