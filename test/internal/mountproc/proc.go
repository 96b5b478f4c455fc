package mountproc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"cosfuse/writeback"
)

// Proc is a mount in another process. Its methods are not safe for concurrent use, but for Kill.
type Proc struct {
	Config    Config
	Recovered writeback.Recovery // what it found of an earlier mount

	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	log   *os.File
	done  bool // the process has ended
	clean bool // because it was asked to
}

// ErrDied says that the process ended instead of answering.
var ErrDied = errors.New("the mount's process died")

// Start mounts and returns when the mount answers. The error is ErrDied if the process ended before: at
// its failpoint, during recovery.
func Start(c Config) (*Proc, error) {
	text, err := c.encode()
	if err != nil {
		return nil, err
	}
	p := &Proc{Config: c}
	if p.log, err = os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), env+"="+text)
	p.cmd.Stderr = p.log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, errors.Join(err, p.log.Close())
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, p.log.Close())
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, p.log.Close())
	}
	r, err := p.reply()
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.Recovered = r.Recovered
	return p, nil
}

// reply reads one line.
func (p *Proc) reply() (reply, error) {
	if !p.out.Scan() {
		return reply{}, ErrDied
	}
	var r reply
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("mount's process said %q: %w", p.out.Text(), err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

// ask sends a command and waits for its end.
func (p *Proc) ask(c command) error {
	if p.done {
		return ErrDied
	}
	if err := json.NewEncoder(p.in).Encode(c); err != nil {
		return fmt.Errorf("%w: %w", ErrDied, err)
	}
	_, err := p.reply()
	return err
}

// Sync commits everything and waits. The error joins what could not be committed.
func (p *Proc) Sync() error { return p.ask(command{Op: "sync"}) }

// SetAhead sets the mount's clock ahead of the machine's.
func (p *Proc) SetAhead(d time.Duration) error {
	p.Config.Ahead = d
	return p.ask(command{Op: "advance", Ahead: d})
}

// Unmounted reports whether Unmount ended the process, and nothing else.
func (p *Proc) Unmounted() bool { return p.clean }

// Unmount unmounts and waits for commits and for the end of the process.
func (p *Proc) Unmount() error {
	if err := p.ask(command{Op: "unmount"}); err != nil {
		return err
	}
	p.clean = true
	return p.end()
}

// Signal sends a signal and returns at once. It may be called while another method waits.
func (p *Proc) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill kills the process, as it is, and takes its dead mount away. Killing a dead process is no error.
func (p *Proc) Kill() error {
	if p.done {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.end()
}

// end waits for the process, which is ending, and fails if the race detector complained.
func (p *Proc) end() error {
	p.done = true
	_ = p.in.Close()    // a dead reader is fine
	_ = p.cmd.Wait()    // how it ended is the test's business, and mostly SIGKILL
	_ = p.log.Close()   // written by the process
	_ = p.detachMount() // EINVAL: it had unmounted
	text, err := os.ReadFile(p.Config.Log)
	if err != nil {
		return err
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "handler panicked"} {
		if i := strings.Index(string(text), bad); i >= 0 {
			return fmt.Errorf("the mount's log: %s", text[i:min(i+4000, len(text))])
		}
	}
	return nil
}

func (p *Proc) detachMount() error { return syscall.Unmount(p.Config.Dir, syscall.MNT_DETACH) }

// Wait waits for a process that dies by itself and takes its dead mount away.
func (p *Proc) Wait() error {
	if p.done {
		return nil
	}
	return p.end()
}
