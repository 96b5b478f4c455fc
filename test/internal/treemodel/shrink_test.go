package treemodel

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var errShrink = errors.New("both are there")

func TestShrink(t *testing.T) {
	var ops []Op
	for i := range 40 {
		ops = append(ops, Op{Op: "put", Len: int64(i)})
	}
	short, err := Shrink(ops, func(ops []Op) error {
		has := func(n int64) bool { return slices.ContainsFunc(ops, func(o Op) bool { return o.Len == n }) }
		if has(7) && has(31) {
			return errShrink
		}
		return nil
	}, time.Minute)
	if err != errShrink || len(short) != 2 || short[0].Len != 7 || short[1].Len != 31 {
		t.Errorf("got %v (%v), want the operations 7 and 31", short, err)
	}
}
