package cache

import (
	"testing"
	"time"
)

func TestTableForgetsLeastRecentlyUsed(t *testing.T) {
	tb := NewTable[int](2, nil)
	tb.Put("a", 1)
	tb.Put("b", 2)
	if _, _, ok := tb.Get("a"); !ok {
		t.Fatal("a is gone")
	}
	tb.Put("c", 3)
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, _, ok := tb.Get(key); ok != want {
			t.Errorf("%s there: %v, want %v", key, ok, want)
		}
	}
	if tb.Len() != 2 {
		t.Errorf("Len is %d", tb.Len())
	}
}

func TestTableRemembersWhenConfirmed(t *testing.T) {
	now := time.Unix(100, 0)
	tb := NewTable[string](10, func() time.Time { return now })
	tb.Put("a", "new")
	tb.PutAt("a", "late answer to an old question", now.Add(-time.Second))
	if v, at, ok := tb.Get("a"); !ok || v != "new" || !at.Equal(now) {
		t.Errorf("got %q, %v, %v", v, at, ok)
	}
	tb.PutAt("a", "newer", now.Add(time.Second))
	if v, at, _ := tb.Get("a"); v != "newer" || !at.Equal(now.Add(time.Second)) {
		t.Errorf("got %q, %v", v, at)
	}
}

func TestTableDrop(t *testing.T) {
	tb := NewTable[int](0, nil)
	tb.Put("only", 1)
	if tb.Len() != 1 {
		t.Error("a table of no entries keeps none")
	}
	tb = NewTable[int](10, nil)
	for _, key := range []string{"d/", "d/a", "d", "da", "e"} {
		tb.Put(key, 1)
	}
	tb.DropPrefix("d/")
	tb.Drop("e")
	tb.Drop("never there")
	for key, want := range map[string]bool{"d/": false, "d/a": false, "d": true, "da": true, "e": false} {
		if _, _, ok := tb.Get(key); ok != want {
			t.Errorf("%s there: %v, want %v", key, ok, want)
		}
	}
}
