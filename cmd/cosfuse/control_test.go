package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/writeback"
)

// startTestControl serves state from a directory whose path is longer than a socket's address may be.
func startTestControl(t *testing.T, state keeper) (*control, *daemonClient) {
	t.Helper()
	return startReadControl(t, state, &fakeReader{})
}

func startReadControl(t *testing.T, state keeper, reads reader) (*control, *daemonClient) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctl, err := startControl(t.Context(), dir, "p/", state, reads, discard())
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.close()
		if err := ctl.close(); err != nil {
			t.Error(err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
			t.Errorf("left behind: %v, %v", list, err)
		}
	})
	return ctl, d
}

func TestControlStatus(t *testing.T) {
	state := &fakeKeeper{removals: []string{"p/gone"}, files: []writeback.FileStatus{
		{Ino: 1, Key: "p/a", State: writeback.StateWaiting, Left: 10},
		{Ino: 2, Key: "p/d/b", State: writeback.StateConflict, Left: 20},
	}}
	_, d := startTestControl(t, state)
	all, err := d.status(t.Context(), "")
	if err != nil || len(all.Files) != 2 || all.Files[1].Path != "d/b" || all.Totals != (totals{Files: 1, BytesLeft: 10, Conflicts: 1}) || all.Removals != 1 {
		t.Errorf("all: %+v, %v", all, err)
	}
	below, err := d.totals(t.Context(), "d")
	if err != nil || below != (totals{Conflicts: 1}) {
		t.Errorf("below d: %+v, %v", below, err)
	}
}

func TestControlSync(t *testing.T) {
	tests := []struct {
		name  string
		state fakeKeeper
		path  string
		key   string
		left  int
		err   string
	}{
		{"done", fakeKeeper{}, "d", "p/d", 0, ""},
		{"failed", fakeKeeper{syncErr: errors.New("no"), files: []writeback.FileStatus{{Key: "p/a", State: writeback.StateFailed}}}, "", "p/", 1, ""},
		{"kept", fakeKeeper{files: []writeback.FileStatus{{Key: "p/a", State: writeback.StateDamaged}}}, "", "p/", 1, ""},
		{"kept elsewhere", fakeKeeper{files: []writeback.FileStatus{{Key: "p/a", State: writeback.StateConflict}}}, "b", "p/b", 0, ""},
		{"written since", fakeKeeper{files: []writeback.FileStatus{{Key: "p/a", State: writeback.StateWaiting}}}, "", "p/", 0, ""},
		{"of no file", fakeKeeper{syncErr: errors.New("directory refused")}, "", "p/", 0, "directory refused"},
		{"deletion", fakeKeeper{flushErr: errors.New("deletion refused")}, "d", "p/d", 0, "deletion refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, d := startTestControl(t, &tt.state)
			got, err := d.sync(t.Context(), tt.path)
			if err != nil || len(got.Left) != tt.left || got.Error != tt.err || tt.state.synced != tt.key ||
				tt.state.flushed != strings.TrimSuffix(tt.key, "/")+"/" {
				t.Errorf("got %+v, %v after syncing %q", got, err, tt.state.synced)
			}
		})
	}
}

// TestControlNames asks about names that stand for keys other than themselves.
func TestControlNames(t *testing.T) {
	state := &fakeKeeper{files: []writeback.FileStatus{
		{Key: "p/a", State: writeback.StateFailed, Left: 1}, {Key: "p/a/b", State: writeback.StateFailed, Left: 2},
		{Key: "p/a.~object", State: writeback.StateFailed, Left: 4},
	}}
	_, d := startTestControl(t, state)
	for _, tt := range []struct {
		path, synced, flushed, left string
		bytes                       int64
	}{
		{"a", "p/a", "p/a/", "a a/b", 3},
		{"a.~object", "only p/a", "", "a", 1},
		{"a.~object.~object", "p/a.~object", "p/a.~object/", "a.~object.~object", 4},
	} {
		state.flushed = ""
		got, err := d.sync(t.Context(), tt.path)
		var left []string
		for _, f := range got.Left {
			left = append(left, f.Path)
		}
		if err != nil || state.synced != tt.synced || state.flushed != tt.flushed || strings.Join(left, " ") != tt.left {
			t.Errorf("sync of %q synced %q, flushed %q, left %q, %v", tt.path, state.synced, state.flushed, left, err)
		}
		if sum, err := d.totals(t.Context(), tt.path); err != nil || sum.BytesLeft != tt.bytes {
			t.Errorf("%q: %+v, %v, want %d bytes", tt.path, sum, err, tt.bytes)
		}
	}
	for _, path := range []string{"a//b", "\xff"} {
		if _, err := d.sync(t.Context(), path); exitCode(err) != exitUsage {
			t.Errorf("sync of %q: %v", path, err)
		}
	}
}

// TestControlDrains checks that the state is left alone once it is about to be closed, but can be seen.
func TestControlDrains(t *testing.T) {
	ctl, d := startTestControl(t, &fakeKeeper{})
	ctl.drain()
	if _, err := d.sync(t.Context(), ""); err == nil || !strings.Contains(err.Error(), errDraining.Error()) {
		t.Errorf("sync: %v, want a refusal", err)
	}
	if _, err := d.status(t.Context(), ""); err != nil {
		t.Errorf("status: %v", err)
	}
}

// TestControlVersion checks what is said to a program of another version.
func TestControlVersion(t *testing.T) {
	_, d := startTestControl(t, &fakeKeeper{})
	_, err := d.do(t.Context(), http.MethodPost, "/none", url.Values{})
	if exitCode(err) != exitMachine || !strings.Contains(err.Error(), `version "1"`) {
		t.Errorf("got %v", err)
	}
}

func TestControlSocketIsPrivate(t *testing.T) {
	old := unix.Umask(0) // a daemon has none
	ctl, _ := startTestControl(t, &fakeKeeper{})
	unix.Umask(old)
	if info, err := os.Stat(ctl.path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

// TestControlRefusesOthers lets another user past the modes of the files, and wants no answer all the same.
func TestControlRefusesOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a caller of another user")
	}
	dir := t.TempDir()
	ctl, err := startControl(t.Context(), dir, "", &fakeKeeper{}, &fakeReader{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.close()
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o755, ctl.path: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range map[int]string{0: "HTTP/1.1 200 OK", 65534: ""} {
		got, err := askAs(uid, ctl.path)
		if err != nil || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("user %d heard %q, %v, want %q", uid, got, err, want)
		}
	}
}

// askAs asks for the status as another user, and returns what it hears until the other end closes.
func askAs(uid int, path string) (heard string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread, with its user, ends here
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			err = errno
			return
		}
		heard, err = askRaw(path)
	}()
	<-done
	return heard, err
}

// askRaw uses the calling thread only, unlike package net.
func askRaw(path string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return "", err
	}
	const request = "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	_ = unix.Sendto(fd, []byte(request), unix.MSG_NOSIGNAL, nil) // fails if it is refused already
	var heard []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			if errors.Is(err, unix.ECONNRESET) {
				err = nil // refused before it had read the request
			}
			return string(heard), err
		}
		heard = append(heard, buf[:n]...)
	}
}

// TestNoDaemon tells a socket that nobody answers from other failures.
func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	d, err := dialDaemon(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.status(t.Context(), ""); !errors.Is(err, errNoDaemon) {
		t.Errorf("no socket: %v", err)
	}
	l, err := listenControl(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // and the file stays, as after a kill
	if _, err := d.status(t.Context(), ""); !errors.Is(err, errNoDaemon) {
		t.Errorf("socket of a dead daemon: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.status(ctx, ""); errors.Is(err, errNoDaemon) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestReportIsStable pins the JSON that scripts read: adding to it is fine, changing it is not.
func TestReportIsStable(t *testing.T) {
	since := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	left := &writeback.Left{Bucket: "b-1", Prefix: "p/", Renames: 1, Files: []writeback.FileStatus{
		{Ino: 3, Key: "p/a.txt", State: writeback.StateFailed, Size: 12, Left: 10, Since: since, Open: true, Err: "access denied"},
		{Ino: 4, Key: "p/n\n", State: writeback.StateWaiting},
	}}
	report := statusReport{Version: reportVersion, Mounts: []mountStatus{leftStatus("/cache", left, since.Add(90*time.Second))}}
	const want = `{"version":1,"mounts":[{"cache_dir":"/cache","state":"dead","files":[` +
		`{"ino":3,"path":"a.txt","key":"p/a.txt","state":"failed","size":12,"bytes_left":10,"since":"2024-05-01T12:00:00Z",` +
		`"age_seconds":90,"open":true,"error":"access denied"},` +
		`{"ino":4,"path":"n\n","key":"p/n\n","state":"waiting","size":0,"bytes_left":0,"age_seconds":0,"open":false}],` +
		`"totals":{"files":2,"bytes_left":10,"failed":1,"conflicts":0,"damaged":0},"pending":{"removals":0,"renames":1,"uploads":0}}]}`
	if got := jsonLine(t, report); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var out bytes.Buffer
	if err := report.Mounts[0].print(&out); err != nil {
		t.Fatal(err)
	}
	const table = `/cache: not mounted
INO  STATE    LEFT  AGE    PATH
3    failed   10 B  1m30s  a.txt: access denied
4    waiting  0 B   -      "n\n"
2 files, 10 B to commit at the next mount, 1 failed, 1 directory renames to complete
`
	if out.String() != table {
		t.Errorf("got\n%swant\n%s", &out, table)
	}
	if got, want := jsonLine(t, statusReport{Version: 1, Mounts: []mountStatus{leftStatus("/c", new(writeback.Left), since)}}),
		`{"version":1,"mounts":[{"cache_dir":"/c","state":"dead","files":[],"totals":{"files":0,"bytes_left":0,"failed":0,"conflicts":0,"damaged":0}}]}`; got != want {
		t.Errorf("nothing left:\ngot  %s\nwant %s", got, want)
	}
}

func jsonLine(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
