package fs

import (
	"fmt"
	"testing"
)

func TestChangesOverflow(t *testing.T) {
	c := NewChanges()
	for range 3 {
		c.Add("same")
	}
	if keys, _, overflow := c.take(); len(keys) != 1 || overflow {
		t.Errorf("%d keys, overflow %v, want one", len(keys), overflow)
	}
	for i := range maxChanges + 1 {
		c.Add(fmt.Sprint(i))
	}
	if keys, _, overflow := c.take(); len(keys) != maxChanges || !overflow {
		t.Errorf("%d keys, overflow %v, want %d and an overflow", len(keys), overflow, maxChanges)
	}
	if keys, _, overflow := c.take(); len(keys) != 0 || overflow {
		t.Errorf("%d keys, overflow %v after all were taken", len(keys), overflow)
	}
	<-c.wake
	select {
	case <-c.wake:
		t.Error("woken twice")
	default:
	}
}
