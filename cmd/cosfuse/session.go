package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// unmountGrace is how long a stopped daemon waits for the users of a busy mount before it
	// detaches it, and unmountRetry how often it tries meanwhile.
	unmountGrace = 5 * time.Second
	unmountRetry = 250 * time.Millisecond
	// lingerTime is how long it goes on serving those who still have files of a detached mount open.
	lingerTime = 30 * time.Second
	// lockRetry is how often a cache directory that is in use is tried again.
	lockRetry = 100 * time.Millisecond
)

// stopSignals ask a mount to commit, unmount and end. SIGHUP is the terminal of a mount in the
// foreground being closed.
var stopSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// volume is a mounted bucket and what stands behind it.
type volume interface {
	Wait()                           // returns once nothing is mounted any more
	Unmount() error                  // an error if it is in use
	Detach() error                   // lazily: Wait returns when the last user is done
	Sync(ctx context.Context) error  // commits everything written so far
	Writes() keeper                  // what is not committed
	Reads() reader                   // what is cached
	Close(ctx context.Context) error // commits what is left and gives everything back
}

// opener mounts what o says. It gives up when ctx ends; what it returns lives until life ends.
type opener func(ctx, life context.Context, o *mountOptions, log *slog.Logger, say func(string)) (volume, error)

// serveMount is the daemon: it mounts, serves until it is unmounted or ctx ends, and commits what is
// left. rep hears how the start goes; an error of the start is reported and returned.
func (c *cli) serveMount(ctx context.Context, o *mountOptions, log *slog.Logger, rep reporter) error {
	s, err := c.startSession(ctx, o, log, rep.say)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("mount interrupted: %w", err)
		}
		log.Error("mount not started", "err", err)
		rep.failed(err)
		return err
	}
	rep.ready()
	defer s.cancel()
	return s.serve(ctx)
}

// session is one mount from start to end.
type session struct {
	lock   *cacheLock
	vol    volume
	ctl    *control // nil if its socket could not be made
	log    *slog.Logger
	life   context.Context // of the mount; SIGTERM does not end it, a second one does
	cancel context.CancelFunc
}

func (c *cli) startSession(ctx context.Context, o *mountOptions, log *slog.Logger, say func(string)) (*session, error) {
	if err := c.checkMachine(ctx, o, say); err != nil {
		return nil, err
	}
	lock, err := c.acquireCache(ctx, o, say)
	if err != nil {
		return nil, err
	}
	if err := claimCache(o.cacheDir, o.origin()); err != nil {
		return nil, errors.Join(err, lock.tell(stateEnded, nil), lock.close())
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	vol, err := c.open(ctx, life, o, log, say)
	if err != nil {
		cancel()
		return nil, errors.Join(err, lock.tell(stateEnded, nil), lock.close())
	}
	s := &session{lock: lock, vol: vol, log: log, life: life, cancel: cancel}
	if s.ctl, err = startControl(life, o.cacheDir, o.prefix, vol.Writes(), vol.Reads(), log); err != nil {
		s.log.Warn("no control socket: status, sync and recover do not work", "err", err)
	}
	c.readFarther(o.mountpoint, log)
	if err := lock.tell(stateMounted, nil); err != nil {
		s.log.Warn("record of the mount not written", "err", err)
	}
	if err := lock.publish(c.runtimeDir(os.Getuid())); err != nil {
		s.log.Warn("\"cosfuse umount\" may not find this process", "err", err)
	}
	s.log.Info("mounted", "source", o.source(), "mountpoint", o.mountpoint)
	return s, nil
}

// serve returns when the mount has ended and everything is committed, or with what is not.
func (s *session) serve(ctx context.Context) error {
	ended := make(chan struct{})
	// Not waited for: should a detached mount stay in use, only the end of the process ends it.
	go func() {
		defer close(ended)
		s.vol.Wait()
	}()
	select {
	case <-ended:
		s.log.Info("unmounted")
		// The first signal only asks for what is under way: a machine that shuts down sends one.
		defer s.cancelOnSignal(2)()
	case <-ctx.Done():
		s.log.Info("asked to stop")
		defer s.cancelOnSignal(1)()
		s.takeDown(ended)
	}
	s.tell(stateDraining, nil)
	if s.ctl != nil {
		s.ctl.drain()
	}
	began := time.Now()
	err := s.vol.Close(s.life)
	if s.ctl != nil {
		if ctlErr := s.ctl.close(); ctlErr != nil {
			s.log.Warn("control socket not closed", "err", ctlErr)
		}
	}
	if err != nil {
		s.log.Error("not everything could be committed", "err", err)
		s.tell(stateFailed, err)
		return &failure{code: exitUncommitted, err: fmt.Errorf("not committed: %w", err)}
	}
	s.log.Info("everything is committed", "dur", time.Since(began))
	s.tell(stateEnded, nil)
	return s.lock.close()
}

// cancelOnSignal lets the n-th signal from now on cut the draining short.
func (s *session) cancelOnSignal(n int) (stop func()) {
	again := make(chan os.Signal, n)
	signal.Notify(again, stopSignals...)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for range n {
			select {
			case <-again:
				s.log.Warn("asked to stop while committing what is left")
			case <-done:
				return
			}
		}
		s.log.Warn("giving up what is not committed")
		s.cancel()
	}()
	return func() {
		signal.Stop(again)
		close(done)
		<-watched
	}
}

// takeDown unmounts; a mount that stays busy is committed and detached, and served for a while on.
func (s *session) takeDown(ended <-chan struct{}) {
	if s.unmount(ended) {
		return
	}
	s.log.Warn("mount is in use: detaching it")
	if err := s.vol.Sync(s.life); err != nil {
		s.log.Error("not everything could be committed yet", "err", err)
	}
	if err := s.vol.Detach(); err != nil {
		s.log.Error("mount not detached", "err", err)
	}
	linger := time.NewTimer(lingerTime)
	defer linger.Stop()
	select {
	case <-ended:
	case <-linger.C:
		s.log.Warn("files of the detached mount are still open: no longer serving them")
	case <-s.life.Done():
	}
}

// unmount tries until it works or the grace is over.
func (s *session) unmount(ended <-chan struct{}) bool {
	retry := time.NewTicker(unmountRetry)
	defer retry.Stop()
	grace := time.NewTimer(unmountGrace)
	defer grace.Stop()
	for {
		err := s.vol.Unmount()
		if err == nil {
			<-ended
			return true
		}
		select {
		case <-ended: // by somebody else
			return true
		case <-retry.C:
		case <-grace.C:
			s.log.Warn("cannot unmount", "err", err)
			return false
		case <-s.life.Done():
			return false
		}
	}
}

// tell publishes a state; a record that cannot be written must not stop the draining.
func (s *session) tell(st state, failed error) {
	if err := s.lock.tell(st, failed); err != nil {
		s.log.Warn("record of the mount not written", "err", err)
	}
}

// acquireCache creates and locks the cache directory. It waits, saying so, for a daemon that is
// committing what it has left, and refuses one that is still mounted.
func (c *cli) acquireCache(ctx context.Context, o *mountOptions, say func(string)) (*cacheLock, error) {
	if err := makePrivate(o.cacheDir, 0o700); err != nil {
		return nil, machineError("use --cache-dir DIR with a directory of your own", "cache directory: %w", err)
	}
	rec := record{
		PID: os.Getpid(), Started: time.Now(), Mountpoint: o.mountpoint, Source: o.source(), LogFile: o.logFile,
	}
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	var waitingFor record
	for {
		lock, err := lockCache(o.cacheDir, rec)
		if err == nil {
			return lock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, machineError("use --cache-dir DIR", "cache directory: %w", err)
		}
		// A record that is being written cannot be read: the next round can.
		if holder, err := readRecord(o.cacheDir); err == nil && !holder.same(waitingFor) {
			why, err := c.whyWait(holder)
			if err != nil {
				return nil, err
			}
			say(why)
			waitingFor = holder
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// whyWait says what a cache directory in use is waited for, or refuses to wait.
func (c *cli) whyWait(holder record) (string, error) {
	if !holder.alive() {
		return "waiting for a command that looks into " + holder.cacheDir, nil
	}
	if err := c.refuseLive(holder); err != nil {
		return "", err
	}
	return fmt.Sprintf("waiting for process %d, which served %s, to commit what it has left", holder.PID, holder.Mountpoint), nil
}

// refuseLive returns an error unless the daemon is on its way out.
func (c *cli) refuseLive(holder record) error {
	switch holder.State {
	case stateDraining, stateEnded, stateFailed:
		return nil
	case stateMounted:
		// A daemon notices a moment after the kernel that it was unmounted.
		if e, mounted, err := c.findMount(holder.Mountpoint); err == nil && (!mounted || !e.fuse()) {
			return nil
		}
	}
	return machineError("unmount it first (cosfuse umount "+holder.Mountpoint+
		"), or use another --cache-dir for a second mount of the same bucket",
		"cache directory %s is in use: process %d has %s on %s", holder.cacheDir, holder.PID, holder.Source, holder.Mountpoint)
}

// newLogger logs to the log file, or to w if there is none or w is that file already. close gives the
// file back.
func newLogger(o *mountOptions, w io.Writer, daemon bool) (log *slog.Logger, closeLog func() error, err error) {
	closeLog = func() error { return nil }
	if o.logFile != "" && !daemon {
		f, err := openLog(o.logFile)
		if err != nil {
			return nil, nil, err
		}
		w, closeLog = f, f.Close
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.Level(o.logLevel)})), closeLog, nil
}

// defaultLogFile is where a daemon logs.
func (o *mountOptions) defaultLogFile() string { return filepath.Join(o.cacheDir, "cosfuse.log") }
