package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cosfuse/writeback"
)

func TestOriginSame(t *testing.T) {
	base := origin{Bucket: "b-1", Prefix: "p/"}
	tests := []struct {
		name string
		edit func(*origin)
		want bool
	}{
		{"itself", func(*origin) {}, true},
		{"COS by name", func(a *origin) { a.Endpoint = "http://cos.ap-guangzhou.myqcloud.com" }, true},
		{"COS from within", func(a *origin) { a.Endpoint = "cos-internal.ap-guangzhou.tencentcos.cn" }, true},
		{"other credentials", func(a *origin) { a.CredentialsFile = "/f" }, true},
		{"other bucket", func(a *origin) { a.Bucket = "c-1" }, false},
		{"other prefix", func(a *origin) { a.Prefix = "" }, false},
		{"other service", func(a *origin) { a.Endpoint = "http://127.0.0.1:9000" }, false},
		{"local", func(a *origin) { a.Local = "/d" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := base
			tt.edit(&other)
			if got := base.same(other); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestClaimCache checks that a cache directory stays with what it was first used for.
func TestClaimCache(t *testing.T) {
	dir := t.TempDir()
	mine := origin{Version: originVersion, Bucket: "b-1", Prefix: "p/"}
	for range 2 {
		if err := claimCache(dir, mine); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readOrigin(dir); err != nil || got != mine {
		t.Errorf("read %+v, %v, want %+v", got, err, mine)
	}
	other := mine
	other.Endpoint = "http://127.0.0.1:9000"
	err := claimCache(dir, other)
	if !errors.Is(err, writeback.ErrForeign) || !strings.Contains(err.Error(), "b-1:/p") || !strings.Contains(err.Error(), "--cache-dir") ||
		exitCode(err) != exitMachine {
		t.Errorf("of another service: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, originName), []byte(`{"version": 99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claimCache(dir, mine); !errors.Is(err, writeback.ErrFormat) || !strings.Contains(err.Error(), "do not delete it") {
		t.Errorf("of a later version: %v", err)
	}
	if list, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestExplainJournal(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{writeback.ErrForeign, "use another --cache-dir"},
		{writeback.ErrLocked, "has ended"},
		{writeback.ErrFormat, "version of cosfuse"},
		{os.ErrPermission, "local disk"},
	}
	for _, tt := range tests {
		err := explainJournal(fmt.Errorf("open: %w", tt.err), "/c")
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "/c") || exitCode(err) != exitMachine {
			t.Errorf("%v: explained as %v, want %q", tt.err, err, tt.want)
		}
	}
}

func TestRecoveredLine(t *testing.T) {
	tests := []struct {
		r    writeback.Recovery
		want string
	}{
		{writeback.Recovery{}, ""},
		{writeback.Recovery{Files: 1, Bytes: 5}, "recovered from an earlier mount: 1 file (5 B) is being committed"},
		{writeback.Recovery{Files: 2, Bytes: 3 << 20, Uploads: 1, Conflicts: 2}, "recovered from an earlier mount: 2 files (3 MiB) are being committed, " +
			"1 upload aborted, 2 files kept because another writer was first; see \"cosfuse recover\""},
	}
	for _, tt := range tests {
		if got := recovered(tt.r); got != tt.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", tt.r, got, tt.want)
		}
	}
}

func TestByteCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1023: "0.999 KiB", 1536: "1.5 KiB", 20 << 20: "20 MiB", 5 << 40: "5 TiB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestCommitMode(t *testing.T) {
	env := map[string]string{"HOME": "/h"}
	tc := newTestCLI(t)
	config := tc.write(t, "config.yaml", "commit: background\n", 0o600)
	tests := []struct {
		args []string
		want commitMode
	}{
		{nil, commitClose},
		{[]string{"--commit", "background"}, commitBackground},
		{[]string{"--config", config}, commitBackground},
		{[]string{"--config", config, "--commit=close"}, commitClose},
	}
	for _, tt := range tests {
		o, _, err := loadOptions(t, append(tt.args, "--region=ap-guangzhou", "--anonymous", "b-1", "/m"), env)
		if err != nil || o.commit != tt.want {
			t.Errorf("%v: got %v, %v, want %v", tt.args, o.commit, err, tt.want)
		}
	}
	var m commitMode
	if err := m.Set("later"); err == nil {
		t.Error("a mode that does not exist was taken")
	}
}
