package writeback

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cosfuse/cos"
)

// Metadata keys (after x-cos-meta-). The first five are those of COSFS and s3fs. metaMtimeNS repeats
// the seconds before its nanoseconds ("1700000000.000000123"), so that it is ignored after a tool
// that does not know it changed mtime. atime is s3fs's, rdev is ours: "major:minor" of a device.
const (
	metaMode    = "mode"
	metaUID     = "uid"
	metaGID     = "gid"
	metaMtime   = "mtime"
	metaXattr   = "xattr"
	metaMtimeNS = "mtime-ns"
	metaAtime   = "atime"
	metaRdev    = "rdev"
)

// dirContentType is what COSFS gives to directory markers.
const dirContentType = "application/x-directory"

// AttrDefaults are the attributes of objects whose metadata does not tell them.
type AttrDefaults struct {
	FileMode, DirMode uint32 // permission bits; 0 = 0644 and 0755
	UID, GID          uint32
}

// mode returns the default mode of key, type bits included.
func (d AttrDefaults) mode(key string) uint32 {
	if isDirKey(key) {
		if d.DirMode == 0 {
			return syscall.S_IFDIR | 0o755
		}
		return syscall.S_IFDIR | d.DirMode
	}
	if d.FileMode == 0 {
		return syscall.S_IFREG | 0o644
	}
	return syscall.S_IFREG | d.FileMode
}

// isDirKey reports whether key names a directory marker.
func isDirKey(key string) bool { return strings.HasSuffix(key, "/") }

// DefaultAttr is what is shown of an object that is known only from a listing.
func DefaultAttr(key string, d AttrDefaults) Attr {
	return Attr{Mode: d.mode(key), UID: d.UID, GID: d.GID}
}

// DecodeAttr reads the attributes of an object from its HEAD or GET answer. A key that ends in "/" is a
// directory whatever its mode says, and so is an empty object of a directory's mode or content type; values
// that do not parse are as good as absent.
func DecodeAttr(i *cos.ObjectInfo, d AttrDefaults) Attr {
	a := DefaultAttr(i.Key, d)
	a.Known, a.Headers = true, i.Headers
	a.Headers.Meta = nil
	for k, v := range i.Headers.Meta {
		if !a.decodeMeta(k, v) {
			if a.Headers.Meta == nil {
				a.Headers.Meta = make(map[string]string)
			}
			a.Headers.Meta[k] = v
		}
	}
	if ns, ok := decodeTime(i.Headers.Meta[metaMtimeNS]); ok && ns.Unix() == a.Mtime.Unix() && !a.Mtime.IsZero() {
		a.Mtime = ns
	}
	a.decodeDevice(i.Headers.Meta)
	a.decodeOldMarker(i, d)
	return a
}

// decodeOldMarker makes a that of a directory if the object is a directory's marker, though its key does not end in
// a slash: early versions of s3fs and its kin made such, and COSFS still knows them.
func (a *Attr) decodeOldMarker(i *cos.ObjectInfo, d AttrDefaults) {
	if isDirKey(i.Key) || i.Size != 0 {
		return
	}
	mode, err := strconv.ParseUint(i.Headers.Meta[metaMode], 10, 32)
	kind := uint32(mode) & syscall.S_IFMT
	switch {
	case err == nil && (kind == syscall.S_IFDIR || kind == 0 && i.Headers.ContentType == dirContentType):
		a.Mode = syscall.S_IFDIR | uint32(mode)&0o7777
	case i.Headers.Meta[metaMode] == "" && i.Headers.ContentType == dirContentType:
		a.Mode = d.mode("/")
	}
}

// decodeDevice makes a a device if its metadata says so and has the number: without one, a mode that
// says so is another tool's, and the object is a file.
func (a *Attr) decodeDevice(meta map[string]string) {
	major, minor, _ := strings.Cut(meta[metaRdev], ":")
	maj, err1 := strconv.ParseUint(major, 10, 12)
	low, err2 := strconv.ParseUint(minor, 10, 20)
	m, err3 := strconv.ParseUint(meta[metaMode], 10, 32)
	t := uint32(m) & syscall.S_IFMT
	if err1 != nil || err2 != nil || err3 != nil || a.Mode&syscall.S_IFMT != syscall.S_IFREG || t != syscall.S_IFBLK && t != syscall.S_IFCHR {
		return
	}
	a.Mode = t | uint32(m)&0o7777
	a.Major, a.Minor = uint32(maj), uint32(low)
}

// decodeMeta takes one metadata entry and reports whether it is one of ours.
func (a *Attr) decodeMeta(k, v string) bool {
	switch k {
	case metaMode:
		if m, err := strconv.ParseUint(v, 10, 32); err == nil {
			a.Mode = mergeMode(a.Mode, uint32(m))
		}
	case metaUID:
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			a.UID = uint32(n)
		}
	case metaGID:
		if n, err := strconv.ParseUint(v, 10, 32); err == nil {
			a.GID = uint32(n)
		}
	case metaMtime:
		if t, ok := decodeTime(v); ok {
			a.Mtime = t
		}
	case metaAtime:
		if t, ok := decodeTime(v); ok {
			a.Atime = t
		}
	case metaXattr:
		a.Xattrs = decodeXattrs(v)
	case metaMtimeNS, metaRdev:
	default:
		return false
	}
	return true
}

// mergeMode keeps a directory a directory and everything else anything that an object can stand for.
func mergeMode(def, mode uint32) uint32 {
	perm := mode & 0o7777
	if def&syscall.S_IFMT == syscall.S_IFDIR {
		return syscall.S_IFDIR | perm
	}
	switch t := mode & syscall.S_IFMT; t {
	case syscall.S_IFLNK, syscall.S_IFIFO, syscall.S_IFSOCK:
		return t | perm
	}
	return syscall.S_IFREG | perm
}

// decodeTime reads seconds with an optional fraction, as s3fs writes it too.
func decodeTime(v string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(v, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || frac != "" && strings.Trim(frac, "0123456789") != "" {
		return time.Time{}, false
	}
	ns, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64) // digits only, checked above
	return time.Unix(sec, ns), true
}

// decodeXattrs reads the URL-encoded JSON object of base64 values that s3fs and COSFS write.
func decodeXattrs(v string) map[string][]byte {
	plain, err := url.PathUnescape(v)
	if err != nil {
		return nil
	}
	var enc map[string]string
	if json.Unmarshal([]byte(plain), &enc) != nil {
		return nil
	}
	out := make(map[string][]byte, len(enc))
	for k, b := range enc {
		if val, err := base64.StdEncoding.DecodeString(b); err == nil {
			out[k] = val
		}
	}
	return out
}

// encode returns the headers that carry a. mtime false leaves the time out, for appendable objects:
// a later append could not change it. The error is ErrMetaTooLarge.
func (a Attr) encode(key string, mtime bool) (cos.Headers, error) {
	h := a.Headers
	m := make(map[string]string, len(h.Meta)+6)
	maps.Copy(m, h.Meta)
	m[metaMode] = strconv.FormatUint(uint64(a.Mode), 10)
	m[metaUID] = strconv.FormatUint(uint64(a.UID), 10)
	m[metaGID] = strconv.FormatUint(uint64(a.GID), 10)
	if mtime && !a.Mtime.IsZero() {
		m[metaMtime] = strconv.FormatInt(a.Mtime.Unix(), 10)
		if ns := a.Mtime.Nanosecond(); ns != 0 {
			m[metaMtimeNS] = fmt.Sprintf("%d.%09d", a.Mtime.Unix(), ns)
		}
	}
	if !a.Atime.IsZero() {
		m[metaAtime] = fmt.Sprintf("%d.%09d", a.Atime.Unix(), a.Atime.Nanosecond())
	}
	if a.IsDevice() {
		m[metaRdev] = fmt.Sprintf("%d:%d", a.Major, a.Minor)
	}
	if len(a.Xattrs) > 0 {
		m[metaXattr] = encodeXattrs(a.Xattrs)
	}
	h.Meta = m
	if h.ContentType == "" {
		h.ContentType = defaultType(key, a.Mode)
	}
	return h, checkMetaSize(m)
}

// EncodeAttr returns the headers of an object at key that carries a: DecodeAttr reads a from them. The error is
// ErrMetaTooLarge.
func EncodeAttr(key string, a Attr) (cos.Headers, error) { return a.encode(key, true) }

// encodeXattrs is the inverse of decodeXattrs. Keys are sorted by encoding/json.
func encodeXattrs(x map[string][]byte) string {
	enc := make(map[string]string, len(x))
	for k, v := range x {
		enc[k] = base64.StdEncoding.EncodeToString(v)
	}
	plain, err := json.Marshal(enc)
	if err != nil {
		panic("a map of strings did not encode: " + err.Error())
	}
	return strings.ReplaceAll(url.QueryEscape(string(plain)), "+", "%20")
}

// checkMetaSize counts names with their prefix: whether the service does is not documented, and the
// larger count is the safe one.
func checkMetaSize(m map[string]string) error {
	n := 0
	for k, v := range m {
		n += len("x-cos-meta-") + len(k) + len(v)
	}
	if n > cos.MaxMetaBytes {
		return fmt.Errorf("%w: %d bytes of at most %d", ErrMetaTooLarge, n, cos.MaxMetaBytes)
	}
	return nil
}

// checkFit tells whether a could be stored at all.
func (a Attr) checkFit(key string) error {
	_, err := a.encode(key, true)
	return err
}
