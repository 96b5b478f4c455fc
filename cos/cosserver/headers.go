package cosserver

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
)

const (
	maxMeta = 2048 // bytes of names and values together
	maxTags = 10
)

// storedHeaders are kept with an object and returned as they came.
var storedHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
}

// storageClasses says of each class whether it must be restored before it can be read.
var storageClasses = map[string]bool{
	"STANDARD":                false,
	"STANDARD_IA":             false,
	"INTELLIGENT_TIERING":     false,
	"COLD":                    false,
	"ARCHIVE":                 true,
	"DEEP_ARCHIVE":            true,
	"MAZ_STANDARD":            false,
	"MAZ_STANDARD_IA":         false,
	"MAZ_INTELLIGENT_TIERING": false,
	"MAZ_ARCHIVE":             true,
}

// attrs reads the attributes a request gives an object.
func (r *request) attrs() (store.Attrs, error) {
	var a store.Attrs
	for _, name := range storedHeaders {
		if v := r.Header.Get(name); v != "" {
			a.Headers = append(a.Headers, store.Pair{Name: name, Value: v})
		}
	}
	if r.Header.Get("Content-Type") == "" {
		a.Headers = append(a.Headers, store.Pair{Name: "Content-Type", Value: "application/octet-stream"})
	}
	meta, err := userMeta(r.Header)
	if err != nil {
		return a, err
	}
	a.Meta = meta
	if a.StorageClass, err = r.storageClass(); err != nil {
		return a, err
	}
	if a.ACL, err = headerACL(r.Header); err != nil {
		return a, err
	}
	if a.Tags, err = parseTags(r.Header.Get("X-Cos-Tagging")); err != nil {
		return a, err
	}
	a.SSE, err = r.sse()
	return a, err
}

// userMeta collects x-cos-meta-*, sorted by name.
func userMeta(h http.Header) ([]store.Pair, error) {
	var meta []store.Pair
	total := 0
	for name, values := range h {
		suffix, ok := strings.CutPrefix(strings.ToLower(name), hdrMetaPrefix)
		if !ok {
			continue
		}
		if suffix == "" || strings.Contains(suffix, "_") {
			return nil, badArgument("The metadata name %q is not acceptable.", suffix)
		}
		value := strings.Join(values, ",")
		total += len(suffix) + len(value)
		meta = append(meta, store.Pair{Name: suffix, Value: value})
	}
	if total > maxMeta {
		return nil, badArgument("The metadata is %d bytes long, %d are allowed.", total, maxMeta)
	}
	slices.SortFunc(meta, func(a, b store.Pair) int { return strings.Compare(a.Name, b.Name) })
	return meta, nil
}

// storageClass reads the class of a new object; STANDARD is "".
func (r *request) storageClass() (string, error) {
	class := r.Header.Get("X-Cos-Storage-Class")
	if class == "" || class == "STANDARD" {
		return "", nil
	}
	if _, ok := storageClasses[class]; !ok {
		return "", badArgument("There is no storage class %q.", class)
	}
	if strings.HasPrefix(class, "MAZ_") && !r.state.MAZ {
		return "", failf(http.StatusBadRequest, "MAZOperationNotSupportOnOAZBucket", "%s needs a multi-AZ bucket.", class)
	}
	return class, nil
}

func parseTags(text string) ([]store.Pair, error) {
	if text == "" {
		return nil, nil
	}
	var tags []store.Pair
	for field := range strings.SplitSeq(text, "&") {
		k, v, _ := strings.Cut(field, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			return nil, failf(http.StatusBadRequest, "InvalidTag", "The tags cannot be decoded.")
		}
		tags = append(tags, store.Pair{Name: name, Value: value})
	}
	return tags, checkTags(tags)
}

func checkTags(tags []store.Pair) error {
	if len(tags) > maxTags {
		return failf(http.StatusBadRequest, "InvalidTag", "An object has at most %d tags.", maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if t.Name == "" || len(t.Name) > 128 || len(t.Value) > 256 || seen[t.Name] {
			return failf(http.StatusBadRequest, "InvalidTag", "The tag %q is empty, too long or given twice.", t.Name)
		}
		seen[t.Name] = true
	}
	return nil
}

const ssePrefix = "X-Cos-Server-Side-Encryption"

// sse reads how an object is to be encrypted.
func (r *request) sse() (store.SSE, error) {
	e := store.SSE{
		Algorithm:  r.Header.Get(ssePrefix),
		KMSKeyID:   r.Header.Get(ssePrefix + "-Cos-Kms-Key-Id"),
		KMSContext: r.Header.Get(ssePrefix + "-Context"),
	}
	if e.Algorithm != "" && e.Algorithm != "AES256" && e.Algorithm != "cos/kms" {
		return e, badArgument("There is no encryption %q.", e.Algorithm)
	}
	md5, err := customerKey(r.Header, ssePrefix+"-Customer-")
	e.CustomerKeyMD5 = md5
	return e, err
}

// customerKey checks an SSE-C trio and returns the MD5 of its key, "" if there is none.
func customerKey(h http.Header, prefix string) (string, error) {
	algorithm, key, sum := h.Get(prefix+"Algorithm"), h.Get(prefix+"Key"), h.Get(prefix+"Key-Md5")
	if algorithm == "" && key == "" && sum == "" {
		return "", nil
	}
	if algorithm != "AES256" || !isMD5Of(sum, key) {
		return "", badArgument("The customer key, its algorithm and its MD5 do not fit together.")
	}
	return sum, nil
}

// checkCustomerKey demands the key an object was stored with.
func checkCustomerKey(o *store.Object, h http.Header, prefix string) error {
	got, err := customerKey(h, prefix)
	if err != nil {
		return err
	}
	if got != o.SSE.CustomerKeyMD5 {
		return failf(http.StatusBadRequest, "SsecDecryptHeaderInvalid", "The customer key is not the one of the object.")
	}
	return nil
}

// setSSE echoes the encryption of an object.
func (r *request) setSSE(e store.SSE) {
	prefix := strings.ToLower(ssePrefix)
	if e.Algorithm != "" {
		r.set(prefix, e.Algorithm)
	}
	if e.KMSKeyID != "" {
		r.set(prefix+"-cos-kms-key-id", e.KMSKeyID)
	}
	if e.CustomerKeyMD5 != "" {
		r.set(prefix+"-customer-algorithm", "AES256")
		r.set(prefix+"-customer-key-MD5", e.CustomerKeyMD5)
	}
}

const (
	minTraffic = 819200 // bit/s
	maxTraffic = 838860800
)

// trafficLimit returns the bytes per second a request allows itself, 0 for any number.
func (r *request) trafficLimit() (int64, error) {
	text := r.Header.Get("X-Cos-Traffic-Limit")
	if text == "" {
		text = r.query.Get("x-cos-traffic-limit")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < minTraffic || n > maxTraffic {
		return 0, badArgument("x-cos-traffic-limit is %q, not from %d to %d bit/s.", text, minTraffic, maxTraffic)
	}
	return n / 8, nil
}

// overwriteRule makes the condition a put, copy or complete must meet.
func (r *request) overwriteRule() store.Condition {
	forbid := strings.EqualFold(r.Header.Get("X-Cos-Forbid-Overwrite"), "true") && r.state.Versioning == ""
	conditional := r.srv.opt.Switches.ConditionalPut
	return func(current *store.Object) error {
		if forbid && current != nil {
			return fail(http.StatusConflict, "FileAlreadyExists")
		}
		if !conditional {
			return nil
		}
		match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		if match != "" && (current == nil || !etagIn(match, current.ETag)) ||
			none != "" && current != nil && etagIn(none, current.ETag) {
			return fail(http.StatusPreconditionFailed, "PreconditionFailed")
		}
		return nil
	}
}

// etagIn reports whether an ETag is in a list of quoted or bare ones. "*" is every ETag.
func etagIn(list, etag string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.Trim(strings.TrimPrefix(strings.TrimSpace(item), "W/"), `"`)
		if item == "*" || item == etag {
			return true
		}
	}
	return false
}
