package model

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"cosfuse/test/internal/treemodel"
)

// configs are the worlds that lists run in.
func configs() []treemodel.Config {
	more := func(m map[string]int) map[string]int { return treemodel.With(treemodel.Local(), m) }
	quiet := map[string]int{"sync": 2, "remount": 1, "age": 2, "look": 1}
	dying := map[string]int{"sync": 2, "kill": 3, "age": 1}
	// In a shared bucket the other client may take away what is still to be copied: that is not for this model.
	shared := map[string]int{"readdir": 0, "copy": 0, "splice": 0, "sync": 1, "switch": 8, "remoteput": 6, "remotedelete": 3}
	return []treemodel.Config{
		{Name: "close", Mix: treemodel.Mix{Weights: more(quiet), Soft: 5, Large: 4}},
		{Name: "close-killed", Mix: treemodel.Mix{Weights: more(dying), Kills: true, Large: 3}},
		{Name: "close-refused", Mix: treemodel.Mix{Weights: more(quiet), Soft: 5, Hard: 10, Large: 4}},
		{Name: "close-shared", Shared: true, Mix: treemodel.Mix{Weights: more(shared), Large: 2}},
		{Name: "background", Background: true, Mix: treemodel.Mix{Weights: more(quiet), Soft: 5, Large: 4}},
		{Name: "background-killed", Background: true, Mix: treemodel.Mix{Weights: more(dying), Kills: true, Large: 3}},
		{Name: "background-shared", Background: true, Shared: true, Mix: treemodel.Mix{Weights: more(shared), Large: 2}},
	}
}

// TestModel runs random lists in every configuration for an equal share of the time.
func TestModel(t *testing.T) {
	all := configs()
	share := duration() / time.Duration(len(all))
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			w := explorer{treemodel.NewWorld(t, c), c}
			if *replayFlag != "" {
				w.replay(t)
				return
			}
			w.explore(t, share)
		})
	}
}

// explorer runs lists in a world.
type explorer struct {
	*treemodel.World
	c treemodel.Config
}

// replay runs the operations of a file.
func (w explorer) replay(t *testing.T) {
	text, err := os.ReadFile(*replayFlag)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := treemodel.ReadOps(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ops); err != nil {
		t.Fatalf("%v\n%s", err, w.Log)
	}
}

// draw makes list i of the seed.
func (w explorer) draw(i int) []treemodel.Op {
	return w.c.Mix.Draw(rand.New(rand.NewPCG(*seedFlag, uint64(i))), *stepsFlag)
}

// explore runs lists until the time is up, and shortens the first that fails.
func (w explorer) explore(t *testing.T, share time.Duration) {
	start, steps := time.Now(), 0
	first := max(*caseFlag, 0)
	for i := first; ; i++ {
		ops := w.draw(i)
		if err := w.Run(ops); err != nil {
			w.report(t, i, ops, err)
			return
		}
		steps += len(ops)
		if *caseFlag >= 0 || time.Since(start) > share {
			t.Logf("seed %d: %d lists, %d operations agree", *seedFlag, i-first+1, steps)
			return
		}
	}
}

// report shortens a failing list and tells how to run it again.
func (w explorer) report(t *testing.T, i int, ops []treemodel.Op, err error) {
	t.Errorf("seed %d, list %d of %d operations: %v\nagain: go test ./test/model -run 'TestModel/^%s$' -args -model.seed=%d -model.case=%d -model.steps=%d",
		*seedFlag, i, len(ops), err, w.c.Name, *seedFlag, i, len(ops))
	t.Log(w.Log)
	short, last := treemodel.Shrink(ops, func(ops []treemodel.Op) error { return w.Run(ops) }, time.Minute)
	if last == nil {
		t.Log("it did not fail again")
		return
	}
	var lines strings.Builder
	for _, o := range short {
		lines.WriteString(o.String() + "\n")
	}
	t.Logf("%d operations are enough (-model.replay=FILE runs them): %v\n%s", len(short), last, lines.String())
}
