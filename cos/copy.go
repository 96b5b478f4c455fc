package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"cosfuse/cos/internal/sign"
)

// copyDoc is the answer of both kinds of copy.
type copyDoc struct {
	XMLName      xml.Name
	ETag         string
	CRC64        string
	LastModified string
	VersionID    string `xml:"VersionId"`
}

// setSource names what is copied, on which conditions.
func (c *Client) setSource(r *request, s Source) error {
	if err := CheckKey(s.Key); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if s.Bucket != "" {
		if err := CheckBucket(s.Bucket); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	src := c.sourceHost(s) + "/" + sign.EscapeKey(s.Key)
	if s.VersionID != "" {
		src += "?versionId=" + sign.Escape(s.VersionID)
	}
	r.setHeader("X-Cos-Copy-Source", src)
	r.setConditions("X-Cos-Copy-Source-", s.Conditions)
	r.setCustomerKey(sourceSSEPrefix, s.SSE)
	return nil
}

// Copy makes the object key out of another one, inside the service. A source over MaxPutBytes is
// ErrTooLarge: copy it part by part. Nothing of the placement (class, ACL, encryption) is inherited.
// It is sent again freely unless ForbidOverwrite; that case is settled as in Put, by the source's
// size and CRC64. A conditional copy onto itself whose first reply was lost can end in
// ErrPrecondition and ErrUnknownOutcome.
func (c *Client) Copy(ctx context.Context, key string, o *CopyOptions) (*CopyResult, error) {
	const op = "CopyObject"
	r, err := c.copyRequest(op, key, o)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	var res CopyResult
	r.read = func(a *answer) (err error) {
		res, err = copyResult(a, "CopyObjectResult")
		return err
	}
	if o.ForbidOverwrite {
		r.settle = c.settleCopy(r, o.Source, &res)
	}
	h, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	res.Unclear = h.unclear && !res.Settled
	return &res, nil
}

func (c *Client) copyRequest(op, key string, o *CopyOptions) (*request, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%w: a copy without a source", ErrInvalidArgument)
	}
	r := &request{op: op, method: http.MethodPut, key: key, mutates: true, slow: true}
	if err := c.setSource(r, o.Source); err != nil {
		return nil, err
	}
	if o.ForbidOverwrite {
		r.setHeader(headerForbid, "true")
	}
	r.setHeader("X-Cos-Metadata-Directive", "Copy")
	if o.ReplaceTagging {
		r.setHeader("X-Cos-Tagging-Directive", "Replaced")
	}
	if o.Replace {
		r.setHeader("X-Cos-Metadata-Directive", "Replaced")
		return r, r.setAll(o.Headers)
	}
	r.setPlacement(o.Headers)
	if o.ReplaceTagging {
		r.setHeader("X-Cos-Tagging", o.Headers.Tagging)
	}
	return r, nil
}

func copyResult(a *answer, root string) (CopyResult, error) {
	var doc copyDoc
	if err := readXML(a, root, &doc); err != nil {
		return CopyResult{}, err
	}
	if doc.ETag == "" {
		return CopyResult{}, fmt.Errorf("%w: no ETag", ErrBadResponse)
	}
	res := CopyResult{
		ETag:            trimETag(doc.ETag),
		LastModified:    looseTime(doc.LastModified),
		VersionID:       orDefault(doc.VersionID, a.Header.Get(headerVersionID)),
		SourceVersionID: a.Header.Get("X-Cos-Copy-Source-Version-Id"),
		RequestID:       a.Header.Get(headerRequestID),
	}
	var err error
	if doc.CRC64 == "" {
		res.CRC64, res.HasCRC64, err = crcHeader(a.Header)
		return res, err
	}
	if res.CRC64, err = strconv.ParseUint(doc.CRC64, 10, 64); err != nil {
		return CopyResult{}, fmt.Errorf("%w: CRC64 %q", ErrBadResponse, doc.CRC64)
	}
	res.HasCRC64 = true
	return res, nil
}

// settleCopy compares target and source after "object exists" followed a lost reply.
func (c *Client) settleCopy(r *request, s Source, res *CopyResult) func(context.Context, *failure) (verdict, error) {
	return func(ctx context.Context, f *failure) (verdict, error) {
		if !errors.Is(f.err, ErrExists) {
			return resend, nil
		}
		if orDefault(s.Bucket, c.bucket) != c.bucket {
			return cannotSay, errors.New("the source is in another bucket")
		}
		src, err := c.Head(ctx, s.Key, &HeadOptions{VersionID: s.VersionID, SSE: s.SSE})
		if err != nil {
			return cannotSay, err
		}
		if !src.HasCRC64 {
			return cannotSay, errors.New("the source carries no CRC64 to compare")
		}
		v, info, err := c.compare(ctx, r.key, src.Size, src.CRC64)
		if v == applied {
			*res = CopyResult{
				ETag: info.ETag, CRC64: info.CRC64, HasCRC64: true, LastModified: info.LastModified,
				VersionID: info.VersionID, SourceVersionID: src.VersionID, RequestID: info.RequestID, Settled: true,
			}
		}
		return v, err
	}
}

// UploadPartCopy makes a part out of a range of another object. It is sent again freely. An
// appendable source may be refused with ErrInvalidState.
func (c *Client) UploadPartCopy(ctx context.Context, key, uploadID string, number int, o *CopyPartOptions) (*CopyResult, error) {
	const op = "UploadPartCopy"
	r, err := c.copyPartRequest(op, key, uploadID, number, o)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	var res CopyResult
	r.read = func(a *answer) (err error) {
		res, err = copyResult(a, "CopyPartResult")
		return err
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &res, nil
}

func (c *Client) copyPartRequest(op, key, uploadID string, number int, o *CopyPartOptions) (*request, error) {
	if err := checkPart(key, uploadID, number); err != nil {
		return nil, err
	}
	switch {
	case o == nil:
		return nil, fmt.Errorf("%w: a copy without a source", ErrInvalidArgument)
	case o.Off < 0 || o.Size < 0 || o.Size == 0 && o.Off > 0:
		return nil, fmt.Errorf("%w: %d bytes at %d", ErrInvalidRange, o.Size, o.Off)
	case o.Size > MaxPutBytes:
		return nil, fmt.Errorf("%w: a part of %d bytes", ErrTooLarge, o.Size)
	}
	r := &request{op: op, method: http.MethodPut, key: key, slow: true, query: partQuery(uploadID, number)}
	if o.Size > 0 {
		r.setHeader("X-Cos-Copy-Source-Range", rangeHeader(o.Off, o.Size))
	}
	r.setCustomerKey(ssePrefix, o.SSE)
	return r, c.setSource(r, o.Source)
}
