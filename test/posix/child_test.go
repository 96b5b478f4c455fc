package posix

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Calls are made in a process of their own: as another user, and mapping files of the mount, is nothing for
// the process that serves it.

// childEnv carries a job to the test's binary, run as a child.
const childEnv = "COSFUSE_TEST_CHILD"

// job is what a child does: calls, or random operations on a file.
type job struct {
	Dir   string // of the relative paths in the calls
	UID   int
	Calls []call
	Fsx   *fsxJob
}

// call is one system call. Unused fields are zero.
type call struct {
	Op    string
	Path  string
	Other string // new name, target
	Mode  uint32
	Flags int
	UID   int
	GID   int
	Size  int64 // or a device's number
}

func child() int {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if j.Fsx != nil {
		if err := j.Fsx.run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	unix.Umask(0)
	results := make([]syscall.Errno, 0, len(j.Calls))
	for _, c := range j.Calls {
		err := c.do()
		errno, ok := err.(syscall.Errno)
		if err != nil && !ok {
			fmt.Fprintln(os.Stderr, c, err)
			return 1
		}
		results = append(results, errno)
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		return 1
	}
	return 0
}

// do makes the call and returns its errno, nil for none.
func (c *call) do() error {
	switch c.Op {
	case "open":
		fd, err := unix.Open(c.Path, c.Flags, c.Mode)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	case "mkdir":
		return unix.Mkdir(c.Path, c.Mode)
	case "rmdir":
		return unix.Rmdir(c.Path)
	case "unlink":
		return unix.Unlink(c.Path)
	case "rename":
		return unix.Rename(c.Path, c.Other)
	case "renameat2":
		return unix.Renameat2(unix.AT_FDCWD, c.Path, unix.AT_FDCWD, c.Other, uint(c.Flags))
	case "symlink":
		return unix.Symlink(c.Other, c.Path)
	case "link":
		return unix.Link(c.Other, c.Path)
	case "chmod":
		return unix.Chmod(c.Path, c.Mode)
	case "chown":
		return unix.Chown(c.Path, c.UID, c.GID)
	case "truncate":
		return unix.Truncate(c.Path, c.Size)
	case "mknod":
		return unix.Mknod(c.Path, c.Mode, int(c.Size))
	case "utimes":
		return unix.Utimes(c.Path, []unix.Timeval{{Sec: 1}, {Sec: 2}})
	case "utimes-now":
		return unix.UtimesNanoAt(unix.AT_FDCWD, c.Path, nil, 0)
	case "exec":
		_, err := syscall.ForkExec(c.Path, []string{c.Path}, nil)
		return err
	}
	return fmt.Errorf("no call is named %q", c.Op)
}

// runChild runs a job and returns what it said.
func runChild(t testing.TB, j job) []byte {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = &stderr{t: t}
	if j.UID != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(j.UID), Gid: uint32(j.UID)}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v", err)
	}
	return out
}

// stderr logs what a child complains of.
type stderr struct{ t testing.TB }

func (w *stderr) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
