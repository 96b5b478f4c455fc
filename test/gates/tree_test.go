package gates

import (
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// faulty makes the server fail one request in twenty, by chance that depends on seed: refused, broken,
// lost before it was looked at, and applied without an answer.
func faulty(t testing.TB, b *mounttest.Bucket, seed uint64) {
	t.Helper()
	t.Logf("seed of the faults: %d", seed)
	var rules []cosserver.Rule
	for i, r := range []cosserver.Rule{
		{Action: cosserver.Fail, Status: 503},
		{Action: cosserver.Fail, Status: 500},
		{Action: cosserver.Reset},
		{Action: cosserver.Reset, When: cosserver.After},
	} {
		r.Probability, r.Seed = 0.05/4, seed*4+uint64(i)
		rules = append(rules, r)
	}
	b.Server.SetRules(rules)
}

// faultOptions shorten the time for which a key waits after a request without a reply: the rules of
// faulty never apply one late.
func faultOptions() mounttest.Options {
	return mounttest.Options{Store: writeback.Options{SettleTime: 50 * time.Millisecond}}
}

// wantFaults makes sure that the run met failures at all.
func wantFaults(t testing.TB, u mounttest.Usage) {
	t.Helper()
	var failed int64
	for _, o := range u.Stats {
		failed += o.Errors
	}
	if failed < u.Total()/50 {
		t.Errorf("%d of %d requests failed, want one in twenty: the test shows little", failed, u.Total())
	}
}

// tree is a directory to copy.
type tree struct {
	root        string
	sub         []string // what of it is copied; each becomes a directory at the top
	files, dirs int64
}

// sourceTree is Go's own source, or a part of it.
func sourceTree(t testing.TB, sub ...string) tree {
	t.Helper()
	needs(t, "go", "rsync", "diff", "find")
	goroot, err := command(t, []string{"HOME=" + t.TempDir()}, "go", "env", "GOROOT").Output()
	must(t, err)
	tr := tree{root: filepath.Join(strings.TrimSpace(string(goroot)), "src"), sub: sub}
	for _, s := range sub {
		must(t, filepath.WalkDir(filepath.Join(tr.root, s), func(_ string, e iofs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() {
				tr.dirs++
			} else {
				tr.files++
			}
			return nil
		}))
	}
	return tr
}

// env tells a script of the tree.
func (tr tree) env() string { return "SRC=" + strings.Join(tr.paths(), " ") }

func (tr tree) paths() []string {
	var out []string
	for _, s := range tr.sub {
		out = append(out, filepath.Join(tr.root, s))
	}
	return out
}

// inventory lists names, types, modes, owners, sizes of files, targets of links and times.
const inventory = `find . -type d -printf '%P %y %m %U:%G %T@\n' -o -printf '%P %y %m %U:%G %s %l %T@\n' | sort`

// wantCopy compares a mount with the tree that was copied to it: bytes, and everything that find and rsync
// see.
func (tr tree) wantCopy(t testing.TB, v *mounttest.Volume) {
	t.Helper()
	for _, path := range tr.paths() {
		env := []string{"SRC=" + path, "DST=" + v.Path(filepath.Base(path))}
		shell(t, `diff -r "$SRC" "$DST"`, env...)
		src, dst := shell(t, `cd "$SRC"; `+inventory, env...), shell(t, `cd "$DST"; `+inventory, env...)
		if src != dst {
			t.Errorf("%s: the copy differs: %s", path, firstDifference(src, dst))
		}
		if out := shell(t, `rsync -ai "$SRC/" "$DST/"`, env...); out != "" {
			t.Errorf("%s: rsync finds differences: %.400s", path, out)
		}
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("%q and %q", x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// TestCopyTree copies a real tree with cp -a and compares it through a mount with empty caches.
func TestCopyTree(t *testing.T) {
	tr := sourceTree(t, "net", "os", "cmd/go")
	if long() {
		tr = sourceTree(t, ".")
		tr.root, tr.sub = filepath.Dir(tr.root), []string{"src"}
	}
	v := newVolume(t, mounttest.Options{})
	u := v.Measure(t, func() { shell(t, `cp -a $SRC "$MNT/"`, tr.env(), mnt(v)) })
	logOps(t, u)
	wantAtMost(t, fmt.Sprintf("requests for %d files in %d directories", tr.files, tr.dirs), u.Total(), tr.files+2*tr.dirs+100)
	v.Remount(t)
	tr.wantCopy(t, v)
}

// TestCopyTreeFaults is TestCopyTree on a service that fails.
func TestCopyTreeFaults(t *testing.T) {
	tr := sourceTree(t, "net/http", "os")
	if long() {
		tr = sourceTree(t, "net", "os", "cmd/go")
	}
	v := newVolume(t, faultOptions())
	faulty(t, v.Bucket, 1)
	u := v.Measure(t, func() { shell(t, `cp -a $SRC "$MNT/"`, tr.env(), mnt(v)) })
	logOps(t, u)
	wantFaults(t, u)
	v.Remount(t)
	tr.wantCopy(t, v)
}

// TestRsync copies a small tree with rsync -a, which writes each file under another name first.
func TestRsync(t *testing.T) {
	needs(t, "rsync")
	const files = 40
	src := t.TempDir()
	for i := range files {
		must(t, os.WriteFile(filepath.Join(src, fmt.Sprintf("f%02d", i)), noise(uint64(i), 1000+i), 0o640))
	}
	v := newStoppedVolume(t, mounttest.Options{})
	shell(t, `ls -la "$MNT"`, mnt(v))
	u := v.Measure(t, func() { shell(t, `rsync -a "$SRC/" "$MNT/copy/"`, "SRC="+src, mnt(v)) })
	logOps(t, u)
	wantAtMost(t, "requests", u.Total(), 125)
	again := func() {
		t.Helper()
		if out := shell(t, `rsync -ai "$SRC/" "$MNT/copy/"`, "SRC="+src, mnt(v)); out != "" {
			t.Errorf("the second run transfers: %.400s", out)
		}
	}
	again()
	v.Remount(t)
	again()
}
