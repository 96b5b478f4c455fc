package cosserver

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cosfuse/cos/cosserver/internal/store"
)

// copySource reads x-cos-copy-source: HOST/KEY with the service's host of the source bucket, or
// /BUCKET/KEY; the key is escaped, and ?versionId= may follow.
func (r *request) copySource() (store.CopySource, error) {
	var src store.CopySource
	bad := failf(http.StatusBadRequest, "InvalidCopySource", "x-cos-copy-source cannot be understood.")
	text, query, _ := strings.Cut(r.Header.Get("X-Cos-Copy-Source"), "?")
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return src, bad
	}
	first, rest, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	key, err := url.PathUnescape(rest)
	if !ok || err != nil || key == "" {
		return src, bad
	}
	src.Bucket, src.Key = first, key
	if strings.Contains(first, ".") || strings.Contains(first, ":") {
		if src.Bucket, _ = bucketOfHost(first); src.Bucket == "" {
			src.Bucket = r.srv.defaultBucket
		}
	}
	if query != "" {
		q, err := parseQuery(query)
		if err != nil || q.Get("versionId") == "" {
			return src, bad
		}
		src.VersionID = q.Get("versionId")
	}
	state, err := r.srv.store.Bucket(src.Bucket)
	if err != nil {
		return src, err
	}
	if !r.owner && !r.srv.publicObject(state.ACL.Canned, src) {
		return src, fail(http.StatusForbidden, "AccessDenied")
	}
	return src, nil
}

// copyable checks a source against the request's conditions and the rules of its state.
func (r *request) copyable(o *store.Object, versioned bool) error {
	if o.DeleteMarker && versioned {
		return failf(http.StatusBadRequest, "InvalidRequest", "The version is a delete marker.")
	}
	if o.Appendable && !r.srv.opt.Switches.CopyAppendable {
		return failf(http.StatusConflict, "InvalidObjectState", "An appendable object cannot be copied.")
	}
	if !r.restored(o) {
		return fail(http.StatusForbidden, "InvalidObjectState")
	}
	if err := checkCustomerKey(o, r.Header, "X-Cos-Copy-Source-Server-Side-Encryption-Customer-"); err != nil {
		return err
	}
	h := func(name string) string { return r.Header.Get("X-Cos-Copy-Source-" + name) }
	since, okSince := parseTime(h("If-Modified-Since"))
	until, okUntil := parseTime(h("If-Unmodified-Since"))
	modified := seconds(o.Modified)
	if h("If-Match") != "" && !etagIn(h("If-Match"), o.ETag) ||
		h("If-None-Match") != "" && etagIn(h("If-None-Match"), o.ETag) ||
		okSince && !modified.After(since) ||
		okUntil && modified.After(until) {
		return fail(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	return nil
}

func (r *request) copyObject() error {
	src, err := r.copySource()
	if err != nil {
		return err
	}
	given, err := r.attrs()
	if err != nil {
		return err
	}
	replace, err := directive(r.Header.Get("X-Cos-Metadata-Directive"))
	if err != nil {
		return err
	}
	retag, err := directive(r.Header.Get("X-Cos-Tagging-Directive"))
	if err != nil {
		return err
	}
	onto := src.Bucket == r.bucket && src.Key == r.key && src.VersionID == ""
	prepare := func(from *store.Object) (store.Attrs, error) {
		if err := r.copyable(from, src.VersionID != ""); err != nil {
			return given, err
		}
		if from.Size > maxBody {
			return given, fail(http.StatusBadRequest, "EntityTooLarge")
		}
		if onto && !replace {
			return given, failf(http.StatusBadRequest, "InvalidRequest", "A copy onto itself must replace the metadata.")
		}
		a := given
		if !replace {
			a.Headers, a.Meta = from.Headers, from.Meta
		}
		if !retag {
			a.Tags = from.Tags
		}
		return a, nil
	}
	from, o, err := r.srv.store.Copy(src, r.bucket, r.key, prepare, r.overwriteRule())
	if err != nil {
		return sourceError(err)
	}
	if src.VersionID != "" || from.VersionID != "" {
		r.set("x-cos-copy-source-version-id", from.VersionID)
	}
	r.setVersion(o.VersionID)
	r.setSSE(o.SSE)
	r.rec.Size = o.Size
	x := newDocument("CopyObjectResult")
	x.text("ETag", quote(o.ETag))
	x.text("CRC64", strconv.FormatUint(o.CRC64, 10))
	x.text("LastModified", o.Modified.Format(time.RFC3339))
	if r.state.Versioning == "Enabled" {
		x.text("VersionId", o.VersionID)
	}
	return r.sendXML(http.StatusOK, x)
}

// directive reads Copy or Replaced, in the spellings that clients use.
func directive(text string) (replace bool, err error) {
	switch strings.ToLower(text) {
	case "", "copy":
		return false, nil
	case "replaced", "replace":
		return true, nil
	}
	return false, badArgument("A directive is Copy or Replaced, not %q.", text)
}

// sourceError keeps a missing source version from looking like anything but a missing source.
func sourceError(err error) error {
	if errors.Is(err, store.ErrNoKey) {
		return failf(http.StatusNotFound, "NoSuchKey", "The source of the copy does not exist.")
	}
	return err
}

func (r *request) uploadPartCopy() error {
	number, uploadID, err := r.partAddress()
	if err != nil {
		return err
	}
	src, err := r.copySource()
	if err != nil {
		return err
	}
	from, p, err := r.srv.store.CopyPart(src, r.bucket, r.key, uploadID, number,
		func(o *store.Object) (int64, int64, error) {
			if err := r.copyable(o, src.VersionID != ""); err != nil {
				return 0, 0, err
			}
			return copyRange(r.Header.Get("X-Cos-Copy-Source-Range"), o.Size)
		})
	if err != nil {
		return sourceError(err)
	}
	r.rec.Size = p.Size
	if from.VersionID != "" {
		r.set("x-cos-copy-source-version-id", from.VersionID)
	}
	r.set(hdrCRC, strconv.FormatUint(p.CRC64, 10))
	x := newDocument("CopyPartResult")
	x.text("ETag", quote(p.ETag))
	x.text("CRC64", strconv.FormatUint(p.CRC64, 10))
	x.text("LastModified", p.Modified.Format(time.RFC3339))
	return r.sendXML(http.StatusOK, x)
}

// copyRange reads bytes=first-last, which must lie within the source. No text is all of it.
func copyRange(text string, size int64) (off, n int64, err error) {
	if text == "" {
		if size > maxBody {
			return 0, 0, fail(http.StatusBadRequest, "EntityTooLarge")
		}
		return 0, size, nil
	}
	spec, ok := strings.CutPrefix(text, "bytes=")
	firstText, lastText, ok2 := strings.Cut(spec, "-")
	first, err1 := strconv.ParseInt(firstText, 10, 64)
	last, err2 := strconv.ParseInt(lastText, 10, 64)
	switch {
	case !ok || !ok2 || err1 != nil || err2 != nil || first < 0 || last < first:
		return 0, 0, badArgument("x-cos-copy-source-range is %q, not bytes=FIRST-LAST.", text)
	case last >= size:
		return 0, 0, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	case last-first+1 > maxBody:
		return 0, 0, fail(http.StatusBadRequest, "EntityTooLarge")
	}
	return first, last - first + 1, nil
}

// rename moves an object or a directory, in a bucket with metadata acceleration.
func (r *request) rename() error {
	if !r.state.OFS {
		return failf(http.StatusMethodNotAllowed, "MethodNotAllowed", "Only a metadata-accelerated bucket can rename.")
	}
	from, err := url.PathUnescape(strings.TrimPrefix(r.Header.Get("X-Cos-Rename-Source"), "/"))
	if err != nil || from == "" {
		return badArgument("x-cos-rename-source cannot be understood.")
	}
	forbid := strings.EqualFold(r.Header.Get("X-Cos-Forbid-Overwrite"), "true")
	if err := r.srv.store.Rename(r.bucket, from, r.key, forbid); err != nil {
		return sourceError(err)
	}
	return r.send(http.StatusOK, "", nil)
}
