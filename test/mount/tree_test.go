package mount

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cosfuse/test/internal/mounttest"
)

// sampleTree makes a tree with modes, times and a link, as a source to copy.
func sampleTree(t *testing.T, dirs, filesEach int) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	var made []string
	for d := range dirs {
		dir := filepath.Join(root, fmt.Sprintf("d%d", d%7), fmt.Sprintf("e%d", d))
		must(t, os.MkdirAll(dir, 0o755))
		made = append(made, dir)
		for f := range filesEach {
			path := filepath.Join(dir, fmt.Sprintf("f%d", f))
			must(t, os.WriteFile(path, noise(uint64(d*filesEach+f), 100*f), 0o640))
			must(t, os.Chtimes(path, time.Time{}, time.Unix(1e9+int64(f), int64(d))))
		}
	}
	must(t, os.Symlink("d1/e1/f1", filepath.Join(root, "link")))
	for _, dir := range made {
		must(t, os.Chtimes(dir, time.Time{}, time.Unix(1.1e9, 0)))
	}
	return root
}

// run runs a program and returns what it says.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// TestCopyTree copies a tree with cp -a, compares it through a fresh mount, and holds the number of
// requests.
func TestCopyTree(t *testing.T) {
	const dirs, filesEach = 40, 8
	src := sampleTree(t, dirs, filesEach)
	v := mounttest.New(t, mounttest.Options{Log: true})
	run(t, "cp", "-a", src, v.Dir+"/")
	must(t, v.Store.Sync(t.Context(), ""))
	files, allDirs := dirs*filesEach+1, dirs+7+1
	if got, most := v.Server.Stats().Requests(), int64(files+2*allDirs+20); got > most {
		t.Errorf("%d requests, want at most %d: %+v", got, most, v.Server.Stats())
	}
	v.Remount(t)
	run(t, "diff", "-r", src, v.Path("tree"))
	t.Run("rsync", func(t *testing.T) {
		if out := run(t, "rsync", "-ai", src+"/", v.Path("tree")+"/"); out != "" {
			t.Errorf("rsync finds a difference: %.400s", out)
		}
	})
}

func TestGit(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	repo := v.Path("repo")
	git := func(args ...string) string {
		t.Helper()
		return run(t, "git", append([]string{"-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*"}, args...)...)
	}
	must(t, os.Mkdir(repo, 0o755))
	git("init", "-q")
	for i := range 20 {
		write(t, filepath.Join(repo, fmt.Sprintf("f%d", i)), noise(uint64(i), 1000))
	}
	git("add", ".")
	git("commit", "-qm", "twenty files")
	v.Remount(t)
	git("fsck", "--strict")
	if out := git("status", "--porcelain"); out != "" {
		t.Errorf("git sees changes: %s", out)
	}
}
