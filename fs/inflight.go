package fs

import (
	"strings"
	"time"
)

// change is one of a key, or of all keys that begin with it, made here.
type change struct {
	key  string
	tree bool
}

// maxInflightChanges bounds the memory of changes; looking through them costs less than the request that asks.
const maxInflightChanges = 512

// changes remembers what was changed while requests were in flight.
type changes struct {
	list []change
	lost uint64 // changes before list that were forgotten
}

// count is how many changes there were.
func (c *changes) count() uint64 { return c.lost + uint64(len(c.list)) }

func (c *changes) add(n change) {
	if len(c.list) == maxInflightChanges {
		const half = maxInflightChanges / 2
		c.list = append(c.list[:0], c.list[half:]...)
		c.lost += half
	}
	c.list = append(c.list, n)
}

// since reports whether key may have been changed when there had been mark changes already.
func (c *changes) since(key string, mark uint64) bool {
	if mark < c.lost {
		return true
	}
	for _, n := range c.list[mark-c.lost:] {
		if n.key == key || n.tree && strings.HasPrefix(key, n.key) {
			return true
		}
	}
	return false
}

// query is a request in flight: what it tells may be of before the changes that were made since.
type query struct {
	asked time.Time
	mark  uint64
}

// beginLocked begins a request. Its end is landed.
func (fs *facts) beginLocked() query {
	fs.flying++
	return query{asked: fs.m.o.Now(), mark: fs.changes.count()}
}

// begin is beginLocked for a caller that does not hold the lock.
func (fs *facts) begin() query {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.beginLocked()
}

// landed is the end of a request in flight.
func (fs *facts) landed() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.flying--; fs.flying == 0 {
		fs.changes = changes{}
	}
}

// keep runs put, which stores what q told of key, unless key was changed here since q began.
func (fs *facts) keep(key string, q query, put func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.changes.since(key, q.mark) {
		put()
	}
}

// changed notes that key, or everything below it, was changed here: requests in flight may tell of before.
func (fs *facts) changed(key string, tree bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.flying > 0 {
		fs.changes.add(change{key: key, tree: tree})
	}
}
