package cache

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// Table is a bounded map that forgets the least recently used entry first and remembers when each
// value was confirmed. It knows no expiry: callers compare the time with the age they accept.
type Table[V any] struct {
	max int
	now func() time.Time

	mu    sync.Mutex // guards the fields below
	items map[string]*list.Element
	order list.List // of *tableItem[V], most recently used first
}

// tableItem is one entry of a Table.
type tableItem[V any] struct {
	key   string
	value V
	at    time.Time
}

// NewTable returns a table of at most max entries; less than one counts as one. A nil now is
// time.Now.
func NewTable[V any](max int, now func() time.Time) *Table[V] {
	if now == nil {
		now = time.Now
	}
	t := &Table[V]{max: max, now: now, items: make(map[string]*list.Element)}
	if t.max < 1 {
		t.max = 1
	}
	return t
}

// Get returns the value of key and when it was confirmed.
func (t *Table[V]) Get(key string) (v V, at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.items[key]
	if !ok {
		return v, at, false
	}
	t.order.MoveToFront(e)
	it := e.Value.(*tableItem[V])
	return it.value, it.at, true
}

// Put stores v as confirmed now.
func (t *Table[V]) Put(key string, v V) { t.PutAt(key, v, t.now()) }

// PutAt stores v as confirmed at the given time: the moment the question was asked, not the moment
// the answer arrived. A value confirmed later than that is kept instead.
func (t *Table[V]) PutAt(key string, v V, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.items[key]
	if !ok {
		t.items[key] = t.order.PushFront(&tableItem[V]{key: key, value: v, at: at})
		t.trimLocked()
		return
	}
	t.order.MoveToFront(e)
	if it := e.Value.(*tableItem[V]); !at.Before(it.at) {
		it.value, it.at = v, at
	}
}

// All calls fn with every entry, in no order. fn must not use the table.
func (t *Table[V]) All(fn func(key string, v V, at time.Time)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, e := range t.items {
		it := e.Value.(*tableItem[V])
		fn(key, it.value, it.at)
	}
}

// Drop forgets key.
func (t *Table[V]) Drop(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.items[key]; ok {
		t.removeLocked(e)
	}
}

// DropPrefix forgets every key that begins with prefix. It looks at every entry.
func (t *Table[V]) DropPrefix(prefix string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, e := range t.items {
		if strings.HasPrefix(key, prefix) {
			t.removeLocked(e)
		}
	}
}

// Len returns the number of entries.
func (t *Table[V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.items)
}

func (t *Table[V]) trimLocked() {
	for len(t.items) > t.max {
		t.removeLocked(t.order.Back())
	}
}

func (t *Table[V]) removeLocked(e *list.Element) {
	delete(t.items, e.Value.(*tableItem[V]).key)
	t.order.Remove(e)
}
