package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/fs"
	"cosfuse/writeback"
)

// controlName is the socket in a cache directory at which its daemon answers "cosfuse status", sync and
// recover: HTTP with JSON, below a path that begins with the version of the protocol.
const (
	controlName    = "control.sock"
	controlVersion = "/v1"
	controlHeader  = "Cosfuse-Control" // in every answer: the protocol's version
)

// keeper is the write state of a mount, as far as the control socket shows it. *writeback.Store is one.
type keeper interface {
	rescuer
	SyncBelow(ctx context.Context, key string) error
	SyncKey(ctx context.Context, key string) error
	PendingRemovals() []string
	FlushRemovals(prefix string) error
}

// rescuer decides upon single files. *writeback.Store is one, and *writeback.Offline.
type rescuer interface {
	Status() []writeback.FileStatus
	Export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]writeback.Gap, error)
	Retry(ctx context.Context, ino uint64) (writeback.Replaced, error)
	Drop(ino uint64) error
}

var (
	_ keeper  = (*writeback.Store)(nil)
	_ rescuer = (*writeback.Offline)(nil)
)

// control serves the socket of one mount.
type control struct {
	state  keeper
	reads  reader
	prefix string // of the mount's keys
	path   string // of the socket
	server *http.Server
	served chan struct{} // closed when no more requests are taken
	cut    func()        // ends the context of every request

	mu       sync.Mutex // guards the fields below
	draining bool       // nothing that works on the state is begun any more
	working  sync.WaitGroup
}

// startControl begins to answer. Requests end with ctx.
func startControl(ctx context.Context, cacheDir, prefix string, state keeper, reads reader, log *slog.Logger) (*control, error) {
	c := &control{state: state, reads: reads, prefix: prefix, path: filepath.Join(cacheDir, controlName), served: make(chan struct{})}
	l, err := listenControl(ctx, cacheDir)
	if err != nil {
		return nil, err
	}
	ctx, c.cut = context.WithCancel(ctx)
	c.server = &http.Server{
		Handler: c.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(c.served)
		if err := c.server.Serve(&ownerListener{UnixListener: l, log: log}); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("control socket ended", "err", err)
		}
	}()
	return c, nil
}

// drain ends what works on the write state, and refuses more of it: the state is about to be closed.
// What may only be looked at still can.
func (c *control) drain() {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	c.cut() // a look at the state does not ask for its context
	c.working.Wait()
}

// close ends the socket.
func (c *control) close() error {
	c.drain()
	err := c.server.Close()
	<-c.served
	if rmErr := os.Remove(c.path); !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	return err
}

// begin asks to work on the write state; the caller calls done.
func (c *control) begin() (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return nil, errDraining
	}
	c.working.Add(1)
	return c.working.Done, nil
}

// errDraining says that a mount is past changing anything but to end.
var errDraining = errors.New("the mount is being taken away and commits what is left")

// listenControl makes the socket, for its owner alone. The socket of a daemon that died is replaced: the
// caller has the lock of the directory.
func listenControl(ctx context.Context, cacheDir string) (*net.UnixListener, error) {
	if err := os.Remove(filepath.Join(cacheDir, controlName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, dir, err := shortPath(cacheDir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	conf := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmodErr error
		err := raw.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) }) // bind takes the mode over
		return errors.Join(err, chmodErr)
	}}
	l, err := conf.Listen(ctx, "unix", short)
	if err != nil {
		return nil, err
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listening gave a %T", l), l.Close())
	}
	ul.SetUnlinkOnClose(false) // by the short path, which is void by then
	return ul, nil
}

// shortPath names the socket in cacheDir in few enough bytes for an address of a socket, while dir is open.
func shortPath(cacheDir string) (path string, dir *os.File, err error) {
	dir, err = os.OpenFile(cacheDir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), controlName), dir, nil
}

// ownerListener accepts root and the user whose daemon this is, whatever the modes of the files say.
type ownerListener struct {
	*net.UnixListener
	log *slog.Logger
}

// Accept implements net.Listener.
func (l *ownerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peer(conn)
		if err == nil && (uid == 0 || uid == uint32(os.Geteuid())) {
			return conn, nil
		}
		l.log.Warn("control socket: caller refused", "uid", uid, "err", err)
		conn.Close()
	}
}

// peer is the user at the other end.
func peer(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) { cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if optErr != nil {
		return 0, optErr
	}
	return cred.Uid, nil
}

// handler routes requests.
func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlVersion+"/status", c.status)
	mux.HandleFunc("POST "+controlVersion+"/sync", c.sync)
	mux.HandleFunc("GET "+controlVersion+"/files/{ino}/bytes", c.onFile(c.export))
	mux.HandleFunc("POST "+controlVersion+"/files/{ino}/retry", c.onFile(c.retry))
	mux.HandleFunc("DELETE "+controlVersion+"/files/{ino}", c.onFile(c.drop))
	c.handleReads(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(controlHeader, strings.TrimPrefix(controlVersion, "/v"))
		mux.ServeHTTP(w, r)
	})
}

// writeState is the answer to a look at files.
type writeState struct {
	Files    []fileStatus `json:"files"` // not if only totals were asked for
	Totals   totals       `json:"totals"`
	Removals int          `json:"removals"` // deletions that wait
}

// place is what a path below the mountpoint stands for: an object, and unless alone is set the directory of
// that name with all that is below it.
type place struct {
	key   string
	alone bool
}

// place finds out what query "path" stands for, and answers itself if it is nothing.
func (c *control) place(w http.ResponseWriter, r *http.Request) (p place, ok bool) {
	var err error
	p.key, p.alone, err = fs.KeyOf(c.prefix, r.URL.Query().Get("path"))
	if err != nil {
		refuse(w, http.StatusNotFound, exitUsage, fmt.Errorf("path %q: %w", r.URL.Query().Get("path"), err))
		return p, false
	}
	return p, true
}

// at returns the files at a place.
func (c *control) at(p place) []fileStatus {
	var list []writeback.FileStatus
	for _, f := range c.state.Status() {
		if f.Key == p.key || !p.alone && writeback.Below(f.Key, p.key) {
			list = append(list, f)
		}
	}
	return reportFiles(list, c.prefix, time.Now())
}

// commit commits the files at a place, and makes the deletions that wait below it.
func (c *control) commit(ctx context.Context, p place) (files, removals error) {
	if p.alone {
		return c.state.SyncKey(ctx, p.key), nil
	}
	files = c.state.SyncBelow(ctx, p.key)
	dir := p.key
	if dir != c.prefix {
		dir += "/"
	}
	return files, c.state.FlushRemovals(dir)
}

// status answers what is dirty; query "path" restricts it, "totals" leaves the files out.
func (c *control) status(w http.ResponseWriter, r *http.Request) {
	p, ok := c.place(w, r)
	if !ok {
		return
	}
	files := c.at(p)
	answer := writeState{Files: files, Totals: sum(files), Removals: len(c.state.PendingRemovals())}
	if r.URL.Query().Has("totals") {
		answer.Files = nil
	}
	reply(w, answer)
}

// syncReply tells what a sync could not commit.
type syncReply struct {
	Left  []fileStatus `json:"left"`
	Error string       `json:"error,omitempty"` // of what is not among these: deletions above all
}

// sync commits what is at or below query "path" and waits for it.
func (c *control) sync(w http.ResponseWriter, r *http.Request) {
	done, err := c.begin()
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, exitOther, err)
		return
	}
	defer done()
	p, ok := c.place(w, r)
	if !ok {
		return
	}
	answer := syncReply{Left: []fileStatus{}}
	err, removalErr := c.commit(r.Context(), p)
	for _, f := range c.at(p) {
		if f.State == writeback.StateFailed || f.State.Kept() {
			answer.Left = append(answer.Left, f)
		}
	}
	if len(answer.Left) > 0 {
		err = nil // told
	}
	if err = errors.Join(err, removalErr); err != nil {
		answer.Error = err.Error()
	}
	reply(w, answer)
}

// refusal is the body of an answer that is an error.
type refusal struct {
	Error string `json:"error"`
	Code  int    `json:"code"` // exit code that goes with it
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, status, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refusal{Error: err.Error(), Code: code}) // to a caller who may have left
}

// reply answers with a value.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // to a caller who may have left
}
