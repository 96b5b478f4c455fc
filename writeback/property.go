package writeback

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"cosfuse/cos"
)

// Errors of SetProperty.
var (
	ErrProperty         = errors.New("not a property, or not a value, that objects can have")
	ErrPropertyReadOnly = errors.New("property is the service's, or the file system's own") // etag; the metadata that holds the mode
	ErrPropertyTooLong  = errors.New("property is too long for a header")
)

// maxProperty bounds the value of a header, in bytes. COS names no limit, but HTTP servers have one.
const maxProperty = 2048

// metaProperty is what the names of user metadata begin with.
const metaProperty = "meta."

// storageClasses are those that COS knows.
var storageClasses = []string{"STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "COLD", "ARCHIVE", "DEEP_ARCHIVE",
	"MAZ_STANDARD", "MAZ_STANDARD_IA", "MAZ_INTELLIGENT_TIERING", "MAZ_ARCHIVE"}

// cannedACLs are those that COS knows of objects.
var cannedACLs = []string{"default", "private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"}

// readOnlyProperties are told by the service.
var readOnlyProperties = []string{"etag", "crc64", "object-type", "version-id"}

// CheckStorageClass returns ErrProperty if COS knows no such storage class.
func CheckStorageClass(class string) error {
	if !slices.Contains(storageClasses, class) {
		return fmt.Errorf("%w: storage class %q, use one of %s", ErrProperty, class, strings.Join(storageClasses, ", "))
	}
	return nil
}

// CheckACL returns ErrProperty if COS knows no such canned ACL of objects.
func CheckACL(acl string) error {
	if !slices.Contains(cannedACLs, acl) {
		return fmt.Errorf("%w: ACL %q, use one of %s", ErrProperty, acl, strings.Join(cannedACLs, ", "))
	}
	return nil
}

// CheckHeader returns ErrProperty or ErrPropertyTooLong if value cannot be that of a header: empty, not
// printable ASCII, or with spaces at its ends.
func CheckHeader(value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%w: it is empty; remove it instead", ErrProperty)
	case len(value) > maxProperty:
		return fmt.Errorf("%w: %d bytes of at most %d", ErrPropertyTooLong, len(value), maxProperty)
	case strings.TrimSpace(value) != value, strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }):
		return fmt.Errorf("%w: only printable ASCII, and no spaces at the ends", ErrProperty)
	}
	return nil
}

// header returns the field that a property of a single header is in, or nil.
func header(h *cos.Headers, name string) *string {
	switch name {
	case "content-type":
		return &h.ContentType
	case "cache-control":
		return &h.CacheControl
	case "content-disposition":
		return &h.ContentDisposition
	case "content-encoding":
		return &h.ContentEncoding
	case "content-language":
		return &h.ContentLanguage
	case "expires":
		return &h.Expires
	case "storage-class":
		return &h.StorageClass
	case "acl":
		return &h.ACL
	}
	return nil
}

// listed are the properties of single headers that Properties tells of. The ACL is not among them: the
// service has to be asked for it.
var listed = []string{"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires", "storage-class"}

// Property returns the value of a property that can be set: a header such as "cache-control", or "meta.NAME".
// ok is false if the object at key has none. An ACL is told only if it was set here.
func (a *Attr) Property(key, name string) (value string, ok bool) {
	if meta, is := strings.CutPrefix(name, metaProperty); is {
		value, ok = a.Headers.Meta[meta]
		return value, ok
	}
	p := header(&a.Headers, name)
	switch {
	case p == nil:
		return "", false
	case *p != "":
		return *p, true
	case name == "content-type":
		return defaultType(key, a.Mode), true
	case name == "storage-class":
		return "STANDARD", true
	}
	return "", false
}

// Properties returns the names of the properties that say something about the object at key, in order: not a
// content type that its name suggests, not the standard class.
func (a *Attr) Properties(key string) []string {
	var out []string
	for _, name := range listed {
		switch v := *header(&a.Headers, name); {
		case v == "":
		case name == "content-type" && (v == octetStream || v == defaultType(key, a.Mode)):
		case name == "storage-class" && v == "STANDARD":
		default:
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Headers.Meta)) {
		out = append(out, metaProperty+name)
	}
	return out
}

// SetProperty sets a property; "" removes it. The error is one of those above, and then nothing changed.
// Whether everything fits into an object is for SetAttr to say.
func (a *Attr) SetProperty(name, value string) error {
	if slices.Contains(readOnlyProperties, name) {
		return fmt.Errorf("%w: %s", ErrPropertyReadOnly, name)
	}
	if value != "" {
		if err := CheckHeader(value); err != nil {
			return err
		}
	}
	if meta, is := strings.CutPrefix(name, metaProperty); is {
		return a.setMeta(meta, value)
	}
	p := header(&a.Headers, name)
	if p == nil {
		return fmt.Errorf("%w: there is no %q", ErrProperty, name)
	}
	switch name {
	case "expires":
		if _, err := http.ParseTime(value); value != "" && err != nil {
			return fmt.Errorf("%w: expires %q, use a date such as \"Wed, 21 Oct 2026 07:28:00 GMT\"", ErrProperty, value)
		}
	case "storage-class":
		return a.setClass(value)
	case "acl":
		return a.setACL(value)
	}
	*p = value
	return nil
}

// setClass sets the storage class; none is the standard one.
func (a *Attr) setClass(class string) error {
	if class == "" {
		class = "STANDARD" // said, so that no default of the mount takes its place
	}
	if err := CheckStorageClass(class); err != nil {
		return err
	}
	a.Headers.StorageClass = class
	return nil
}

// setACL sets a canned ACL, in place of any grants; none is the bucket's.
func (a *Attr) setACL(acl string) error {
	if acl == "" {
		acl = "default"
	}
	if err := CheckACL(acl); err != nil {
		return err
	}
	takeACL(&a.Headers, cos.Headers{ACL: acl})
	return nil
}

// setMeta sets user metadata. The service lower-cases names, so only such are taken.
func (a *Attr) setMeta(name, value string) error {
	if new(Attr).decodeMeta(name, "") {
		return fmt.Errorf("%w: %s%s", ErrPropertyReadOnly, metaProperty, name)
	}
	if strings.ToLower(name) != name {
		return fmt.Errorf("%w: metadata %q is not in lower case", ErrProperty, name)
	}
	if err := cos.CheckMeta(name, value); err != nil {
		return fmt.Errorf("%w: %w", ErrProperty, err)
	}
	meta := maps.Clone(a.Headers.Meta) // shared with what the attributes were
	if meta == nil {
		meta = make(map[string]string)
	}
	meta[name] = value
	if value == "" {
		delete(meta, name)
	}
	a.Headers.Meta = meta
	return nil
}

// Fact returns a property that only the service decides: the ETag, the CRC64, the type or the version ID. ok
// is false if it was not told.
func (v Version) Fact(name string) (value string, ok bool) {
	switch {
	case v.Absent():
		return "", false
	case name == "etag":
		return v.ETag, true
	case name == "crc64":
		return fmt.Sprint(v.CRC64), v.HasCRC64
	case name == "object-type" && v.Appendable:
		return "appendable", true
	case name == "object-type":
		return "normal", true
	case name == "version-id":
		return v.VersionID, v.VersionID != ""
	}
	return "", false
}
