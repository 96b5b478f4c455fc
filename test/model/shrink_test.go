package model

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// shrink returns the shortest list it finds within the time that fails still, and how it fails. The error
// is nil if ops did not fail a second time.
func shrink(ops []op, run func([]op) error, limit time.Duration) ([]op, error) {
	deadline := time.Now().Add(limit)
	last := run(ops)
	if last == nil {
		return ops, nil
	}
	try := func(candidate []op) bool {
		if time.Now().After(deadline) {
			return false
		}
		err := run(candidate)
		if err == nil {
			return false
		}
		ops, last = candidate, err
		return true
	}
	for size := len(ops) / 2; size > 0; {
		cut := false
		for at := 0; at+size <= len(ops); {
			if try(slices.Delete(slices.Clone(ops), at, at+size)) {
				cut = true
				continue
			}
			at += size
		}
		if size > 1 || !cut {
			size /= 2
		}
	}
	for i := range ops {
		for _, simpler := range simplify(ops[i]) {
			candidate := slices.Clone(ops)
			candidate[i] = simpler
			try(candidate)
		}
	}
	return ops, last
}

// simplify returns operations that do less than o.
func simplify(o op) []op {
	var out []op
	add := func(change func(*op)) {
		s := o
		change(&s)
		if s != o {
			out = append(out, s)
		}
	}
	add(func(s *op) { s.Kill = 0 })
	add(func(s *op) { s.Fault = nil })
	add(func(s *op) { s.Len = min(s.Len, 3) })
	add(func(s *op) { s.Off = 0 })
	return out
}

var errShrink = errors.New("both are there")

func TestShrink(t *testing.T) {
	var ops []op
	for i := range 40 {
		ops = append(ops, op{Op: "put", Len: int64(i)})
	}
	short, err := shrink(ops, func(ops []op) error {
		has := func(n int64) bool { return slices.ContainsFunc(ops, func(o op) bool { return o.Len == n }) }
		if has(7) && has(31) {
			return errShrink
		}
		return nil
	}, time.Minute)
	if err != errShrink || len(short) != 2 || short[0].Len != 7 || short[1].Len != 31 {
		t.Errorf("got %v (%v), want the operations 7 and 31", short, err)
	}
}
