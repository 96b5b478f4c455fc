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
	os.Exit(runAs(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// runAs is run for a program that may be called by another name, its first argument.
func runAs(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if os.Getenv("PATH") == "" { // as mount(8) may leave it; fusermount3 has to be found
		_ = os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	c := newCLI(stdin, stdout, stderr)
	call, err := calledAs(args)
	if err == nil {
		c.helper = call.helper
		return call.status(c.run(ctx, call.args))
	}
	return call.status(c.failed(err))
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
	systemFile string // path of the credentials that COSFS keeps for the whole machine
	mountinfo  string // path of the table of mounts
	runtimeDir func(uid int) []string
	open       opener   // mounts a bucket
	args       []string // of this invocation, for the daemon

	helper bool // mount(8) or umount(8) started us
}

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	c := &cli{
		stdin: stdin, stdout: stdout, stderr: stderr,
		getenv:     os.Getenv,
		devFuse:    "/dev/fuse",
		systemFile: "/etc/passwd-cosfs",
		mountinfo:  "/proc/self/mountinfo",
		open:       openVolume,
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
	if err := root.ExecuteContext(ctx); err != nil {
		return c.failed(err)
	}
	return exitOK
}

// failed tells of an error and returns its exit code.
func (c *cli) failed(err error) int {
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
