package cosserver

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"cosfuse/cos/cosserver/internal/store"
)

func (r *request) headObject() error {
	o, err := r.srv.store.Head(r.bucket, r.key, r.version())
	if err != nil {
		return err
	}
	if err := r.readable(o); err != nil {
		return err
	}
	r.setObject(o)
	if r.notModified(o) {
		return r.send(http.StatusNotModified, "", nil)
	}
	r.set("Content-Length", strconv.FormatInt(o.Size, 10))
	return r.send(http.StatusOK, "", nil)
}

// readable checks what both HEAD and GET demand of a version.
func (r *request) readable(o *store.Object) error {
	if o.DeleteMarker {
		e := fail(http.StatusNotFound, "NoSuchKey")
		e.header = []store.Pair{{Name: "x-cos-delete-marker", Value: "true"}}
		return e
	}
	if err := checkCustomerKey(o, r.Header, ssePrefix+"-Customer-"); err != nil {
		return err
	}
	if match := r.Header.Get("If-Match"); match != "" {
		if !etagIn(match, o.ETag) {
			return fail(http.StatusPreconditionFailed, "PreconditionFailed")
		}
		return nil
	}
	if t, ok := parseTime(r.Header.Get("If-Unmodified-Since")); ok && seconds(o.Modified).After(t) {
		return fail(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	return nil
}

func (r *request) notModified(o *store.Object) bool {
	if none := r.Header.Get("If-None-Match"); none != "" {
		return etagIn(none, o.ETag)
	}
	t, ok := parseTime(r.Header.Get("If-Modified-Since"))
	return ok && !seconds(o.Modified).After(t)
}

func parseTime(text string) (time.Time, bool) {
	t, err := http.ParseTime(text)
	return t, err == nil
}

// seconds is a time as clients see it.
func seconds(t time.Time) time.Time { return t.Truncate(time.Second) }

// setObject puts what HEAD and GET tell of an object into the header.
func (r *request) setObject(o *store.Object) {
	r.set(hdrETag, quote(o.ETag))
	r.set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	r.set("Accept-Ranges", "bytes")
	if !o.Appendable || !r.srv.opt.Switches.HideAppendCRC {
		r.set(hdrCRC, strconv.FormatUint(o.CRC64, 10))
	}
	for _, p := range o.Headers {
		r.set(p.Name, p.Value)
	}
	for _, p := range o.Meta {
		r.set(hdrMetaPrefix+p.Name, p.Value)
	}
	if o.StorageClass != "" {
		r.set("x-cos-storage-class", o.StorageClass)
	}
	if strings.HasSuffix(o.StorageClass, "INTELLIGENT_TIERING") {
		r.set("x-cos-storage-tier", "FREQUENT")
	}
	if o.Appendable {
		r.set("x-cos-object-type", "appendable")
		r.set(hdrNextPosition, strconv.FormatInt(o.Size, 10))
	}
	if len(o.Tags) > 0 {
		r.set("x-cos-tagging-count", strconv.Itoa(len(o.Tags)))
	}
	if r.state.Versioning != "" && o.VersionID != "" {
		r.set(hdrVersion, o.VersionID)
	}
	if v := r.restoreState(o); v != "" {
		r.set("x-cos-restore", v)
	}
	r.setSSE(o.SSE)
}

func (r *request) getObject() error {
	limit, err := r.trafficLimit()
	if err != nil {
		return err
	}
	var part span
	notModified := false
	o, body, err := r.srv.store.Open(r.bucket, r.key, r.version(), func(o *store.Object) (int64, int64, error) {
		if err := r.readable(o); err != nil {
			return 0, 0, err
		}
		if notModified = r.notModified(o); notModified {
			return 0, 0, nil
		}
		if err := r.downloadable(o); err != nil {
			return 0, 0, err
		}
		part, err = parseRange(r.Header.Get("Range"), o.Size)
		return part.off, part.size, err
	})
	if err != nil {
		if o != nil && errors.Is(err, errRange) {
			e := fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			e.header = []store.Pair{{Name: "Content-Range", Value: fmt.Sprintf("bytes */%d", o.Size)}}
			return e
		}
		return err
	}
	if body != nil {
		defer body.Close()
	}
	r.setObject(o)
	if notModified {
		return r.send(http.StatusNotModified, "", nil)
	}
	if err := r.override(); err != nil {
		return err
	}
	r.rec.Size = part.size
	status := http.StatusOK
	if part.partial {
		status = http.StatusPartialContent
		r.set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.off, part.off+part.size-1, o.Size))
	}
	return r.stream(status, body, part.size, limit)
}

// downloadable refuses what can be looked at but not read.
func (r *request) downloadable(o *store.Object) error {
	if !r.restored(o) {
		return fail(http.StatusForbidden, "InvalidObjectState")
	}
	if !r.srv.opt.Switches.ForceDownload {
		return nil
	}
	if ext := strings.ToLower(path.Ext(r.key)); ext == ".apk" || ext == ".ipa" {
		return failf(http.StatusForbidden, "DownloadForbidden", "Objects of this kind are not given out by the default domain.")
	}
	return nil
}

var overrides = []store.Pair{
	{Name: "Content-Type", Value: "response-content-type"},
	{Name: "Content-Language", Value: "response-content-language"},
	{Name: "Expires", Value: "response-expires"},
	{Name: "Cache-Control", Value: "response-cache-control"},
	{Name: "Content-Disposition", Value: "response-content-disposition"},
	{Name: "Content-Encoding", Value: "response-content-encoding"},
}

// override replaces response headers as the query asks, which only a signed request may.
func (r *request) override() error {
	if r.srv.opt.Switches.ForceDownload {
		r.set("x-cos-force-download", "true")
		r.set("Content-Disposition", "attachment")
	}
	for _, o := range overrides {
		v := r.query.Get(o.Value)
		if v == "" {
			continue
		}
		if !r.owner {
			return failf(http.StatusBadRequest, "InvalidRequest", "Only a signed request may replace response headers.")
		}
		r.set(o.Name, v)
	}
	return nil
}

// span is the part of an object that a GET wants.
type span struct {
	off, size int64
	partial   bool
}

var errRange = errors.New("range outside the object")

// parseRange reads a Range header. One that is no range of bytes is ignored, several are refused.
func parseRange(text string, size int64) (span, error) {
	whole := span{size: size}
	spec, ok := strings.CutPrefix(strings.TrimSpace(text), "bytes=")
	if !ok {
		return whole, nil
	}
	if strings.Contains(spec, ",") {
		return whole, badArgument("Only one range can be asked for.")
	}
	firstText, lastText, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return whole, nil
	}
	first, err1 := strconv.ParseInt(firstText, 10, 64)
	last, err2 := strconv.ParseInt(lastText, 10, 64)
	switch {
	case firstText == "" && err2 == nil && last > 0: // the last bytes
		first = max(0, size-last)
		last = size - 1
	case firstText == "" && err2 == nil: // the last 0 bytes
		return whole, errRange
	case err1 != nil || lastText != "" && err2 != nil || lastText != "" && last < first:
		return whole, nil
	case lastText == "":
		last = size - 1
	}
	if first >= size {
		return whole, errRange
	}
	last = min(last, size-1)
	return span{off: first, size: last - first + 1, partial: true}, nil
}
