package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cacheOf is what the command shows.
func (m *machine) cacheOf(t *testing.T, args ...string) cacheReport {
	t.Helper()
	var r cacheReport
	if err := json.Unmarshal([]byte(m.run(t, exitOK, append([]string{"cache", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCacheWarmupRefresh(t *testing.T) {
	m := newMachine(t)
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	content := strings.Repeat("bytes that stay. ", 200_000)
	if err := os.MkdirAll(filepath.Join(m.mnt, "d/e"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d/a", "d/e/b", "c"} {
		writeFile(t, filepath.Join(m.mnt, name), content)
	}
	m.run(t, exitOK, "umount", "mnt")
	dir := m.record(t).cacheDir
	m.run(t, exitOK, "cache", "--cache-dir", dir, "--trim", "0")
	if r := m.cacheOf(t, "--cache-dir", dir); r.Disk.Blocks != 0 {
		t.Errorf("left after a trim to nothing: %+v", r)
	}

	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	if out := m.run(t, exitOK, "warmup", "mnt/d"); !strings.Contains(out, "2 files, 6.48 MiB") {
		t.Errorf("warmup said %q", out)
	}
	if r := m.cacheOf(t, "mnt"); !r.Disk.Enabled || r.Disk.Objects != 2 || r.Memory.FetchedBytes != 2*int64(len(content)) {
		t.Errorf("after the warmup: %+v", r)
	}
	if out := m.run(t, exitOK, "warmup", "mnt/c"); !strings.Contains(out, "1 file,") {
		t.Errorf("warmup of a file said %q", out)
	}
	for _, name := range []string{"d/a", "d/e/b", "c"} {
		wantFile(t, filepath.Join(m.mnt, name), content)
	}
	if r := m.cacheOf(t, "mnt"); r.Memory.FetchedBytes != 3*int64(len(content)) {
		t.Errorf("reading what is warm fetched something: %+v", r)
	}
	m.run(t, exitOK, "refresh", "mnt/d")
	wantFile(t, filepath.Join(m.mnt, "d/a"), content)
	if out := m.run(t, exitOK, "cache", "mnt"); !strings.Contains(out, "of 3 objects") {
		t.Errorf("cache said %q", out)
	}
	m.run(t, exitUsage, "warmup", "mnt/absent")
	m.run(t, exitOK, "umount", "mnt")
	if r := m.cacheOf(t, "--cache-dir", dir); r.Disk.Objects != 3 {
		t.Errorf("after the umount: %+v", r)
	}
	m.run(t, exitMachine, "warmup", "mnt/d")
}
