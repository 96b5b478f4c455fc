package cos

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	metaPrefix      = "X-Cos-Meta-"
	headerCRC64     = "X-Cos-Hash-Crc64ecma"
	headerVersionID = "X-Cos-Version-Id"
	headerRequestID = "X-Cos-Request-Id"
	headerForbid    = "X-Cos-Forbid-Overwrite"
	ssePrefix       = "X-Cos-Server-Side-Encryption"
	sourceSSEPrefix = "X-Cos-Copy-Source-Server-Side-Encryption"
	classStandard   = "STANDARD"
)

// setAll puts everything h states into the request.
func (r *request) setAll(h Headers) error {
	r.setHeader("Content-Type", h.ContentType)
	r.setHeader("Cache-Control", h.CacheControl)
	r.setHeader("Content-Disposition", h.ContentDisposition)
	r.setHeader("Content-Encoding", h.ContentEncoding)
	r.setHeader("Content-Language", h.ContentLanguage)
	r.setHeader("Expires", h.Expires)
	r.setHeader("X-Cos-Tagging", h.Tagging)
	r.setPlacement(h)
	return r.setMeta(h.Meta)
}

// setPlacement sets what a copy never inherits: class, access and encryption.
func (r *request) setPlacement(h Headers) {
	r.setHeader("X-Cos-Storage-Class", h.StorageClass)
	r.setAccess(h)
	r.setHeader(ssePrefix, h.SSE.Algorithm)
	r.setHeader(ssePrefix+"-Cos-Kms-Key-Id", h.SSE.KMSKeyID)
	r.setHeader(ssePrefix+"-Context", h.SSE.KMSContext)
	r.setCustomerKey(ssePrefix, h.SSE)
}

func (r *request) setAccess(h Headers) {
	r.setHeader("X-Cos-Acl", h.ACL)
	r.setHeader("X-Cos-Grant-Read", h.GrantRead)
	r.setHeader("X-Cos-Grant-Write", h.GrantWrite)
	r.setHeader("X-Cos-Grant-Read-Acp", h.GrantReadACP)
	r.setHeader("X-Cos-Grant-Write-Acp", h.GrantWriteACP)
	r.setHeader("X-Cos-Grant-Full-Control", h.GrantFullControl)
}

// setCustomerKey sets the SSE-C trio under the prefix of the target or of a copy's source.
func (r *request) setCustomerKey(prefix string, s SSE) {
	r.setHeader(prefix+"-Customer-Algorithm", s.CustomerAlgorithm)
	r.setHeader(prefix+"-Customer-Key", s.CustomerKey)
	r.setHeader(prefix+"-Customer-Key-Md5", s.CustomerKeyMD5)
}

func (r *request) setMeta(meta map[string]string) error {
	if len(meta) == 0 {
		return nil
	}
	if r.header == nil {
		r.header = make(http.Header)
	}
	total := 0
	for name, value := range meta {
		if err := CheckMeta(name, value); err != nil {
			return err
		}
		total += len(name) + len(value)
		key := http.CanonicalHeaderKey(metaPrefix + name)
		if _, twice := r.header[key]; twice {
			return fmt.Errorf("%w: metadata name %q given twice", ErrInvalidArgument, strings.ToLower(name))
		}
		r.header[key] = []string{value}
	}
	if total > MaxMetaBytes {
		return fmt.Errorf("%w: %d bytes of metadata, at most %d are allowed", ErrTooLarge, total, MaxMetaBytes)
	}
	return nil
}

// CheckMeta returns ErrInvalidArgument if the service takes no metadata of this name (without its prefix) or
// value, or would not give it back as it is. How long all of it may be is not looked at.
func CheckMeta(name, value string) error {
	if name == "" {
		return fmt.Errorf("%w: empty metadata name", ErrInvalidArgument)
	}
	for i := range len(name) {
		c := name[i]
		if c != '-' && c != '.' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return fmt.Errorf("%w: metadata name %q: letters, digits, hyphens and dots only", ErrInvalidArgument, name)
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' {
			return fmt.Errorf("%w: metadata %q: the value must be printable ASCII", ErrInvalidArgument, name)
		}
	}
	if strings.Trim(value, " ") != value {
		return fmt.Errorf("%w: metadata %q: spaces at either end of the value would be lost", ErrInvalidArgument, name)
	}
	return nil
}

// checkHeaders refuses what HTTP cannot carry, before an attempt fails on it.
func (r *request) checkHeaders() error {
	for name, vs := range r.header {
		for _, v := range vs {
			if i := strings.IndexFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
				return fmt.Errorf("%w: header %s: control character at byte %d", ErrInvalidArgument, name, i)
			}
		}
	}
	return nil
}

// setConditions sets the If-* headers, under a prefix for those of a copy's source.
func (r *request) setConditions(prefix string, c Conditions) {
	r.setHeader(prefix+"If-Match", quoteETag(c.IfMatch))
	r.setHeader(prefix+"If-None-Match", quoteETag(c.IfNoneMatch))
	r.setHeader(prefix+"If-Modified-Since", httpTime(c.IfModifiedSince))
	r.setHeader(prefix+"If-Unmodified-Since", httpTime(c.IfUnmodifiedSince))
}

func httpTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(http.TimeFormat)
}

func quoteETag(s string) string {
	if s == "" || s == "*" || strings.HasSuffix(s, `"`) {
		return s
	}
	return `"` + s + `"`
}

func trimETag(s string) string { return strings.Trim(strings.TrimPrefix(s, "W/"), `"`) }

const (
	minTrafficLimit = 819200
	maxTrafficLimit = 838860800
)

func (r *request) setTrafficLimit(bits int64) error {
	if bits == 0 {
		return nil
	}
	if bits < minTrafficLimit || bits > maxTrafficLimit {
		return fmt.Errorf("%w: traffic limit %d bit/s is outside %d..%d", ErrInvalidArgument, bits, minTrafficLimit, maxTrafficLimit)
	}
	r.setHeader("X-Cos-Traffic-Limit", strconv.FormatInt(bits, 10))
	return nil
}

// crcHeader reads x-cos-hash-crc64ecma. Old objects have none; one that cannot be read is a lie.
func crcHeader(h http.Header) (crc uint64, ok bool, err error) {
	s := h.Get(headerCRC64)
	if s == "" {
		return 0, false, nil
	}
	crc, err = strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%w: checksum header %q", ErrBadResponse, s)
	}
	return crc, true, nil
}

func serverTime(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// objectInfo reads the properties of an object from the answer to a HEAD or a GET. Size is left to
// the caller.
func objectInfo(key string, h http.Header) (ObjectInfo, error) {
	crc, has, err := crcHeader(h)
	if err != nil {
		return ObjectInfo{}, err
	}
	o := ObjectInfo{
		Key:         key,
		ETag:        trimETag(h.Get("Etag")),
		CRC64:       crc,
		HasCRC64:    has,
		Appendable:  strings.EqualFold(h.Get("X-Cos-Object-Type"), "appendable"),
		NextAppend:  -1,
		VersionID:   h.Get(headerVersionID),
		StorageTier: h.Get("X-Cos-Storage-Tier"),
		Restore:     h.Get("X-Cos-Restore"),
		Headers:     storedHeaders(h),
		RequestID:   h.Get(headerRequestID),
		ServerTime:  serverTime(h),
		Raw:         h,
	}
	if s := h.Get("X-Cos-Next-Append-Position"); s != "" {
		if o.NextAppend, err = strconv.ParseInt(s, 10, 64); err != nil || o.NextAppend < 0 {
			return ObjectInfo{}, fmt.Errorf("%w: append position %q", ErrBadResponse, s)
		}
	}
	if s := h.Get("Last-Modified"); s != "" {
		if o.LastModified, err = http.ParseTime(s); err != nil {
			return ObjectInfo{}, fmt.Errorf("%w: Last-Modified %q", ErrBadResponse, s)
		}
	}
	return o, nil
}

func storedHeaders(h http.Header) Headers {
	s := Headers{
		ContentType:        h.Get("Content-Type"),
		CacheControl:       h.Get("Cache-Control"),
		ContentDisposition: h.Get("Content-Disposition"),
		ContentEncoding:    h.Get("Content-Encoding"),
		ContentLanguage:    h.Get("Content-Language"),
		Expires:            h.Get("Expires"),
		StorageClass:       h.Get("X-Cos-Storage-Class"),
		SSE: SSE{
			Algorithm:         h.Get(ssePrefix),
			KMSKeyID:          h.Get(ssePrefix + "-Cos-Kms-Key-Id"),
			CustomerAlgorithm: h.Get(ssePrefix + "-Customer-Algorithm"),
			CustomerKeyMD5:    h.Get(ssePrefix + "-Customer-Key-Md5"),
		},
	}
	if s.StorageClass == classStandard {
		s.StorageClass = ""
	}
	if h.Get("X-Cos-Force-Download") != "" && s.ContentDisposition == "attachment" {
		s.ContentDisposition = "" // the default domain's doing, not a property of the object
	}
	for name, vs := range h {
		if len(name) > len(metaPrefix) && strings.HasPrefix(name, metaPrefix) && len(vs) > 0 {
			if s.Meta == nil {
				s.Meta = make(map[string]string)
			}
			s.Meta[strings.ToLower(name[len(metaPrefix):])] = vs[0]
		}
	}
	return s
}
