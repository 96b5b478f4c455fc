package cosserver

import (
	"net/http"
	"strconv"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
)

const (
	maxParts  = 10000
	maxObject = 50000 << 30 // bytes of a multipart object
)

func (r *request) initiate() error {
	a, err := r.attrs()
	if err != nil {
		return err
	}
	u, err := r.srv.store.Initiate(r.bucket, r.key, a)
	if err != nil {
		return err
	}
	r.setSSE(u.SSE)
	x := newDocument("InitiateMultipartUploadResult")
	x.text("Bucket", r.bucket)
	x.text("Key", r.key)
	x.text("UploadId", u.ID)
	return r.sendXML(http.StatusOK, x)
}

// partAddress reads and checks the number and the upload of a part.
func (r *request) partAddress() (number int, uploadID string, err error) {
	number, err = strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return 0, "", badArgument("partNumber is not from 1 to %d.", maxParts)
	}
	u, err := r.upload()
	if err != nil {
		return 0, "", err
	}
	sum, err := customerKey(r.Header, ssePrefix+"-Customer-")
	if err != nil {
		return 0, "", err
	}
	if sum != u.SSE.CustomerKeyMD5 {
		return 0, "", badArgument("The customer key is not the one the upload began with.")
	}
	return number, u.ID, nil
}

// upload finds the upload a request is about.
func (r *request) upload() (*store.Upload, error) {
	uploadID := r.query.Get("uploadId")
	if !store.ValidUploadID(uploadID) {
		return nil, store.ErrNoUpload
	}
	return r.srv.store.Upload(r.bucket, r.key, uploadID)
}

func (r *request) uploadPart() error {
	number, uploadID, err := r.partAddress()
	if err != nil {
		return err
	}
	st, err := r.stage(false)
	if err != nil {
		return err
	}
	p, err := r.srv.store.PutPart(r.bucket, r.key, uploadID, number, st)
	if err != nil {
		return err
	}
	r.set(hdrETag, quote(p.ETag))
	r.set(hdrCRC, strconv.FormatUint(p.CRC64, 10))
	return r.send(http.StatusOK, "", nil)
}

func (r *request) listParts() error {
	if r.query.Get("uploadId") == "" {
		return failf(http.StatusBadRequest, "ListPartUploadIdIsEmpty", "uploadId is empty.")
	}
	marker, err := r.number("part-number-marker", 0, maxParts, 0)
	if err != nil {
		return err
	}
	limit, err := r.number("max-parts", 0, 1000, 1000)
	if err != nil {
		return err
	}
	encode, err := r.encoding()
	if err != nil {
		return err
	}
	u, err := r.upload()
	if err != nil {
		return err
	}
	parts, more, err := r.srv.store.Parts(u.ID, marker, limit)
	if err != nil {
		return err
	}
	x := newDocument("ListPartsResult")
	x.text("Bucket", r.bucket)
	r.encodingElement(x, "EncodingType")
	x.text("Key", encode(r.key))
	x.text("UploadId", u.ID)
	r.person(x, "Owner")
	x.text("PartNumberMarker", strconv.Itoa(marker))
	r.person(x, "Initiator")
	for _, p := range parts {
		x.open("Part")
		x.text("PartNumber", strconv.Itoa(p.Number))
		x.text("LastModified", listTime(p.Modified))
		x.text("ETag", quote(p.ETag))
		x.text("Size", strconv.FormatInt(p.Size, 10))
		x.close("Part")
	}
	if more && len(parts) > 0 {
		x.text("NextPartNumberMarker", strconv.Itoa(parts[len(parts)-1].Number))
	}
	x.text("StorageClass", className(u.StorageClass))
	x.text("MaxParts", strconv.Itoa(limit))
	x.text("IsTruncated", strconv.FormatBool(more))
	return r.sendXML(http.StatusOK, x)
}

// completeBody is what a client sends to complete an upload.
type completeBody struct {
	Parts []struct {
		PartNumber int
		ETag       string
	} `xml:"Part"`
}

func (r *request) complete() error {
	var body completeBody
	if err := r.readXML(&body, false); err != nil {
		return err
	}
	if len(body.Parts) == 0 || len(body.Parts) > maxParts {
		return fail(http.StatusBadRequest, "MalformedXML")
	}
	uploadID := r.query.Get("uploadId")
	if !store.ValidUploadID(uploadID) {
		return store.ErrNoUpload
	}
	if r.srv.opt.Switches.RepeatComplete {
		if done, err := r.srv.store.Ended(uploadID); err == nil {
			return r.sendCompleted(done.ETag, done.VersionID, done.CRC64)
		}
	}
	choose := func(all []*store.Part) ([]*store.Part, error) { return r.chooseParts(&body, all) }
	o, err := r.srv.store.Complete(r.bucket, r.key, uploadID, choose, r.overwriteRule())
	if err != nil {
		return err
	}
	r.rec.Size = o.Size
	r.setSSE(o.SSE)
	return r.sendCompleted(o.ETag, o.VersionID, o.CRC64)
}

// chooseParts checks the parts a client lists against those it uploaded.
func (r *request) chooseParts(body *completeBody, all []*store.Part) ([]*store.Part, error) {
	byNumber := make(map[int]*store.Part, len(all))
	for _, p := range all {
		byNumber[p.Number] = p
	}
	for i := 1; i < len(body.Parts); i++ { // first of all: out of order, every part is behind a gap too
		if body.Parts[i].PartNumber <= body.Parts[i-1].PartNumber {
			return nil, fail(http.StatusBadRequest, "InvalidPartOrder")
		}
	}
	sw := &r.srv.opt.Switches
	chosen := make([]*store.Part, 0, len(body.Parts))
	var total int64
	for i, want := range body.Parts {
		p := byNumber[want.PartNumber]
		if p == nil || !etagIn(want.ETag, p.ETag) || !sw.PartGaps && want.PartNumber != i+1 {
			return nil, failf(http.StatusBadRequest, "InvalidPart", "Part %d is missing, changed, or behind a gap.", want.PartNumber)
		}
		if i < len(body.Parts)-1 && p.Size < sw.minPart(p.Copied) {
			return nil, failf(http.StatusBadRequest, "EntityTooSmall", "Part %d has only %d bytes.", p.Number, p.Size)
		}
		total += p.Size
		chosen = append(chosen, p)
	}
	if total > maxObject {
		return nil, fail(http.StatusBadRequest, "EntityTooLarge")
	}
	return chosen, nil
}

func (r *request) sendCompleted(etag, version string, crc uint64) error {
	r.set(hdrCRC, strconv.FormatUint(crc, 10))
	if r.state.Versioning != "" {
		r.set(hdrVersion, version)
	}
	host := r.Host
	if host == "" {
		host = r.srv.Host(r.bucket)
	}
	x := newDocument("CompleteMultipartUploadResult")
	x.text("Location", "http://"+host+"/"+strings.TrimPrefix(r.key, "/"))
	x.text("Bucket", r.bucket)
	x.text("Key", r.key)
	x.text("ETag", quote(etag))
	if r.srv.opt.Switches.PadComplete {
		x.pad(16)
	}
	return r.sendXML(http.StatusOK, x)
}

func (r *request) abort() error {
	uploadID := r.query.Get("uploadId")
	if !store.ValidUploadID(uploadID) {
		return store.ErrNoUpload
	}
	if err := r.srv.store.Abort(r.bucket, r.key, uploadID); err != nil {
		return err
	}
	return r.send(http.StatusNoContent, "", nil)
}
