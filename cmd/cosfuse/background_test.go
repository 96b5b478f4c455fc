package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/writeback"
)

// kill ends the only daemon as kill -9 does, and returns its record.
func (m *machine) kill(t *testing.T) record {
	t.Helper()
	rec := m.record(t)
	if err := syscall.Kill(rec.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the daemon to die", func() bool { return !rec.alive() })
	return rec
}

// report runs status and decodes what it printed about the one mount.
func (m *machine) report(t *testing.T, args ...string) mountStatus {
	t.Helper()
	var r statusReport
	out := m.run(t, exitOK, append([]string{"status", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Version != reportVersion || len(r.Mounts) != 1 {
		t.Fatalf("status: %v in %s", err, out)
	}
	return r.Mounts[0]
}

// TestBackground closes files that the service does not take yet, kills the daemon, and finds them all.
func TestBackground(t *testing.T) {
	r := newRemote(t)
	args := append(r.args, "--commit=background")
	if out := r.run(t, exitOK, args...); !strings.Contains(out, "cosfuse sync "+r.mnt) {
		t.Errorf("mount said %q", out)
	}
	r.srv.SetRules([]cosserver.Rule{{Op: "PutObject", Action: cosserver.Fail, Status: 503, Code: "SlowDown"}})
	if err := os.Mkdir(filepath.Join(r.mnt, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := range n {
		writeFile(t, filepath.Join(r.mnt, fmt.Sprintf("d/f%02d", i)), fmt.Sprint("text ", i))
	}
	live := r.report(t, "mnt")
	if live.State != stateMounted || live.PID == 0 || live.Totals.Files != n+1 || live.Mountpoint != r.mnt {
		t.Errorf("live: %+v", live)
	}
	rec := r.kill(t)

	for _, where := range [][]string{{"mnt"}, {"--cache-dir", rec.cacheDir}} {
		dead := r.report(t, where...)
		if dead.State != stateDead || dead.PID != 0 || dead.Totals.Files != n+1 || dead.Totals.BytesLeft != live.Totals.BytesLeft || dead.Files[1].Path != "d/f00" {
			t.Errorf("status %v of the dead daemon: %+v", where, dead)
		}
	}
	if out := r.run(t, exitUncommitted, "sync", "mnt"); !strings.Contains(out, "mount it again") {
		t.Errorf("sync of a dead daemon said %q", out)
	}
	if out := r.run(t, exitUncommitted, "umount", "mnt"); !strings.Contains(out, fmt.Sprintf("%d files", n+1)) || !strings.Contains(out, "mount it again") {
		t.Errorf("umount of a dead daemon said %q", out)
	}
	r.srv.SetRules(nil)
	if out := r.run(t, exitOK, args...); !strings.Contains(out, fmt.Sprintf("recovered from an earlier mount: %d files", n+1)) {
		t.Errorf("mount said %q", out)
	}
	wantFile(t, filepath.Join(r.mnt, "d/f07"), "text 7")
	if out := r.run(t, exitOK, "sync", "mnt"); out != "" {
		t.Errorf("sync said %q", out)
	}
	for i := range n {
		if got, want := r.object(t, fmt.Sprintf("d/f%02d", i)), fmt.Sprint("text ", i); got != want {
			t.Errorf("in the bucket: %q, want %q", got, want)
		}
	}
	if left := r.report(t, "mnt"); len(left.Files) != 0 {
		t.Errorf("after sync: %+v", left)
	}
	if out := r.run(t, exitOK, "status", "mnt"); !strings.Contains(out, "everything is in the bucket") {
		t.Errorf("status said %q", out)
	}
	r.run(t, exitOK, "umount", "mnt")
}

// TestSync commits one directory, and names what the service refuses.
func TestSync(t *testing.T) {
	r := newRemote(t)
	r.run(t, exitOK, append(r.args, "--commit=background")...)
	remove := r.srv.AddRule(cosserver.Rule{Op: "PutObject", Key: "bad/*", Action: cosserver.Fail, Status: 403, Code: "AccessDenied"})
	for _, dir := range []string{"good", "bad"} {
		if err := os.Mkdir(filepath.Join(r.mnt, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(r.mnt, dir, "a.txt"), dir)
	}
	r.run(t, exitOK, "sync", filepath.Join(r.mnt, "good", "a.txt"))
	r.run(t, exitOK, "sync", filepath.Join(r.mnt, "good"))
	if got := r.object(t, "good/a.txt"); got != "good" {
		t.Errorf("in the bucket: %q", got)
	}
	out := r.run(t, exitUncommitted, "sync", "mnt")
	if !strings.Contains(out, "bad/a.txt") || !strings.Contains(out, "access denied") || strings.Contains(out, "good") {
		t.Errorf("sync said %q", out)
	}
	bad := r.report(t, filepath.Join(r.mnt, "bad", "a.txt"))
	if len(bad.Files) != 1 || bad.Files[0].Path != "bad/a.txt" || bad.Files[0].State == writeback.StateWaiting || bad.Files[0].Error == "" {
		t.Errorf("status: %+v", bad)
	}
	remove()
	r.run(t, exitOK, "sync", "--cache-dir", r.record(t).cacheDir)
	if got := r.object(t, "bad/a.txt"); got != "bad" {
		t.Errorf("in the bucket: %q", got)
	}
	r.run(t, exitOK, "umount", "mnt")
}

// TestSyncOfHiddenFile commits a file that a directory of the same name hides, and one whose own name looks as
// if it were one, each by itself.
func TestSyncOfHiddenFile(t *testing.T) {
	r := newRemote(t)
	for _, key := range []string{"a", "a/b", "a.~object"} {
		if _, err := r.client.Put(t.Context(), key, strings.NewReader("theirs"), 6, nil); err != nil {
			t.Fatal(err)
		}
	}
	r.run(t, exitOK, append(r.args, "--commit=background")...)
	r.srv.SetRules([]cosserver.Rule{{Op: "PutObject", Action: cosserver.Fail, Status: 403, Code: "AccessDenied"}})
	names := map[string]string{"a.~object": "a", "a/b": "a/b", "a.~object.~object": "a.~object"}
	for name := range names {
		writeFile(t, filepath.Join(r.mnt, name), "ours")
	}
	for name, key := range names {
		out := r.run(t, exitUncommitted, "sync", filepath.Join(r.mnt, name))
		if !strings.Contains(out, " "+fs.PathOf("", key)+" (") || strings.Count(out, "access denied") != 1 {
			t.Errorf("sync of %s said %q", name, out)
		}
	}
	r.srv.SetRules(nil)
	for name, key := range names {
		r.run(t, exitOK, "sync", filepath.Join(r.mnt, name))
		if got := r.object(t, key); got != "ours" {
			t.Errorf("in the bucket %s is %q", key, got)
		}
	}
	r.run(t, exitOK, "umount", "mnt")
}
