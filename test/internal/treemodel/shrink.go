package treemodel

import (
	"slices"
	"time"
)

// Shrink returns the shortest list it finds within the time that fails still, and how it fails. The error
// is nil if ops did not fail a second time.
func Shrink(ops []Op, run func([]Op) error, limit time.Duration) ([]Op, error) {
	deadline := time.Now().Add(limit)
	last := run(ops)
	if last == nil {
		return ops, nil
	}
	try := func(candidate []Op) bool {
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
func simplify(o Op) []Op {
	var out []Op
	add := func(change func(*Op)) {
		s := o
		change(&s)
		if s != o {
			out = append(out, s)
		}
	}
	add(func(s *Op) { s.Kill = 0 })
	add(func(s *Op) { s.Fault = nil })
	add(func(s *Op) { s.Len = min(s.Len, 3) })
	add(func(s *Op) { s.Off = 0 })
	return out
}
