package fs

import (
	"bytes"
	"maps"
	"time"
)

// A directory has no object that changes when a name in it does, and one request for each such change,
// to give its marker a time, would cost more than the change. So these times are this mount's knowledge
// alone: they are shown as long as the kernel knows the directory, and kept nowhere.

// touch notes that a name in the directory n has just changed.
func (n *node) touch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.touched = n.m.o.Now()
}

// dated notes that somebody set the time of n: what changed before counts no more.
func (n *node) dated() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.touched = time.Time{}
}

// redate makes the next answer take whatever ctime there is then: n is being changed.
func (n *node) redate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last.key = ""
}

// overlay lays over o, which describes n, what only this mount knows of its times. A ctime once told stays
// until something else changes: that a change made here reaches the service, which dates it by a clock of its
// own in whole seconds, is none, and tar would say that the file changed while it was read.
func (n *node) overlay(o *object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last.alike(o) {
		o.ctime = n.last.changeTime()
	}
	if n.touched.After(o.mtime()) {
		o.attr.Mtime = n.touched
	}
	if n.touched.After(o.ctime) {
		o.ctime = n.touched
	}
}

// alike reports whether p and o show the same state of an object: the same version, or one of them before
// there was any in the service, with the same attributes.
func (p *object) alike(o *object) bool {
	sameVersion := p.ver.Absent() || o.ver.Absent() || p.ver.Same(o.ver)
	a, b := &p.attr, &o.attr
	return p.key == o.key && p.key != "" && sameVersion && p.size == o.size && p.mtime().Equal(o.mtime()) &&
		a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Atime.Equal(b.Atime) && maps.EqualFunc(a.Xattrs, b.Xattrs, bytes.Equal)
}

// deviceNumber is a device's number as the kernel's protocol has it: 12 bits of major number between the two
// parts of 20 bits of minor number.
func deviceNumber(major, minor uint32) uint32 {
	return minor&0xff | major&0xfff<<8 | minor>>8&0xfff<<20
}

// splitDevice is the inverse of deviceNumber.
func splitDevice(dev uint32) (major, minor uint32) {
	return dev >> 8 & 0xfff, dev&0xff | dev>>20<<8
}
