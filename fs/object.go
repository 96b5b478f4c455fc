package fs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/writeback"
)

// object is what a name turned out to be.
type object struct {
	key     string // ends in "/" for a directory
	ver     writeback.Version
	attr    writeback.Attr
	ctime   time.Time // zero: as mtime
	size    int64
	bare    bool      // a directory with no marker: the prefix alone, or an old marker
	old     bool      // a directory that an old marker stands for
	gone    bool      // unlinked
	asked   time.Time // the service or a change of ours vouches for it as of then
	pending bool      // something of it is not in the bucket yet
	fluid   bool      // being changed here: attributes may not be cached
	dirty   bool      // the bytes are not those of ver any more
}

const (
	dirSize     = 4096
	fileBlksize = 4096
)

// mtime is the stored one, else the time at which the service got the version.
func (o *object) mtime() time.Time {
	if !o.attr.Mtime.IsZero() {
		return o.attr.Mtime
	}
	return o.ver.LastModified
}

// fill writes stat(2)'s view of o. A read does not change the access time: it is as it was set, or follows
// mtime.
func (o *object) fill(out *fuse.Attr) {
	out.Mode = o.attr.Mode
	out.Uid, out.Gid = o.attr.UID, o.attr.GID
	out.Nlink = 1
	out.Size = uint64(o.size)
	out.Blksize = fileBlksize
	if isDirKey(o.key) || o.attr.Mode&typeMask == fuse.S_IFDIR {
		out.Nlink = 2
		out.Size = dirSize
	}
	if o.gone {
		out.Nlink = 0
	}
	if o.attr.IsDevice() {
		out.Rdev = deviceNumber(o.attr.Major, o.attr.Minor)
	}
	out.Blocks = (out.Size + 511) / 512
	mtime := o.mtime()
	setTime(&out.Mtime, &out.Mtimensec, mtime)
	atime := o.attr.Atime
	if atime.IsZero() {
		atime = mtime
	}
	setTime(&out.Atime, &out.Atimensec, atime)
	setTime(&out.Ctime, &out.Ctimensec, o.changeTime())
}

// changeTime is when this mount changed the object, or else the service got the version.
func (o *object) changeTime() time.Time {
	switch {
	case !o.ctime.IsZero():
		return o.ctime
	case !o.ver.LastModified.IsZero():
		return o.ver.LastModified
	}
	return o.mtime()
}

// setTime writes t; the zero Time is the epoch.
func setTime(sec *uint64, nsec *uint32, t time.Time) {
	if t.IsZero() {
		*sec, *nsec = 0, 0
		return
	}
	*sec, *nsec = uint64(t.Unix()), uint32(t.Nanosecond())
}

// remaining is how long something that was true at asked may still be believed.
func (m *Mount) remaining(asked time.Time) time.Duration {
	return max(m.o.MetaTTL-m.o.Now().Sub(asked), 0)
}

// timeouts returns how long the kernel may keep the name and the attributes of o.
func (m *Mount) timeouts(o *object) (entry, attr time.Duration) {
	entry = m.remaining(o.asked)
	if o.fluid {
		return entry, 0
	}
	return entry, entry
}

// fillShown writes stat(2)'s view of o as the mount shows it.
func (m *Mount) fillShown(out *fuse.Attr, o *object) {
	o.fill(out)
	m.o.Shown.apply(out, o.key == m.o.Prefix || o.key == "/")
}

// fillEntry writes the answer to a lookup.
func (m *Mount) fillEntry(out *fuse.EntryOut, o *object) {
	m.fillShown(&out.Attr, o)
	entry, attr := m.timeouts(o)
	out.SetEntryTimeout(entry)
	out.SetAttrTimeout(attr)
}

// fillAttr writes the answer to a getattr or setattr.
func (m *Mount) fillAttr(out *fuse.AttrOut, o *object) {
	m.fillShown(&out.Attr, o)
	_, attr := m.timeouts(o)
	out.SetTimeout(attr)
}

// fileObject describes a File in use here.
func fileObject(s writeback.Stat, now time.Time) object {
	return object{
		key: s.Key, ver: s.Base, attr: s.Attr, ctime: s.Ctime, size: s.Size,
		gone: s.Unlinked, asked: now, pending: s.Dirty, fluid: s.DirtyData || !s.MtimeKnown, dirty: s.DirtyData,
	}
}
