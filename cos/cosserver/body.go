package cosserver

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
)

const (
	maxBody = 5 << 30 // one put, part or append, and an appendable object
	maxXML  = 4 << 20 // a complete of 10,000 parts or a delete of 1,000 long keys fits
)

// contentMD5 reads Content-MD5, nil if there is none.
func contentMD5(h http.Header) ([]byte, error) {
	text := h.Get("Content-Md5")
	if text == "" {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != md5.Size {
		return nil, fail(http.StatusBadRequest, "InvalidDigest")
	}
	return sum, nil
}

// isMD5Of reports whether sum is the MD5 of key, both in base64.
func isMD5Of(sum, key string) bool {
	k, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return false
	}
	want := md5.Sum(k)
	return sum == base64.StdEncoding.EncodeToString(want[:])
}

// checkLength refuses bodies of no or of too great a length before they are read.
func (r *request) checkLength(chunkedOK bool) error {
	chunked := len(r.TransferEncoding) > 0
	switch {
	case chunked && !chunkedOK, !chunked && r.Header.Get("Content-Length") == "":
		return fail(http.StatusLengthRequired, "MissingContentLength")
	case r.ContentLength > maxBody:
		return fail(http.StatusBadRequest, "EntityTooLarge")
	case strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-"):
		return failf(http.StatusNotImplemented, "NotImplemented", "Bodies in signed chunks are not understood here.")
	}
	return nil
}

// stage receives the body of a put, part or append and checks it against the digests the client
// gave. The caller hands the result to the store or discards it.
func (r *request) stage(chunkedOK bool) (*store.Staged, error) {
	if err := r.checkLength(chunkedOK); err != nil {
		return nil, err
	}
	sum, err := contentMD5(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	limited := &limitReader{r: body, left: maxBody}
	var sha hash.Hash
	var src io.Reader = limited
	wantSHA := r.Header.Get("X-Cos-Content-Sha1")
	if wantSHA != "" {
		sha = sha1.New()
		src = io.TeeReader(limited, sha)
	}
	st, err := r.srv.store.Stage(src)
	if err != nil {
		return nil, fmt.Errorf("receive the body: %w", err)
	}
	r.rec.Size = st.Size
	if sum != nil && string(sum) != string(st.MD5[:]) {
		st.Discard()
		return nil, fail(http.StatusBadRequest, "BadDigest")
	}
	if sha != nil && !strings.EqualFold(wantSHA, hex.EncodeToString(sha.Sum(nil))) {
		st.Discard()
		return nil, failf(http.StatusBadRequest, "InvalidSHA1Digest", "x-cos-content-sha1 is not that of the body.")
	}
	return st, nil
}

// limitReader fails once more than left bytes came.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return n, fail(http.StatusBadRequest, "EntityTooLarge")
	}
	return n, err
}

// readXML reads a small body and decodes it. With checkMD5 the body's Content-MD5 is required.
func (r *request) readXML(v any, checkMD5 bool) error {
	sum, err := contentMD5(r.Header)
	if err != nil {
		return err
	}
	if checkMD5 && sum == nil {
		return failf(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: Content-MD5")
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(body, maxXML+1))
	if err != nil {
		return err
	}
	if len(data) > maxXML {
		return failf(http.StatusBadRequest, "XMLSizeLimit", "The document is larger than %d bytes.", maxXML)
	}
	if got := md5.Sum(data); sum != nil && string(sum) != string(got[:]) {
		return fail(http.StatusBadRequest, "BadDigest")
	}
	if len(data) == 0 {
		return failf(http.StatusBadRequest, "MissingRequestBodyError", "The request has no body.")
	}
	if xml.Unmarshal(data, v) != nil {
		return fail(http.StatusBadRequest, "MalformedXML")
	}
	return nil
}
