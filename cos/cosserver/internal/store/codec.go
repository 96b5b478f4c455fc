package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

var errCorrupt = errors.New("corrupt record")

// encoder builds a record: a version byte, then fields without names. A record of another version
// is refused, never guessed at.
type encoder struct{ b []byte }

func newEncoder(version byte) *encoder {
	return &encoder{b: append(make([]byte, 0, 256), version)}
}

func (e *encoder) uint(v uint64)  { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bytes(v []byte) { e.b = append(e.b, v...) }

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
		return
	}
	e.b = append(e.b, 0)
}

// time is in milliseconds; the zero time is 0.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.int(0)
		return
	}
	e.int(t.UnixMilli())
}

func (e *encoder) pairs(ps []Pair) {
	e.uint(uint64(len(ps)))
	for _, p := range ps {
		e.string(p.Name)
		e.string(p.Value)
	}
}

func (e *encoder) acl(a *ACL) {
	e.string(a.Canned)
	e.uint(uint64(len(a.Grants)))
	for _, g := range a.Grants {
		e.string(g.Grantee)
		e.string(g.Permission)
	}
}

func (e *encoder) attrs(a *Attrs) {
	e.pairs(a.Headers)
	e.pairs(a.Meta)
	e.string(a.StorageClass)
	e.acl(&a.ACL)
	e.pairs(a.Tags)
	e.string(a.SSE.Algorithm)
	e.string(a.SSE.KMSKeyID)
	e.string(a.SSE.KMSContext)
	e.string(a.SSE.CustomerKeyMD5)
}

func (e *encoder) extents(xs []extent) {
	e.uint(uint64(len(xs)))
	for _, x := range xs {
		e.bytes(x.file[:])
		e.int(x.off)
		e.int(x.size)
	}
}

// decoder reads what encoder wrote. The first error sticks and later reads yield zero values.
type decoder struct {
	b   []byte
	err error
}

func newDecoder(what string, b []byte, version byte) *decoder {
	if len(b) == 0 || b[0] != version {
		return &decoder{err: fmt.Errorf("%s record of an unknown version: %w", what, errCorrupt)}
	}
	return &decoder{b: b[1:]}
}

func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errCorrupt
	}
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the length of a list whose items take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	return string(d.take(d.count(1)))
}

func (d *decoder) bool() bool {
	v := d.take(1)
	return len(v) == 1 && v[0] == 1
}

func (d *decoder) id(v *id) { copy(v[:], d.take(len(v))) }

func (d *decoder) time() time.Time {
	ms := d.int()
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (d *decoder) pairs() []Pair {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	ps := make([]Pair, n)
	for i := range ps {
		ps[i] = Pair{Name: d.string(), Value: d.string()}
	}
	return ps
}

func (d *decoder) acl(a *ACL) {
	a.Canned = d.string()
	n := d.count(2)
	for range n {
		a.Grants = append(a.Grants, Grant{Grantee: d.string(), Permission: d.string()})
	}
}

func (d *decoder) attrs(a *Attrs) {
	a.Headers = d.pairs()
	a.Meta = d.pairs()
	a.StorageClass = d.string()
	d.acl(&a.ACL)
	a.Tags = d.pairs()
	a.SSE.Algorithm = d.string()
	a.SSE.KMSKeyID = d.string()
	a.SSE.KMSContext = d.string()
	a.SSE.CustomerKeyMD5 = d.string()
}

func (d *decoder) extents() []extent {
	n := d.count(18)
	if n == 0 {
		return nil
	}
	xs := make([]extent, n)
	for i := range xs {
		d.id(&xs[i].file)
		xs[i].off = d.int()
		xs[i].size = d.int()
	}
	return xs
}
