package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRecordIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockCache(dir, record{PID: 1, Mountpoint: "/m"})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.close()
	for _, step := range []struct {
		state state
		err   error
	}{{stateFailed, errors.New(strings.Repeat("long ", 100))}, {stateEnded, nil}} {
		lock.rec.Error = ""
		if err := lock.tell(step.state, step.err); err != nil {
			t.Fatal(err)
		}
		got, err := readRecord(dir)
		if err != nil || got.State != step.state || (got.Error == "") != (step.err == nil) {
			t.Errorf("read %+v, %v after telling %s", got, err, step.state)
		}
	}
}

// TestRuntimeLinks checks that a link is made and removed with its mount, and that links to what does
// not exist any more are swept away.
func TestRuntimeLinks(t *testing.T) {
	dir, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(run, linkName("/old"))); err != nil {
		t.Fatal(err)
	}
	lock, err := lockCache(dir, record{PID: 1, Mountpoint: "/m"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.publish([]string{"/proc/none", run}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(run, linkName("/m"))); err != nil || got != dir {
		t.Errorf("link to %s, %v, want %s", got, err, dir)
	}
	if _, err := os.Lstat(filepath.Join(run, linkName("/old"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dangling link is still there: %v", err)
	}
	if err := lock.close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(run); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestParseMount(t *testing.T) {
	tests := []struct {
		name, line string
		want       mountEntry
		bad        bool
	}{
		{"fuse", "36 25 0:33 / /mnt/a rw,nosuid shared:1 - fuse.cosfuse photos-1:/x rw,user_id=1000,group_id=1000",
			mountEntry{device: "0:33", mountpoint: "/mnt/a", fstype: "fuse.cosfuse", source: "photos-1:/x", uid: 1000}, false},
		{"escapes, no tags", `36 25 8:1 / /mnt/a\040b\134c rw - ext4 /dev/sda1 rw`,
			mountEntry{device: "8:1", mountpoint: `/mnt/a b\c`, fstype: "ext4", source: "/dev/sda1", uid: -1}, false},
		{"no separator", "36 25 8:1 / /mnt rw", mountEntry{}, true},
		{"short", "36 25 - ext4 x rw", mountEntry{}, true},
		{"empty", "", mountEntry{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMount(tt.line)
			if (err != nil) != tt.bad || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestRealPath(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"to-dir": "dir", "to-link": "to-dir", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "dir/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"dir": "dir", "to-dir": "dir", "to-link": "dir", "to-link/sub": "dir/sub", "dir/../dir/": "dir", "none": "none",
	} {
		got, err := realPath(filepath.Join(dir, in))
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	if got, err := realPath(filepath.Join(dir, "loop")); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("loop: got %s, %v, want ELOOP", got, err)
	}
}

func TestPrivateCacheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := makePrivate(dir, 0o700); err == nil {
		t.Error("a directory that others may write to was accepted")
	}
}
