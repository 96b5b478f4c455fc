package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// daemonEnv is set in a daemon's environment to the descriptor on which it reports.
const daemonEnv = "COSFUSE_READY_FD"

// reporter is told how a mount's start goes on.
type reporter interface {
	say(text string)  // something the user should know meanwhile
	ready()           // the mount answers
	failed(err error) // it never will
}

// report is one line from a daemon to the process that started it.
type report struct {
	Say   string `json:"say,omitempty"`
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"` // exit code that goes with Error
}

// terminal reports to the user of a mount in the foreground. A failure is what the command returns.
type terminal struct {
	w       io.Writer
	mounted string // said when ready; empty = nothing
}

func (t terminal) say(text string) { fmt.Fprintf(t.w, "cosfuse: %s\n", text) }
func (t terminal) failed(error)    {}

func (t terminal) ready() {
	if t.mounted != "" {
		t.say(t.mounted)
	}
}

// pipeReporter reports to the parent, until it says how the start ended.
type pipeReporter struct{ w io.WriteCloser }

func (p pipeReporter) say(text string) { p.send(report{Say: text}) }
func (p pipeReporter) ready()          { p.send(report{Ready: true}); p.w.Close() }

func (p pipeReporter) failed(err error) {
	p.send(report{Error: err.Error(), Code: exitCode(err)})
	p.w.Close()
}

// send cannot fail usefully: without a parent to hear it, the mount goes on or ends all the same.
func (p pipeReporter) send(r report) {
	_ = json.NewEncoder(p.w).Encode(r)
}

// daemonReporter returns the pipe to the parent if this process was started as a daemon. The variable
// and the descriptor do not pass on to processes that the daemon starts.
func (c *cli) daemonReporter() (reporter, bool, error) {
	text := c.getenv(daemonEnv)
	if text == "" {
		return nil, false, nil
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, false, usageError("unset it", "%s=%q is for the command's own use", daemonEnv, text)
	}
	if err := os.Unsetenv(daemonEnv); err != nil {
		return nil, false, err
	}
	syscall.CloseOnExec(fd)
	return pipeReporter{os.NewFile(uintptr(fd), "ready")}, true, nil
}

// startDaemon runs this program again, with the same arguments, in a session of its own and with its
// output in logFile. It returns once the daemon said that the mount answers, or with its error.
func (c *cli) startDaemon(ctx context.Context, args []string, logFile string) error {
	log, err := openLog(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return machineError("", "start the daemon: %w", err)
	}
	defer r.Close()
	// Not /proc/self/exe's target: "go run" deletes that, and the link still opens it.
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "cosfuse"
	cmd.Env = append(os.Environ(), daemonEnv+"=3")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return machineError("", "start the daemon: %w", err)
	}
	w.Close() // so that r ends when the daemon does
	// Ctrl-C reaches only our session: hand it on, and let the daemon clean up and answer.
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	err = c.awaitDaemon(r)
	if err == nil {
		return cmd.Process.Release()
	}
	_ = cmd.Wait() // how it ended is in ProcessState
	if errors.Is(err, errSilent) {
		return machineError("its log tells more: "+logFile, "the daemon ended before the mount answered (%v)", cmd.ProcessState)
	}
	return err
}

// errSilent says that the daemon ended without a report.
var errSilent = errors.New("daemon ended without a report")

// awaitDaemon relays what the daemon says until it is ready (nil) or failed.
func (c *cli) awaitDaemon(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var rep report
		if err := json.Unmarshal(lines.Bytes(), &rep); err != nil {
			return fmt.Errorf("daemon's report: %w", err)
		}
		switch {
		case rep.Ready:
			return nil
		case rep.Error != "":
			return &failure{code: rep.Code, err: errors.New(rep.Error)}
		}
		terminal{w: c.stderr}.say(rep.Say)
	}
	return errSilent
}

// maxLogBytes is the size from which a log is set aside when a daemon starts.
const maxLogBytes = 16 << 20

// openLog opens a log for appending; one that has grown large becomes FILE.old first.
func openLog(path string) (*os.File, error) {
	const mend = "use --log-file FILE with a place you may write to"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, machineError(mend, "log file: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, machineError(mend, "log file: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, machineError(mend, "log file: %w", err)
	}
	return f, nil
}
