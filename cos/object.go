package cos

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Head returns the properties of an object. A missing object is ErrNotFound, and so is a missing
// bucket: the answer has no body to tell them apart.
func (c *Client) Head(ctx context.Context, key string, o *HeadOptions) (*ObjectInfo, error) {
	const op = "HeadObject"
	if err := CheckKey(key); err != nil {
		return nil, refuse(op, key, err)
	}
	r := &request{op: op, method: http.MethodHead, key: key}
	if o != nil {
		r.query = versionQuery(o.VersionID)
		r.setConditions("", o.Conditions)
		r.setCustomerKey(ssePrefix, o.SSE)
	}
	var info ObjectInfo
	r.read = func(a *answer) (err error) {
		if info, err = objectInfo(key, a.Header); err != nil {
			return err
		}
		if info.Size = a.ContentLength; info.Size < 0 {
			return fmt.Errorf("%w: no Content-Length", ErrBadResponse)
		}
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &info, nil
}

// send checks the headers once and does the request.
func (c *Client) send(ctx context.Context, r *request) (history, error) {
	if err := r.checkHeaders(); err != nil {
		return history{}, refuse(r.op, r.key, err)
	}
	return c.do(ctx, r)
}

func versionQuery(id string) url.Values {
	if id == "" {
		return nil
	}
	return url.Values{"versionId": {id}}
}

// Put stores an object of size bytes from body, replacing what is there. It is sent again freely:
// the same bytes under the same key. With ForbidOverwrite a refusal that an earlier attempt of its
// own may have caused is settled by comparing the object's size and CRC64.
func (c *Client) Put(ctx context.Context, key string, body io.ReaderAt, size int64, o *PutOptions) (*PutResult, error) {
	const op = "PutObject"
	if o == nil {
		o = &PutOptions{}
	}
	r, err := c.putRequest(op, key, body, size, o)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	var res PutResult
	r.read = func(a *answer) error {
		if err := discard(a); err != nil {
			return err
		}
		crc, err := verifySent(a)
		if err != nil && o.ForbidOverwrite {
			// The wrong bytes are in place now, and forbid their own replacement.
			return fmt.Errorf("%w (%w)", err, errFinal)
		}
		if err != nil {
			return err
		}
		res = putResult(a, crc)
		return nil
	}
	if o.ForbidOverwrite {
		r.settle = c.settleForbidden(r, &res)
	}
	h, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	res.Unclear = h.unclear && !res.Settled
	if o.Progress != nil {
		o.Progress(size, size)
	}
	return &res, nil
}

func (c *Client) putRequest(op, key string, body io.ReaderAt, size int64, o *PutOptions) (*request, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	r := &request{op: op, method: http.MethodPut, key: key, mutates: true}
	if err := r.setBody(body, size, o.ContentMD5, o.EnableMD5); err != nil {
		return nil, err
	}
	if o.ForbidOverwrite {
		r.setHeader(headerForbid, "true")
	}
	if err := r.setTrafficLimit(orDefault(o.TrafficLimit, c.o.TrafficLimit)); err != nil {
		return nil, err
	}
	return r, r.setAll(o.Headers)
}

// setBody gives the request its bytes, and their MD5 if asked to.
func (r *request) setBody(body io.ReaderAt, size int64, contentMD5 string, computeMD5 bool) error {
	switch {
	case size < 0:
		return fmt.Errorf("%w: a body of %d bytes", ErrInvalidArgument, size)
	case size > MaxPutBytes:
		return fmt.Errorf("%w: %d bytes, at most %d go in one request", ErrTooLarge, size, int64(MaxPutBytes))
	}
	if size > 0 {
		r.body, r.size = body, size
	}
	if contentMD5 == "" && computeMD5 {
		sum, err := md5Of(body, size)
		if err != nil {
			return err
		}
		contentMD5, r.ownMD5 = base64.StdEncoding.EncodeToString(sum), true
	}
	r.setHeader("Content-MD5", contentMD5)
	return nil
}

// md5Of reads the body once.
func md5Of(body io.ReaderAt, size int64) ([]byte, error) {
	h := md5.New()
	if size == 0 {
		return h.Sum(nil), nil
	}
	n, err := io.Copy(h, io.NewSectionReader(body, 0, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSource, err)
	}
	return h.Sum(nil), nil
}

// verifySent compares the checksum in the answer with that of the bytes sent, and returns the
// latter. A server that states none is believed.
func verifySent(a *answer) (uint64, error) {
	crc, whole := uint64(0), true
	if a.sent != nil {
		crc, whole = a.sent.complete()
	}
	if !whole {
		return 0, fmt.Errorf("%w: accepted before the body was sent", ErrBadResponse)
	}
	got, has, err := crcHeader(a.Header)
	if err != nil {
		return 0, err
	}
	if has && got != crc {
		return 0, fmt.Errorf("%w: sent CRC64 %d, stored %d", ErrChecksum, crc, got)
	}
	return crc, nil
}

func putResult(a *answer, crc uint64) PutResult {
	return PutResult{
		ETag:       trimETag(a.Header.Get("Etag")),
		CRC64:      crc,
		HasCRC64:   true,
		VersionID:  a.Header.Get(headerVersionID),
		RequestID:  a.Header.Get(headerRequestID),
		ServerTime: serverTime(a.Header),
	}
}

// settleForbidden decides what "object exists" means after an attempt without a reply: whether the
// object is what this put wrote.
func (c *Client) settleForbidden(r *request, res *PutResult) func(context.Context, *failure) (verdict, error) {
	return func(ctx context.Context, f *failure) (verdict, error) {
		if !errors.Is(f.err, ErrExists) {
			return resend, nil
		}
		crc, err := crcOf(r.body, r.size)
		if err != nil {
			return cannotSay, err
		}
		v, info, err := c.compare(ctx, r.key, r.size, crc)
		if v == applied {
			*res = PutResult{
				ETag: info.ETag, CRC64: crc, HasCRC64: true, VersionID: info.VersionID,
				RequestID: info.RequestID, ServerTime: info.ServerTime, Settled: true,
			}
		}
		return v, err
	}
}

// compare tells by HEAD whether the object has the given content: applied, refused with ErrExists
// if it has another, or cannotSay.
func (c *Client) compare(ctx context.Context, key string, size int64, crc uint64) (verdict, *ObjectInfo, error) {
	info, err := c.Head(ctx, key, nil)
	switch {
	case errors.Is(err, ErrNotFound):
		return resend, nil, nil
	case err != nil:
		return cannotSay, nil, err
	case info.Size != size:
		return refused, nil, ErrExists
	case !info.HasCRC64:
		return cannotSay, nil, errors.New("the object carries no CRC64 to compare")
	case info.CRC64 != crc:
		return refused, nil, ErrExists
	}
	return applied, info, nil
}

// crcOf reads the body once.
func crcOf(body io.ReaderAt, size int64) (uint64, error) {
	if size == 0 {
		return 0, nil
	}
	var crc crcWriter
	n, err := io.Copy(&crc, io.NewSectionReader(body, 0, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errSource, err)
	}
	return uint64(crc), nil
}

// crcWriter sums what is written to it.
type crcWriter uint64

func (w *crcWriter) Write(p []byte) (int, error) {
	*w = crcWriter(CRC64Update(uint64(*w), p))
	return len(p), nil
}

// Delete removes an object, or one version of it. A missing object is no error. A delete whose reply
// was lost is sent again; it would also remove an object created in between.
func (c *Client) Delete(ctx context.Context, key string, o *DeleteOptions) error {
	const op = "DeleteObject"
	if err := CheckKey(key); err != nil {
		return refuse(op, key, err)
	}
	r := &request{op: op, method: http.MethodDelete, key: key, mutates: true, read: discard}
	if o != nil {
		r.query = versionQuery(o.VersionID)
	}
	_, err := c.send(ctx, r)
	var e *Error
	if errors.As(err, &e) && e.Code == "NoSuchKey" {
		return nil
	}
	return err
}
