package writeback

import (
	"context"
	"errors"
	"testing"
)

// running reports whether a turn may work.
func running(n *turn) bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

// TestTurnsKeepOrder runs the rules of the queue on one line of arrivals.
func TestTurnsKeepOrder(t *testing.T) {
	var q turns
	a := q.enter([]string{"a"}, nil)
	ab := q.enter([]string{"a", "b"}, nil)
	b := q.enter([]string{"b"}, nil)
	c := q.enter([]string{"c"}, nil)
	if !running(a) || running(ab) || running(b) || !running(c) {
		t.Fatal("only a and c may run: b came after a turn on both")
	}
	a.done()
	if !running(ab) || running(b) {
		t.Fatal("the turn on a and b comes before b's")
	}
	ab.done()
	if !running(b) {
		t.Fatal("b must run now")
	}
	b.done()
	c.done()
	if len(q.active) != 0 {
		t.Fatalf("%d turns left", len(q.active))
	}
}

// TestTurnsTree orders a directory's rename with everything below it.
func TestTurnsTree(t *testing.T) {
	var q turns
	file := q.enter([]string{"d/x/f"}, nil)
	tree := q.enter(nil, []string{"d/", "e/"})
	inner := q.enter([]string{"d/y"}, nil)
	marker := q.enter([]string{"d/"}, nil)
	above := q.enter(nil, []string{"e/z/"})
	other := q.enter([]string{"dd/y"}, nil)
	if !running(file) || running(tree) || running(inner) || running(marker) || running(above) || !running(other) {
		t.Fatal("a tree waits for what is below it, and what is below waits for the tree")
	}
	file.done()
	if !running(tree) || running(inner) || running(above) {
		t.Fatal("the tree's turn")
	}
	tree.done()
	if !running(inner) || !running(marker) || !running(above) {
		t.Fatal("all below may go on")
	}
}

// TestTurnsGivenUp lets those behind a waiter that went away keep waiting for those in front of it.
func TestTurnsGivenUp(t *testing.T) {
	var q turns
	a := q.enter([]string{"k"}, nil)
	b := q.enter([]string{"k"}, nil)
	c := q.enter([]string{"k"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if running(c) {
		t.Fatal("c must still wait for a")
	}
	a.done()
	if !running(c) {
		t.Fatal("c's turn")
	}
}
