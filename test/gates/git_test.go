package gates

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// gitEnv makes git depend on nothing but the script.
var gitEnv = []string{
	"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org",
	"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
}

// TestGit commits 100 files in background mode. What git only holds for a moment, its locks and temporary
// files, never reaches the service.
func TestGit(t *testing.T) {
	needs(t, "git", "find")
	const files = 100
	src := t.TempDir()
	for i := range files {
		must(t, os.WriteFile(filepath.Join(src, fmt.Sprintf("f%03d", i)), noise(uint64(i), 500+i), 0o644))
	}
	v := newStoppedVolume(t, mounttest.Options{Store: writeback.Options{Background: true}})
	shell(t, `ls -la "$MNT"`, mnt(v))
	env := append(gitEnv, mnt(v), "SRC="+src)
	u := v.Measure(t, func() {
		shell(t, `cd "$MNT"; mkdir repo; cp "$SRC"/* repo; cd repo; git init -q; git add .; git commit -qm hundred`, env...)
	})
	logOps(t, u)
	for _, r := range u.Log {
		if strings.HasSuffix(r.Key, ".lock") || strings.Contains(r.Key, "tmp_obj_") {
			t.Errorf("%s of %s, want no request", r.Op, r.Key)
		}
	}
	v.Remount(t)
	count := func(expr string) (n int64) {
		t.Helper()
		_, err := fmt.Sscan(shell(t, `cd "$MNT"; find repo `+expr+` | wc -l`, mnt(v)), &n)
		must(t, err)
		return n
	}
	final, dirs := count(`-path repo/.git/\* -type f`), count(`-path repo/.git\* -type d`)
	wantAtMost(t, fmt.Sprintf("requests for %d files and %d directories of git's and %d files", final, dirs, files),
		u.Total(), final+dirs+files+1+20)
	if out := shell(t, `cd "$MNT/repo"; git fsck --strict; git status --porcelain; diff -r -x .git "$SRC" .`, env...); out != "" {
		t.Errorf("after a remount: %s", out)
	}
}
