package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cosfuse/writeback"
)

// fakeVolume is a volume whose unmounting the test controls.
type fakeVolume struct {
	mu       sync.Mutex
	calls    []string
	busy     int  // Unmount fails so often
	held     bool // Detach does not end it
	closeErr error
	ended    chan struct{}
	once     sync.Once
	writes   fakeKeeper
	reads    fakeReader
}

func newFakeVolume() *fakeVolume { return &fakeVolume{ended: make(chan struct{})} }

func (v *fakeVolume) note(call string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, call)
}

func (v *fakeVolume) end()  { v.once.Do(func() { close(v.ended) }) }
func (v *fakeVolume) Wait() { <-v.ended }

func (v *fakeVolume) Unmount() error {
	v.note("unmount")
	if v.busy > 0 {
		v.busy--
		return syscall.EBUSY
	}
	v.end()
	return nil
}

func (v *fakeVolume) Detach() error {
	v.note("detach")
	if !v.held {
		v.end()
	}
	return nil
}

func (v *fakeVolume) Sync(context.Context) error  { v.note("sync"); return nil }
func (v *fakeVolume) Writes() keeper              { return &v.writes }
func (v *fakeVolume) Reads() reader               { return &v.reads }
func (v *fakeVolume) Close(context.Context) error { v.note("close"); return v.closeErr }

// sequence is the calls in order, without repetitions.
func (v *fakeVolume) sequence() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var short []string
	for _, c := range v.calls {
		if len(short) == 0 || short[len(short)-1] != c {
			short = append(short, c)
		}
	}
	return strings.Join(short, " ")
}

// fakeKeeper is a write state that the test sets.
type fakeKeeper struct {
	files    []writeback.FileStatus
	syncErr  error
	synced   string // key of the last SyncBelow, or "only " and that of the last SyncKey
	asked    []string
	removals []string
	flushed  string // prefix of the last FlushRemovals
	flushErr error
	gaps     []writeback.Gap
	fileErr  error // of Export, Retry and Drop
}

func (k *fakeKeeper) Status() []writeback.FileStatus { return k.files }

func (k *fakeKeeper) Export(_ context.Context, ino uint64, w io.Writer, partial bool) ([]writeback.Gap, error) {
	k.asked = append(k.asked, fmt.Sprint("export ", ino, partial))
	if _, err := io.WriteString(w, "bytes"); err != nil {
		return nil, err
	}
	return k.gaps, k.fileErr
}

func (k *fakeKeeper) Retry(_ context.Context, ino uint64) (writeback.Replaced, error) {
	k.asked = append(k.asked, fmt.Sprint("retry ", ino))
	return writeback.Replaced{Key: "p/k", Version: writeback.Version{ETag: "e", Size: 3}}, k.fileErr
}

func (k *fakeKeeper) Drop(ino uint64) error {
	k.asked = append(k.asked, fmt.Sprint("drop ", ino))
	return k.fileErr
}

func (k *fakeKeeper) PendingRemovals() []string { return k.removals }

func (k *fakeKeeper) FlushRemovals(prefix string) error {
	k.flushed = prefix
	return k.flushErr
}

func (k *fakeKeeper) SyncKey(_ context.Context, key string) error {
	k.synced = "only " + key
	return k.syncErr
}

func (k *fakeKeeper) SyncBelow(_ context.Context, key string) error {
	k.synced = key
	return k.syncErr
}

// recorder is a reporter that tells the test.
type recorder struct {
	mounted chan struct{}
	said    []string
	err     error
}

func (r *recorder) say(text string)  { r.said = append(r.said, text) }
func (r *recorder) ready()           { close(r.mounted) }
func (r *recorder) failed(err error) { r.err = err }

func newRecorder() *recorder { return &recorder{mounted: make(chan struct{})} }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestSession(t *testing.T) {
	tests := []struct {
		name  string
		edit  func(*fakeVolume)
		stop  bool // by signal instead of umount
		want  string
		state state
		code  int
	}{
		{"umount", nil, false, "close", stateEnded, exitOK},
		{"signal", nil, true, "unmount close", stateEnded, exitOK},
		{"busy for a moment", func(v *fakeVolume) { v.busy = 1 }, true, "unmount close", stateEnded, exitOK},
		{"uncommitted", func(v *fakeVolume) { v.closeErr = errors.New("a.txt: access denied") }, false, "close", stateFailed, exitUncommitted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			skipWithoutFuse(t, tc.cli)
			vol := newFakeVolume()
			if tt.edit != nil {
				tt.edit(vol)
			}
			tc.open = func(context.Context, context.Context, *mountOptions, *slog.Logger, func(string)) (volume, error) {
				return vol, nil
			}
			o := &mountOptions{bucket: "b-1", mountpoint: tc.mkdir(t, "mnt"), cacheDir: filepath.Join(tc.dir, "cache")}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rep, done := newRecorder(), make(chan error)
			go func() { done <- tc.serveMount(ctx, o, discard(), rep) }()
			select {
			case <-rep.mounted:
			case err := <-done:
				t.Fatalf("ended before it was mounted: %v", err)
			}
			rec, err := tc.findRecord(o.mountpoint, mountEntry{})
			if err != nil || rec.State != stateMounted || rec.PID != os.Getpid() || !rec.alive() {
				t.Errorf("while mounted: record %+v, error %v", rec, err)
			}
			if tt.stop {
				cancel()
			} else {
				vol.end()
			}
			err = <-done
			if code := exitCode(err); err != nil && code != tt.code || (err == nil) != (tt.code == exitOK) {
				t.Errorf("returned %v, want exit code %d", err, tt.code)
			}
			if got := vol.sequence(); got != tt.want {
				t.Errorf("calls: %s, want %s", got, tt.want)
			}
			last, err := readRecord(o.cacheDir)
			if err != nil || last.State != tt.state {
				t.Errorf("at the end: record %+v, error %v, want state %s", last, err, tt.state)
			}
			if tt.code == exitUncommitted && !strings.Contains(last.Error, "a.txt") {
				t.Errorf("record does not name what was not committed: %+v", last)
			}
		})
	}
}

func skipWithoutFuse(t *testing.T, c *cli) {
	t.Helper()
	if err := c.checkFuse(false); err != nil {
		t.Skipf("FUSE is needed: %v", err)
	}
}

// TestStartFails checks that a mount that does not come about leaves nothing locked.
func TestStartFails(t *testing.T) {
	tc := newTestCLI(t)
	skipWithoutFuse(t, tc.cli)
	cause := serviceError("mend", "no bucket")
	tc.open = func(context.Context, context.Context, *mountOptions, *slog.Logger, func(string)) (volume, error) {
		return nil, cause
	}
	o := &mountOptions{bucket: "b-1", mountpoint: tc.mkdir(t, "mnt"), cacheDir: filepath.Join(tc.dir, "cache")}
	rep := newRecorder()
	err := tc.serveMount(t.Context(), o, discard(), rep)
	if !errors.Is(err, cause) || !errors.Is(rep.err, cause) || exitCode(err) != exitService {
		t.Errorf("returned %v, reported %v, want %v", err, rep.err, cause)
	}
	lock, err := lockCache(o.cacheDir, record{})
	if err != nil {
		t.Fatalf("the cache directory stayed locked: %v", err)
	}
	lock.close()
}

// TestTakeDownBusy checks that a mount in use is committed, detached, served on for a while, and then
// left.
func TestTakeDownBusy(t *testing.T) {
	tests := []struct {
		name string
		held bool
		want time.Duration
	}{
		{"users go after the detaching", false, unmountGrace},
		{"users stay", true, unmountGrace + lingerTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vol := newFakeVolume()
				vol.busy, vol.held = 1<<30, tt.held
				s := &session{vol: vol, log: discard(), life: t.Context(), cancel: func() {}}
				began := time.Now()
				s.takeDown(vol.ended)
				if took := time.Since(began); took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				if got, want := vol.sequence(), "unmount sync detach"; got != want {
					t.Errorf("calls: %s, want %s", got, want)
				}
			})
		})
	}
}

// TestSignalsWhileDraining checks how many signals end the wait for what cannot be committed.
func TestSignalsWhileDraining(t *testing.T) {
	for _, n := range []int{1, 2} {
		life, cancel := context.WithCancel(t.Context())
		said := newSignalWriter("asked to stop while committing")
		s := &session{log: slog.New(slog.NewTextHandler(said, nil)), life: life, cancel: cancel}
		stop := s.cancelOnSignal(n)
		for i := range n {
			if life.Err() != nil {
				t.Errorf("gave up after %d signals, want %d", i, n)
			}
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			<-said.seen
		}
		<-life.Done()
		stop()
	}
}

func TestCacheDirectoryIsExclusive(t *testing.T) {
	tests := []struct {
		name  string
		state state
		wait  bool
	}{
		{"starting", stateStarting, false},
		{"mounted", stateMounted, false},
		{"unmounted, not noticed yet", stateMounted, true},
		{"draining", stateDraining, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			o := &mountOptions{bucket: "b-1", mountpoint: "/mnt/new", cacheDir: tc.mkdir(t, "cache")}
			if tt.state == stateMounted && !tt.wait {
				tc.mountinfo = tc.write(t, "mountinfo", "1 0 0:77 / /mnt/old rw - fuse.cosfuse b-1 rw,user_id=0\n", 0o644)
			}
			holder, err := lockCache(o.cacheDir, record{PID: 4711, Mountpoint: "/mnt/old", Source: "b-1", Started: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if err := holder.tell(tt.state, nil); err != nil {
				t.Fatal(err)
			}
			said := make(chan string, 1)
			type result struct {
				lock *cacheLock
				err  error
			}
			done := make(chan result, 1)
			go func() {
				lock, err := tc.acquireCache(t.Context(), o, func(s string) { said <- s })
				done <- result{lock, err}
			}()
			if tt.wait {
				if s := <-said; !strings.Contains(s, "4711") || !strings.Contains(s, "/mnt/old") {
					t.Errorf("said %q while waiting", s)
				}
				holder.close()
			}
			got := <-done
			if !tt.wait {
				holder.close()
				if exitCode(got.err) != exitMachine || !strings.Contains(got.err.Error(), "/mnt/old") {
					t.Errorf("error %v, want a refusal that names the mountpoint", got.err)
				}
				return
			}
			if got.err != nil {
				t.Fatal(got.err)
			}
			got.lock.close()
		})
	}
}

// TestMountWaitsForVisitors checks that a mount neither fails nor starts while a command looks into what a
// dead daemon left.
func TestMountWaitsForVisitors(t *testing.T) {
	tc := newTestCLI(t)
	o := &mountOptions{bucket: "b-1", mountpoint: "/mnt/new", cacheDir: tc.mkdir(t, "cache")}
	dead, err := lockCache(o.cacheDir, record{PID: 4711, Mountpoint: "/mnt/old", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := visit(o.cacheDir); !errors.Is(err, errLocked) {
		t.Errorf("visit of a daemon that lives: %v, want errLocked", err)
	}
	if err := errors.Join(dead.tell(stateMounted, nil), dead.close()); err != nil {
		t.Fatal(err)
	}
	leave, err := visit(o.cacheDir)
	if err != nil {
		t.Fatal(err)
	}
	said, done := make(chan string, 1), make(chan error, 1)
	go func() {
		lock, err := tc.acquireCache(t.Context(), o, func(s string) { said <- s })
		if err == nil {
			err = lock.close()
		}
		done <- err
	}()
	select {
	case s := <-said:
		if !strings.Contains(s, "looks into "+o.cacheDir) {
			t.Errorf("said %q", s)
		}
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	}
	leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
