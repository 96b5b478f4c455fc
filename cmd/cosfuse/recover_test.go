package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/writeback"
)

func TestControlFiles(t *testing.T) {
	state := &fakeKeeper{gaps: []writeback.Gap{{Off: 1, End: 3}}}
	_, d := startTestControl(t, state)
	var out bytes.Buffer
	gaps, err := d.export(t.Context(), 7, &out, true)
	if err != nil || out.String() != "bytes" || !slices.Equal(gaps, []gap{{1, 3}}) {
		t.Errorf("export: %q, gaps %v, %v", &out, gaps, err)
	}
	was, err := d.retry(t.Context(), 8)
	if err != nil || was.Key != "p/k" || was.ETag != "e" || was.Size != 3 {
		t.Errorf("retry: %+v, %v", was, err)
	}
	if err := d.drop(t.Context(), 9); err != nil {
		t.Errorf("drop: %v", err)
	}
	if want := []string{"export 7 true", "retry 8", "drop 9"}; !slices.Equal(state.asked, want) {
		t.Errorf("asked %v, want %v", state.asked, want)
	}
	for cause, code := range map[error]int{
		writeback.ErrNoSuchFile: exitUsage, writeback.ErrInUse: exitMachine, writeback.ErrIncomplete: exitUncommitted, errors.New("other"): exitUncommitted,
	} {
		state.fileErr = cause
		_, exportErr := d.export(t.Context(), 7, &out, false)
		_, retryErr := d.retry(t.Context(), 7)
		for _, err := range []error{exportErr, retryErr, d.drop(t.Context(), 7)} {
			if err == nil || exitCode(err) != code || !strings.Contains(err.Error(), cause.Error()) {
				t.Errorf("%v: got %v with exit code %d, want %d", cause, err, exitCode(err), code)
			}
		}
	}
}

// TestExportDoesNotHoldUpTheEnd leaves an export unread and ends the mount.
func TestExportDoesNotHoldUpTheEnd(t *testing.T) {
	state := &endlessKeeper{full: make(chan struct{})}
	ctl, d := startTestControl(t, state)
	res, err := d.do(t.Context(), http.MethodGet, filePath(1)+"/bytes", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	<-state.full
	ctl.drain()
}

// endlessKeeper has a file that never ends.
type endlessKeeper struct {
	fakeKeeper
	full chan struct{} // closed when more was written than a socket takes unread
}

func (k *endlessKeeper) Export(_ context.Context, _ uint64, w io.Writer, _ bool) ([]writeback.Gap, error) {
	buf := make([]byte, 64<<10)
	for n := 0; ; n++ {
		if n == 2 {
			close(k.full)
		}
		if _, err := w.Write(buf); err != nil {
			return nil, err
		}
	}
}

// conflict makes a file that another client was faster with, and returns its number.
func (r *remote) conflict(t *testing.T, key, mine, theirs string) string {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(r.mnt, key), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(mine); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Put(t.Context(), key, strings.NewReader(theirs), int64(len(theirs)), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); !errors.Is(err, os.ErrExist) {
		t.Fatalf("close: %v, want EEXIST", err)
	}
	ino := ""
	waitFor(t, "the file to be put aside", func() bool {
		for _, f := range r.report(t, "mnt").Files {
			if f.Path == key && f.State == writeback.StateConflict && !f.Open {
				ino = strconv.FormatUint(f.Ino, 10)
				return true
			}
		}
		return false
	})
	return ino
}

// TestRecover deals with conflicts, with the daemon and without.
func TestRecover(t *testing.T) {
	r := newRemote(t)
	r.run(t, exitOK, r.args...)
	for _, where := range []string{"live", "dead"} {
		keep, drop, retry := where+"-keep", where+"-drop", where+"-retry"
		kept := r.conflict(t, keep, "mine", "theirs")
		dropped := r.conflict(t, drop, "mine", "theirs")
		retried := r.conflict(t, retry, "mine", "theirs")
		at := []string{"--mount", "mnt"}
		if where == "dead" {
			at = []string{"--cache-dir", r.kill(t).cacheDir}
		}
		run := func(code int, args ...string) string {
			t.Helper()
			return r.run(t, code, append(append([]string{"recover"}, args...), at...)...)
		}
		if out := run(exitOK, "list"); !strings.Contains(out, keep) || !strings.Contains(out, retry) || !strings.Contains(out, "conflict") {
			t.Errorf("%s: list said %q", where, out)
		}
		if out := run(exitUsage, "export", "999", "x"); !strings.Contains(out, "recover list") {
			t.Errorf("%s: export of nothing said %q", where, out)
		}
		out := filepath.Join(r.dir, where+".txt")
		run(exitOK, "export", kept, out)
		wantFile(t, out, "mine")
		if out := run(exitUsage, "export", kept, out); !strings.Contains(out, "exists") {
			t.Errorf("%s: export over a file said %q", where, out)
		}
		run(exitOK, "export", "--all", where+".d")
		wantFile(t, filepath.Join(r.dir, where+".d", drop), "mine")
		if out := run(exitOther, "drop", dropped); !strings.Contains(out, "[y/N]") || !strings.Contains(out, "nothing was dropped") {
			t.Errorf("%s: drop said %q", where, out)
		}
		run(exitOK, "drop", dropped, "--yes")
		if out := run(exitOK, "retry", retried); !strings.Contains(out, "replaced version") || !strings.Contains(out, "6 B") {
			t.Errorf("%s: retry said %q", where, out)
		}
		if got := r.object(t, drop) + " " + r.object(t, retry) + " " + r.object(t, keep); got != "theirs mine theirs" {
			t.Errorf("%s: in the bucket: %s", where, got)
		}
		if out := run(exitOK, "list"); !strings.Contains(out, keep) || strings.Contains(out, drop) || strings.Contains(out, retry) {
			t.Errorf("%s: list says in the end %q", where, out)
		}
	}
	if out := r.run(t, exitOK, r.args...); !strings.Contains(out, "2 files kept because another writer was first") {
		t.Errorf("mount said %q", out)
	}
	wantFile(t, filepath.Join(r.mnt, "live-retry"), "mine")
	wantFile(t, filepath.Join(r.mnt, "live-keep"), "theirs")
	if out := r.run(t, exitUncommitted, "sync", "mnt"); !strings.Contains(out, "live-keep (conflict") || !strings.Contains(out, "cosfuse recover") {
		t.Errorf("sync said %q", out)
	}
	r.run(t, exitOK, "umount", "mnt")
}

// TestRecoverWithoutCredentials exports what a dead daemon had staged where nothing reaches the service.
func TestRecoverWithoutCredentials(t *testing.T) {
	r := newRemote(t)
	r.run(t, exitOK, append(r.args, "--commit=background")...)
	r.srv.SetRules([]cosserver.Rule{{Op: "PutObject", Action: cosserver.Fail, Status: 503}})
	writeFile(t, filepath.Join(r.mnt, "a.txt"), "text")
	dir := r.kill(t).cacheDir
	env := r.env
	r.env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "COS_SECRET") })
	out := r.run(t, exitOK, "recover", "list", "--cache-dir", dir)
	ino, _, _ := strings.Cut(strings.Split(out, "\n")[1], " ")
	if out := r.run(t, exitOK, "recover", "export", ino, "-", "--cache-dir", dir); out != "text" {
		t.Errorf("export wrote %q", out)
	}
	if out := r.run(t, exitUsage, "recover", "retry", ino, "--cache-dir", dir); !strings.Contains(out, "COS_SECRET_ID") {
		t.Errorf("retry said %q", out)
	}
	r.env = env
	r.srv.SetRules(nil)
	r.run(t, exitOK, "recover", "retry", ino, "--cache-dir", dir)
	if got := r.object(t, "a.txt"); got != "text" {
		t.Errorf("in the bucket: %q", got)
	}
	if out := r.run(t, exitOK, "recover", "list", "--cache-dir", dir); !strings.Contains(out, "nothing to recover") {
		t.Errorf("list said %q", out)
	}
}

// TestRecoverLocal deals with what a mount of a local directory left: its server is started for it.
func TestRecoverLocal(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt", "--commit=background")
	writeFile(t, filepath.Join(m.mnt, "a.txt"), "text")
	dir := m.kill(t).cacheDir
	var ino string
	for _, f := range m.report(t, "--cache-dir", dir).Files {
		ino = strconv.FormatUint(f.Ino, 10)
	}
	if ino == "" {
		t.Skip("committed before the daemon was killed")
	}
	m.run(t, exitOK, "recover", "retry", ino, "--mount", "mnt")
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	wantFile(t, filepath.Join(m.mnt, "a.txt"), "text")
	m.run(t, exitOK, "umount", "mnt")
}

func TestConfirm(t *testing.T) {
	tests := []struct {
		answer string
		ok     bool
	}{{"y\n", true}, {"Yes\n", true}, {"y", true}, {"n\n", false}, {"\n", false}, {"", false}, {"yeah\n", false}}
	for _, tt := range tests {
		tc := newTestCLI(t)
		tc.stdin = strings.NewReader(tt.answer)
		r := &recovery{cli: tc.cli}
		if err := r.confirm(fileStatus{Path: "a", Size: 5}); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.answer, err)
		}
	}
}
