package crash

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cosfuse/test/internal/treemodel"
	"cosfuse/writeback"
)

// TestFailpoints lets the mount die at the failpoints that each workload passes, and while it recovers from
// that.
func TestFailpoints(t *testing.T) {
	var passed names
	var ran atomic.Int64
	t.Run("mode", func(t *testing.T) {
		for i, mode := range modes() {
			for _, w := range workloads {
				t.Run(mode.Name+"/"+w.name, func(t *testing.T) {
					t.Parallel()
					ran.Add(1)
					ops, err := treemodel.ReadOps(w.ops)
					if err != nil {
						t.Fatal(err)
					}
					counts := record(t, mode, ops)
					for name := range counts {
						passed.add(name)
					}
					die(t, mode, ops, func(name string) []int { return passes(counts[name], i == 0) }, &passed)
				})
			}
		}
	})
	if int(ran.Load()) < len(modes())*len(workloads) {
		return // -run chose some
	}
	for _, name := range writeback.Failpoints() {
		if !passed.has(name) && !t.Failed() && !rare[name] {
			t.Errorf("no workload passes %s", name)
		}
	}
}

// names is a set of failpoints.
type names struct{ m sync.Map }

func (n *names) add(name string) { n.m.Store(name, true) }

func (n *names) has(name string) bool {
	_, ok := n.m.Load(name)
	return ok
}

// rare are failpoints that only failing requests lead to: random kills and single faults pass them.
var rare = map[string]bool{"upload.aborted": true}

// record runs a workload to its end and counts the failpoints on the way.
func record(t *testing.T, c treemodel.Config, ops []treemodel.Op) map[string]int {
	t.Helper()
	c.Record = filepath.Join(t.TempDir(), "passed")
	w := treemodel.NewWorld(t, c)
	if err := errors.Join(w.Run(ops), w.Fresh()); err != nil {
		t.Fatalf("%v\n%s", err, w.Log)
	}
	text, err := os.ReadFile(c.Record)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for name := range bytes.FieldsSeq(text) {
		counts[string(name)]++
	}
	return counts
}

// passes are those out of n at which to die: all, or in the short form the first one or the last.
func passes(n int, last bool) []int {
	var out []int
	for i := 1; i <= n; i++ {
		if *allFlag || long() || !last && i == 1 || last && i == n {
			out = append(out, i)
		}
	}
	return out
}

// die runs the workload once for each passing, with a death there; and for some once more, with a second
// death at a step of the recovery from it.
func die(t *testing.T, c treemodel.Config, ops []treemodel.Op, passes func(name string) []int, passed *names) {
	died, runs := 0, 0
	for _, name := range writeback.Failpoints() {
		if strings.HasPrefix(name, "recover.") {
			continue
		}
		for _, pass := range passes(name) {
			deaths := []treemodel.Death{{Failpoint: name, Pass: pass}}
			if again := againAt(name); again != "" {
				deaths = append(deaths, treemodel.Death{Failpoint: again})
			}
			n := dieAt(t, c, ops, deaths)
			if runs++; n > 0 {
				died++
			}
			if n > 1 {
				passed.add(deaths[1].Failpoint)
			}
		}
	}
	t.Logf("%d runs, the mount died in %d", runs, died)
	if died == 0 {
		t.Error("the mount never died")
	}
}

// againAt is the step of the recovery at which to die for a second time, after a death at name.
func againAt(name string) string {
	switch name {
	case "tree.copied", "tree.recorded", "tree.copy":
		return "tree.copy"
	case "tree.deleted":
		return "recover.rename"
	case "remove.recorded", "batch.sent", "doomed.deleted":
		return "recover.removal"
	case "upload.initiated", "upload.recorded", "upload.part", "upload.sent":
		return "recover.upload"
	case "commit.published", "append.sent":
		return "settle.asked"
	case "commit.frozen":
		return "recover.loaded"
	case "persist.done":
		return "recover.replayed"
	case "commit.attempt":
		return "commit.attempt"
	}
	return ""
}

// dieAt runs the workload with these deaths, and returns how many of them there were.
func dieAt(t *testing.T, c treemodel.Config, ops []treemodel.Op, deaths []treemodel.Death) int {
	t.Helper()
	c.Deaths = deaths
	w := treemodel.NewWorld(t, c)
	if err := w.Run(slices.Clone(ops)); err != nil {
		t.Errorf("%+v: %v\n%s", deaths, err, w.Log)
		return 0
	}
	died := w.Died
	if err := w.Fresh(); err != nil {
		t.Error(err)
	}
	return died
}
