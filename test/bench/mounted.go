package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// subjectNames are what can be measured, in the order of the table.
var subjectNames = []string{cosfuseName, aloneName, "s3fs", "rclone"}

const (
	cosfuseName = "cosfuse"
	aloneName   = "client alone"
)

// program serves a mount in the foreground.
type program struct {
	name string
	args func(a address, mnt, cache string) []string // the command line
}

// programs are those that are not ours, as their manuals have them for a bucket that many programs use.
// Both keep what they read on disk, as cosfuse does.
var programs = []program{
	{"s3fs", func(a address, mnt, cache string) []string {
		return []string{"s3fs", a.Bucket, mnt, "-f", "-o", "url=" + a.URL, "-o", "use_path_request_style", "-o", "public_bucket=1",
			"-o", "use_cache=" + cache}
	}},
	{"rclone", func(a address, mnt, cache string) []string {
		return []string{"rclone", "mount", ":s3:" + a.Bucket, mnt, "--config", "/dev/null", "--s3-provider", "Other",
			"--s3-endpoint", a.URL, "--s3-force-path-style", "--vfs-cache-mode", "full", "--vfs-write-back", "0s", "--cache-dir", cache}
	}},
}

func cosfuseProgram(binary string) program {
	return program{cosfuseName, func(a address, mnt, cache string) []string {
		return []string{binary, "mount", "-f", "--anonymous", "--endpoint", a.URL, "--region", a.Region, "--cache-dir", cache, a.Bucket, mnt}
	}}
}

// mounted is a mount under way.
type mounted struct {
	p    program
	mnt  string
	cmd  *exec.Cmd
	log  *os.File
	done chan error // takes what Wait returned
}

// patience bounds how long a mount may take to answer, and to end.
const patience = 5 * time.Minute

// mount starts the program and returns when its mount is there.
func (p program) mount(ctx context.Context, a address, dir string) (*mounted, error) {
	m := &mounted{p: p, mnt: filepath.Join(dir, "mnt"), done: make(chan error, 1)}
	cache := filepath.Join(dir, "cache")
	for _, d := range []string{m.mnt, cache} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if m.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	args := p.args(a, m.mnt, cache)
	m.cmd = exec.Command(args[0], args[1:]...)
	m.cmd.Env = environment()
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us: we unmount
	if err := m.cmd.Start(); err != nil {
		return nil, errors.Join(err, m.log.Close())
	}
	go func() { m.done <- m.cmd.Wait() }()
	if err := m.await(ctx); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

// environment is ours without what would change how a program talks to the server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(pair), "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "COS_") || strings.HasPrefix(name, "RCLONE_") ||
			strings.HasSuffix(name, "_PROXY") || name == "GOMEMLIMIT"
	})
}

// await waits until the kernel's table of mounts has the mount.
func (m *mounted) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if there, err := isMounted(m.mnt); there || err != nil {
			return err
		}
		select {
		case err := <-m.done:
			m.done <- err
			return fmt.Errorf("%s ended: %w: %s", m.p.name, err, m.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not mount: %w: %s", m.p.name, ctx.Err(), m.said())
		case <-tick.C:
		}
	}
}

func isMounted(path string) (bool, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == path {
			return true, nil
		}
	}
	return false, lines.Err()
}

// said is the end of what the program wrote.
func (m *mounted) said() string {
	const most = 1000
	info, err := m.log.Stat()
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.NewSectionReader(m.log, max(info.Size()-most, 0), most))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// stop unmounts and waits until the process has ended: it commits what is left before that.
func (m *mounted) stop() error {
	defer m.log.Close()
	err := m.unmount()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-m.done: // some return an error code for having been unmounted
		return err
	case <-timer.C:
		kill := m.cmd.Process.Kill()
		<-m.done
		return errors.Join(err, kill, fmt.Errorf("%s did not end: %s", m.p.name, m.said()))
	}
}

// unmount unmounts what is mounted; what is still in use for a moment is tried again.
func (m *mounted) unmount() error {
	how := []string{"umount", m.mnt}
	if os.Getuid() != 0 {
		how = []string{"fusermount3", "-u", m.mnt}
	}
	var said []byte
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		there, err := isMounted(m.mnt)
		if err != nil || !there {
			return err
		}
		if said, err = exec.Command(how[0], how[1:]...).CombinedOutput(); err == nil {
			return nil
		}
		<-tick.C
	}
	return errors.Join(fmt.Errorf("unmount: %s", said), exec.Command("umount", "-l", m.mnt).Run())
}
