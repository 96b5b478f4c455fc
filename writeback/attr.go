package writeback

import (
	"syscall"
	"time"

	"cosfuse/cos"
)

// Version names one content of an object. The zero value means that there is no object.
type Version struct {
	ETag         string // without quotes; "" = absent
	Size         int64
	LastModified time.Time // whole seconds; zero when only our own write's answer told of the version
	CRC64        uint64    // valid if HasCRC64
	HasCRC64     bool
	Appendable   bool
	VersionID    string    // "" unless the bucket keeps versions and told it
	Confirmed    time.Time // local time at which the service last said that this version is current
}

// Absent reports whether there is no object.
func (v Version) Absent() bool { return v.ETag == "" }

// Same reports whether both name the same content.
func (v Version) Same(w Version) bool { return v.ETag == w.ETag && v.Size == w.Size }

// VersionOf is the version that a HEAD or GET answer describes, confirmed at now.
func VersionOf(i *cos.ObjectInfo, now time.Time) Version {
	return Version{ETag: i.ETag, Size: i.Size, LastModified: i.LastModified, CRC64: i.CRC64,
		HasCRC64: i.HasCRC64, Appendable: i.Appendable, VersionID: i.VersionID, Confirmed: now}
}

// Attr is what a file carries besides its bytes. It rides in the object's metadata in the form COSFS
// and s3fs use: mode (decimal, type bits included), uid, gid, mtime (whole seconds), xattr (URL-encoded
// JSON of base64 values), and atime as s3fs has it; nanoseconds of mtime and the number of a device are in
// keys of ours.
type Attr struct {
	Known    bool   // false: only what a listing tells; the object may carry more
	Mode     uint32 // as in stat(2): type and permission bits
	UID, GID uint32
	Mtime    time.Time // zero: the version's Last-Modified
	Atime    time.Time // as somebody set it; zero: as Mtime
	Major    uint32    // of a device, as is Minor
	Minor    uint32
	Xattrs   map[string][]byte // user.* names with the prefix, as in listxattr(2); nil = none. Treated as immutable: replace, never change
	Headers  cos.Headers       // all else the object carries and a copy must restate; Meta holds only entries that are not ours
}

// IsDevice reports whether a is of a device file, which has a number.
func (a Attr) IsDevice() bool {
	t := a.Mode & syscall.S_IFMT
	return t == syscall.S_IFBLK || t == syscall.S_IFCHR
}
