package fs

import (
	"context"
	"time"

	"cosfuse/writeback"
)

// plainly reports whether objects are shown as listings tell of them.
func (m *Mount) plainly() bool { return m.o.Attributes == FromListings }

// plain takes from o what a listing does not tell, unless it is on its way to the service.
func (m *Mount) plain(o *object) {
	if !m.plainly() || o.pending || o.key == "" {
		return
	}
	o.attr = writeback.DefaultAttr(o.key, m.o.Defaults)
	o.ctime = o.ver.LastModified
}

// listedObject describes the object of q as its listing does.
func (m *Mount) listedObject(q *question) object {
	v := writeback.Version{ETag: q.file.ETag, Size: q.file.Size, LastModified: q.file.LastModified}
	if m.o.Consistency == Relaxed {
		v.Confirmed = q.listing.Started // as far as listings do not lag
	}
	return object{key: q.key, ver: v, attr: writeback.DefaultAttr(q.key, m.o.Defaults), size: v.Size, asked: q.listing.Started}
}

// whole completes o, of which a listing has told, before it is opened or changed: a commit replaces metadata as a
// whole, and must know what it replaces.
func (m *Mount) whole(ctx context.Context, o object) (object, error) {
	if !m.plainly() || isDirKey(o.key) || o.attr.Known || o.ver.Absent() || o.gone {
		return o, nil
	}
	f, at, ok := m.facts.known(o.key, time.Time{}, m.o.Now())
	if ok && f.found && f.attr.Known && f.ver.Same(o.ver) {
		return m.factObject(o.key, f, at), nil
	}
	return m.headObject(o.key, func() (fact, time.Time, error) { return m.facts.head(ctx, o.key) })
}
