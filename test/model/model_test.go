package model

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// configs are the worlds that lists run in.
func configs() []config {
	more := func(m map[string]int) map[string]int { return with(local(), m) }
	quiet := map[string]int{"sync": 2, "remount": 1, "age": 2, "look": 1}
	dying := map[string]int{"sync": 2, "kill": 3, "age": 1}
	shared := map[string]int{"readdir": 0, "sync": 1, "switch": 8, "remoteput": 6, "remotedelete": 3}
	return []config{
		{name: "close", mix: mix{weights: more(quiet), soft: 5, large: 4}},
		{name: "close-killed", mix: mix{weights: more(dying), kills: true, large: 3}},
		{name: "close-refused", mix: mix{weights: more(quiet), soft: 5, hard: 10, large: 4}},
		{name: "close-shared", shared: true, mix: mix{weights: more(shared), large: 2}},
		{name: "background", background: true, mix: mix{weights: more(quiet), soft: 5, large: 4}},
		{name: "background-killed", background: true, mix: mix{weights: more(dying), kills: true, large: 3}},
		{name: "background-shared", background: true, shared: true, mix: mix{weights: more(shared), large: 2}},
	}
}

// TestModel runs random lists in every configuration for an equal share of the time.
func TestModel(t *testing.T) {
	all := configs()
	share := duration() / time.Duration(len(all))
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c)
			if *replayFlag != "" {
				w.replay(t)
				return
			}
			w.explore(t, share)
		})
	}
}

// replay runs the operations of a file.
func (w *world) replay(t *testing.T) {
	text, err := os.ReadFile(*replayFlag)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := readOps(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(ops); err != nil {
		t.Fatalf("%v\n%s", err, w.log)
	}
}

// draw makes list i of the seed.
func (w *world) draw(i int) []op {
	return w.c.mix.draw(rand.New(rand.NewPCG(*seedFlag, uint64(i))), *stepsFlag)
}

// explore runs lists until the time is up, and shortens the first that fails.
func (w *world) explore(t *testing.T, share time.Duration) {
	start, steps := time.Now(), 0
	first := max(*caseFlag, 0)
	for i := first; ; i++ {
		ops := w.draw(i)
		if err := w.run(ops); err != nil {
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
func (w *world) report(t *testing.T, i int, ops []op, err error) {
	t.Errorf("seed %d, list %d of %d operations: %v\nagain: go test ./test/model -run 'TestModel/^%s$' -args -model.seed=%d -model.case=%d -model.steps=%d",
		*seedFlag, i, len(ops), err, w.c.name, *seedFlag, i, len(ops))
	t.Log(w.log)
	short, last := shrink(ops, func(ops []op) error { return w.run(ops) }, time.Minute)
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
