package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// machine is a home directory in which the command is run as processes of its own.
type machine struct {
	dir string
	mnt string
	env []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	skipWithoutFuse(t, newCLI(nil, nil, nil))
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: dir, mnt: filepath.Join(dir, "mnt")}
	m.env = append(os.Environ(), commandEnv+"=1", "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"GORACE=atexit_sleep_ms=0") // a race is printed at once; waiting a second at each exit adds up
	if err := os.Mkdir(m.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.cleanUp(t) })
	return m
}

// cleanUp leaves neither a mount nor a daemon behind, whatever the test did.
func (m *machine) cleanUp(t *testing.T) {
	c := newCLI(nil, nil, nil)
	for range 3 { // mounts can lie upon each other
		if _, mounted, err := c.findMount(m.mnt); err != nil || !mounted {
			break
		}
		t.Log("the test left a mount behind")
		if err := unmount(context.Background(), m.mnt, true); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(m.dir, "cache/cosfuse/*"))
	if err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		if rec, err := readRecord(dir); err == nil && rec.PID != os.Getpid() && rec.alive() {
			t.Errorf("the test left process %d behind", rec.PID)
		}
		if log, err := os.ReadFile(filepath.Join(dir, "cosfuse.log")); err == nil && t.Failed() {
			t.Logf("%s:\n%s", dir, log)
		}
	}
}

// command prepares a process of the command.
func (m *machine) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env, cmd.Dir = m.env, m.dir
	return cmd
}

// run runs the command, wants an exit code and returns what it printed.
func (m *machine) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, err := m.command(t, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	got := 0
	if exit != nil {
		got = exit.ExitCode()
	}
	if got != code {
		t.Fatalf("cosfuse %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// record is that of the only daemon.
func (m *machine) record(t *testing.T) record {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(m.dir, "cache/cosfuse/*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("cache directories %v, error %v, want one", dirs, err)
	}
	rec, err := readRecord(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
	}
}

// TestMountLocal walks the newcomer's way: mount a directory, write, unmount, find it again.
func TestMountLocal(t *testing.T) {
	m := newMachine(t)
	for _, text := range []string{"", "first", "second"} { // relative paths, as a user types them
		if out := m.run(t, exitOK, "mount", "--local", "data", "mnt"); out != "" {
			t.Errorf("mount said %q", out)
		}
		path := filepath.Join(m.mnt, "a.txt")
		if text != "" && text != "first" {
			wantFile(t, path, "first")
		}
		if text != "" {
			writeFile(t, path, text)
		}
		rec := m.record(t)
		if !rec.alive() || rec.State != stateMounted || rec.Mountpoint != m.mnt {
			t.Errorf("while mounted: %+v", rec)
		}
		if out := m.run(t, exitOK, "umount", "mnt"); out != "" {
			t.Errorf("umount said %q", out)
		}
		if rec.alive() {
			t.Error("umount returned before the daemon had ended")
		}
		if entries, err := os.ReadDir(m.mnt); err != nil || len(entries) != 0 {
			t.Errorf("after umount: %v, %v", entries, err)
		}
	}
}

// TestMountTwice checks both ways to do it by mistake.
func TestMountTwice(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	out := m.run(t, exitMachine, "mount", "--local", "other", "mnt")
	if !strings.Contains(out, "already mounted") || !strings.Contains(out, "cosfuse umount "+m.mnt) {
		t.Errorf("on the same mountpoint: %s", out)
	}
	if err := os.Mkdir(filepath.Join(m.dir, "mnt2"), 0o755); err != nil {
		t.Fatal(err)
	}
	out = m.run(t, exitMachine, "mount", "--local", "data", "mnt2")
	if !strings.Contains(out, "in use") || !strings.Contains(out, "--cache-dir") || strings.Count(out, "\n") != 1 {
		t.Errorf("of the same directory: %s", out)
	}
	out = m.run(t, exitMachine, "mount", "--local", "data", "mnt2", "--cache-dir", "cache2")
	if !strings.Contains(out, "cosfuse serve") {
		t.Errorf("of the same directory with another cache: %s", out)
	}
	m.run(t, exitOK, "umount", "mnt")
}

// TestUmountBusy checks that a mount in use stays, that its user is named, and that --lazy waits for it.
func TestUmountBusy(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	user := startUser(t, filepath.Join(m.mnt, "open.txt"))
	out := m.run(t, exitMachine, "umount", "mnt")
	if !strings.Contains(out, fmt.Sprintf("process %d", user.cmd.Process.Pid)) || !strings.Contains(out, "fuser -vm") {
		t.Errorf("umount said %q", out)
	}
	lazy := m.command(t, "umount", "--lazy", "mnt")
	if err := lazy.Start(); err != nil {
		t.Fatal(err)
	}
	user.say(t, "last words")
	user.leave(t)
	if err := lazy.Wait(); err != nil {
		t.Errorf("umount --lazy: %v", err)
	}
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	wantFile(t, filepath.Join(m.mnt, "open.txt"), "open\nlast words\n")
	m.run(t, exitOK, "umount", "mnt")
}

// user is a process that has a file of a mount open and writes to it what it is told.
type user struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines io.Reader
}

func startUser(t *testing.T, path string) *user {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c",
		`exec 3>"$0"; echo open >&3; echo ready; while read -r line; do echo "$line" >&3; echo done; done`, path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := &user{cmd: cmd, stdin: stdin, lines: lines}
	u.hear(t, "ready")
	return u
}

// hear waits for an answer of the process.
func (u *user) hear(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if _, err := io.ReadFull(u.lines, got); err != nil || string(got) != want+"\n" {
		t.Fatalf("the process with the open file said %q, %v, want %q", got, err, want)
	}
}

func (u *user) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(u.stdin, line+"\n"); err != nil {
		t.Fatal(err)
	}
	u.hear(t, "done")
}

func (u *user) leave(t *testing.T) {
	t.Helper()
	if err := u.stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := u.cmd.Wait(); err != nil {
		t.Errorf("the process with the open file: %v", err)
	}
}

// remote is a server that the test can look into, and a machine that mounts from it.
type remote struct {
	*machine
	srv    *cosserver.Server
	client *cos.Client
	args   []string
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	m := newMachine(t)
	srv, url, s := startServer(t, nil)
	m.env = append(m.env, "COS_SECRET_ID="+s.id, "COS_SECRET_KEY="+s.key, "COS_REGION="+cosserver.DefaultRegion)
	client, err := cos.New(cos.Options{
		Endpoint: url, Region: cosserver.DefaultRegion, Bucket: testBucket, Credentials: cos.Static{Value: s.credentials()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &remote{machine: m, srv: srv, client: client, args: []string{"mount", testBucket, "mnt", "--endpoint", url}}
}

// object reads one from the server, behind the mount's back.
func (r *remote) object(t *testing.T, key string) string {
	t.Helper()
	res, err := r.client.Get(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUmountCommits checks that umount, and a mount after a plain unmounting, wait for what is on its
// way: attributes are sent a moment after they changed.
func TestUmountCommits(t *testing.T) {
	for _, tool := range []string{"cosfuse umount", "umount"} {
		t.Run(tool, func(t *testing.T) {
			r := newRemote(t)
			r.run(t, exitOK, r.args...)
			path := filepath.Join(r.mnt, "a.txt")
			writeFile(t, path, "text")
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			r.srv.SetShape(cosserver.Shape{Latency: 300 * time.Millisecond})
			if tool == "umount" {
				if err := unmount(t.Context(), r.mnt, false); err != nil {
					t.Fatal(err)
				}
				r.run(t, exitOK, r.args...) // waits for the first daemon to end
			}
			rec := r.record(t)
			r.run(t, exitOK, "umount", "mnt")
			r.srv.SetShape(cosserver.Shape{})
			if rec.alive() {
				t.Error("the daemon still lives")
			}
			info, err := r.client.Head(t.Context(), "a.txt", nil)
			if err != nil || info.Headers.Meta["mode"] != fmt.Sprint(0o100600) {
				t.Errorf("mode in the bucket: %q, %v, want %d", info.Headers.Meta["mode"], err, 0o100600)
			}
		})
	}
}

// TestSignalDrains checks that SIGTERM commits, also what a file that is still open has got so far.
func TestSignalDrains(t *testing.T) {
	r := newRemote(t)
	r.run(t, exitOK, r.args...)
	rec := r.record(t)
	user := startUser(t, filepath.Join(r.mnt, "open.txt"))
	writeFile(t, filepath.Join(r.mnt, "closed.txt"), "closed")
	if err := syscall.Kill(rec.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the mount to be detached", func() bool {
		_, mounted, err := newCLI(nil, nil, nil).findMount(r.mnt)
		return err == nil && !mounted
	})
	if got := r.object(t, "open.txt"); got != "open\n" {
		t.Errorf("the open file in the bucket: %q", got)
	}
	if !rec.alive() {
		t.Error("the daemon ended while a file was open")
	}
	user.say(t, "more")
	user.leave(t)
	waitFor(t, "the daemon to end", func() bool { return !rec.alive() })
	if got, want := r.object(t, "open.txt")+r.object(t, "closed.txt"), "open\nmore\nclosed"; got != want {
		t.Errorf("in the bucket: %q, want %q", got, want)
	}
	if last := r.record(t); last.State != stateEnded {
		t.Errorf("record: %+v", last)
	}
}

// waitFor polls for what another process does.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// TestUncommitted checks that umount names what the service refused.
func TestUncommitted(t *testing.T) {
	r := newRemote(t)
	r.run(t, exitOK, r.args...)
	path := filepath.Join(r.mnt, "a.txt")
	writeFile(t, path, "text")
	r.srv.SetRules([]cosserver.Rule{{Key: "a.txt", Action: cosserver.Fail, Status: 403, Code: "AccessDenied"}})
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	out := r.run(t, exitUncommitted, "umount", "mnt")
	if !strings.Contains(out, "a.txt") || !strings.Contains(out, "access denied") || !strings.Contains(out, "cosfuse.log") {
		t.Errorf("umount said %q", out)
	}
}

// TestDeadDaemon checks what is said of a daemon that was killed, and that its mountpoint can be used
// again.
func TestDeadDaemon(t *testing.T) {
	kill := func(t *testing.T, m *machine) {
		m.run(t, exitOK, "mount", "--local", "data", "mnt")
		rec := m.record(t)
		if err := syscall.Kill(rec.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the daemon to die", func() bool { return !rec.alive() })
		if _, err := os.ReadDir(m.mnt); !errors.Is(err, syscall.ENOTCONN) {
			t.Fatalf("list the dead mount: %v, want ENOTCONN", err)
		}
	}
	t.Run("mount", func(t *testing.T) {
		m := newMachine(t)
		kill(t, m)
		if out := m.run(t, exitOK, "mount", "--local", "data", "mnt"); !strings.Contains(out, "dead mount was taken away (umount -l)") {
			t.Errorf("mount said %q", out)
		}
		m.run(t, exitOK, "umount", "mnt")
	})
	t.Run("umount", func(t *testing.T) {
		m := newMachine(t)
		kill(t, m)
		if out := m.run(t, exitUncommitted, "umount", "mnt"); !strings.Contains(out, "died") {
			t.Errorf("umount said %q", out)
		}
		if _, err := os.ReadDir(m.mnt); err != nil {
			t.Errorf("the mountpoint after umount: %v", err)
		}
	})
}

// TestRecordLost checks that umount finds the daemon without the runtime link where the kernel tells
// who serves a mount, and otherwise says that it did not.
func TestRecordLost(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	rec := m.record(t)
	for _, dir := range runtimeDirs(os.Getuid(), os.Getenv) {
		if err := os.Remove(filepath.Join(dir, linkName(m.mnt))); err == nil {
			break
		}
	}
	entry, _, err := newCLI(nil, nil, nil).findMount(m.mnt)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cacheDirOfConnection(entry.device); ok {
		m.run(t, exitOK, "umount", "mnt")
		if rec.alive() {
			t.Error("umount returned before the daemon had ended")
		}
		return
	}
	if out := m.run(t, exitMachine, "umount", "mnt"); !strings.Contains(out, "cannot be found") {
		t.Errorf("umount said %q", out)
	}
	waitFor(t, "the daemon to end", func() bool { return !rec.alive() })
}

// TestForeground checks that a mount in the foreground ends with Ctrl-C and then exits with 0.
func TestForeground(t *testing.T) {
	m := newMachine(t)
	cmd := m.command(t, "mount", "--foreground", "--local", "data", "mnt")
	said := newSignalWriter("Ctrl-C")
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-said.seen:
	case err := <-ended:
		t.Fatalf("ended: %v\n%s", err, said.text())
	}
	writeFile(t, filepath.Join(m.mnt, "a.txt"), "text")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("exit: %v\n%s", err, said.text())
	}
	if !strings.Contains(said.text(), "settings.threads=8") {
		t.Errorf("effective settings are not logged:\n%s", said.text())
	}
}

// TestDaemonIsDetached checks what a daemon must not keep of the process that started it.
func TestDaemonIsDetached(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	proc := fmt.Sprintf("/proc/%d", m.record(t).PID)
	if cwd, err := os.Readlink(proc + "/cwd"); err != nil || cwd != "/" {
		t.Errorf("working directory %s, %v, want /", cwd, err)
	}
	if in, err := os.Readlink(proc + "/fd/0"); err != nil || in != "/dev/null" {
		t.Errorf("standard input %s, %v, want /dev/null", in, err)
	}
	for _, fd := range []string{"1", "2"} {
		if out, err := os.Readlink(proc + "/fd/" + fd); err != nil || filepath.Base(out) != "cosfuse.log" {
			t.Errorf("descriptor %s: %s, %v, want the log", fd, out, err)
		}
	}
	if comm, err := os.ReadFile(proc + "/comm"); err != nil || string(comm) != "cosfuse\n" {
		t.Errorf("name %q, %v", comm, err)
	}
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // state, parent, group, session
	if f := bytes.Fields(rest); len(f) < 4 || string(f[3]) != filepath.Base(proc) {
		t.Errorf("not the leader of a session: %s", stat)
	}
	m.run(t, exitOK, "umount", "mnt")
}

// TestGoRun checks the README's first command: the program that "go run" built is deleted when the
// command returns, and the mount goes on.
func TestGoRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command; -short asks for less")
	}
	m := newMachine(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./cmd/cosfuse", "mount", "--local", filepath.Join(m.dir, "data"), m.mnt)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(m.dir, "cache"), "GOCACHE="+goEnv(t, "GOCACHE"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	writeFile(t, filepath.Join(m.mnt, "a.txt"), "text")
	wantFile(t, filepath.Join(m.mnt, "a.txt"), "text")
	m.run(t, exitOK, "umount", "mnt")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
