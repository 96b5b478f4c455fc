package apps

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cosfuse/test/internal/mounttest"
)

// must stops the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needs skips the test where a program is not installed.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// patience bounds one program.
const patience = 2 * time.Minute

// bench is a mount, a local directory, and what scripts are told of them.
type bench struct {
	*mounttest.Volume
	local string
	env   []string
}

func newBench(t *testing.T, o mounttest.Options) *bench {
	t.Helper()
	o.Log = true
	b := &bench{Volume: mounttest.New(t, o), local: t.TempDir()}
	b.env = append(os.Environ(), "MNT="+b.Dir, "LOCAL="+b.local, "LC_ALL=C", "TZ=UTC", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	return b
}

// shell runs a script in the mount, as sh -e does, and wants it to succeed. The shell changes into the mount:
// the test's process must not.
func (b *bench) shell(t testing.TB, script string) string {
	t.Helper()
	out, err := b.command(t, "sh", "-euc", `cd "$MNT"`+"\n"+script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v of:\n%s\nit said: %.4000s", err, script, out)
	}
	return string(out)
}

// command prepares a program that is killed, with its children, when it takes too long.
func (b *bench) command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = "/", b.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// until polls until ok, and stops the test if that never happens.
func until(t testing.TB, what func() string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it stays like this: %s", what())
		}
	}
}

// childEnv names the variable that makes the test's binary run one of childs in place of its tests.
const childEnv = "COSFUSE_TEST_CHILD"

// childs are what must not run in the process that serves the mount: they map its files. Each gets a path
// and tells what went wrong.
var childs = map[string]func(path string) error{
	"mmap-write": mapWrite,
	"mmap-read":  mapRead,
}

// child runs one of childs on the path after the flags, and returns the exit code.
func child(do string) int {
	run, path := childs[do], os.Args[len(os.Args)-1]
	if run == nil {
		return 2
	}
	if err := run(path); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n") // the exit code says it, too
		return 1
	}
	return 0
}

// child runs one of childs on a file of the mount in a process of its own.
func (b *bench) child(t testing.TB, do, name string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := b.command(t, self, b.Path(name))
	cmd.Env = append(cmd.Env, childEnv+"="+do)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", do, err, out)
	}
}

// kill ends a program and waits for it.
func kill(cmd *exec.Cmd) error {
	err := cmd.Process.Kill()
	var exit *exec.ExitError
	if werr := cmd.Wait(); !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	return err
}

// lines are the lines of a local file, none if there is no such file yet.
func (b *bench) lines(name string) []string {
	text, err := os.ReadFile(filepath.Join(b.local, name))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
