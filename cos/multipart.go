package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// InitiateMultipart opens a multipart upload and returns its ID. An attempt whose reply was lost is
// sent again and may leave an upload behind, which ListUploads shows and AbortMultipart removes.
func (c *Client) InitiateMultipart(ctx context.Context, key string, o *InitiateOptions) (uploadID string, err error) {
	const op = "InitiateMultipart"
	if err := CheckKey(key); err != nil {
		return "", refuse(op, key, err)
	}
	r := &request{op: op, method: http.MethodPost, key: key, mutates: true, query: url.Values{"uploads": nil}}
	if o != nil {
		if err := r.setAll(o.Headers); err != nil {
			return "", refuse(op, key, err)
		}
	}
	var doc struct {
		XMLName  xml.Name
		UploadID string `xml:"UploadId"`
	}
	r.read = func(a *answer) error {
		if err := readXML(a, "InitiateMultipartUploadResult", &doc); err != nil {
			return err
		}
		if doc.UploadID == "" {
			return fmt.Errorf("%w: no upload ID", ErrBadResponse)
		}
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return "", err
	}
	return doc.UploadID, nil
}

func partQuery(uploadID string, number int) url.Values {
	return url.Values{"partNumber": {strconv.Itoa(number)}, "uploadId": {uploadID}}
}

// checkPart refuses what would address something else than a part.
func checkPart(key, uploadID string, number int) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if uploadID == "" {
		return fmt.Errorf("%w: empty upload ID", ErrInvalidArgument)
	}
	if number < 1 || number > MaxParts {
		return fmt.Errorf("%w: part number %d is outside 1..%d", ErrInvalidArgument, number, MaxParts)
	}
	return nil
}

// UploadPart stores one part, replacing one of the same number, so it is sent again freely.
func (c *Client) UploadPart(ctx context.Context, key, uploadID string, number int, body io.ReaderAt, size int64, o *PartOptions) (Part, error) {
	const op = "UploadPart"
	r, err := c.partRequest(op, key, uploadID, number, body, size, o)
	if err != nil {
		return Part{}, refuse(op, key, err)
	}
	p := Part{Number: number, Size: size, HasCRC64: true}
	r.read = func(a *answer) (err error) {
		if err := discard(a); err != nil {
			return err
		}
		if p.CRC64, err = verifySent(a); err != nil {
			return err
		}
		if p.ETag = trimETag(a.Header.Get("Etag")); p.ETag == "" {
			return fmt.Errorf("%w: a part without ETag", ErrBadResponse)
		}
		p.LastModified = serverTime(a.Header)
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return Part{}, err
	}
	return p, nil
}

func (c *Client) partRequest(op, key, uploadID string, number int, body io.ReaderAt, size int64, o *PartOptions) (*request, error) {
	if err := checkPart(key, uploadID, number); err != nil {
		return nil, err
	}
	if o == nil {
		o = &PartOptions{}
	}
	r := &request{op: op, method: http.MethodPut, key: key, query: partQuery(uploadID, number)}
	if err := r.setBody(body, size, o.ContentMD5, o.EnableMD5); err != nil {
		return nil, err
	}
	r.setCustomerKey(ssePrefix, o.SSE)
	return r, r.setTrafficLimit(orDefault(o.TrafficLimit, c.o.TrafficLimit))
}

// AbortMultipart drops an upload and its parts. One that does not exist is ErrNotFound, unless an
// earlier attempt of this call may have removed it.
func (c *Client) AbortMultipart(ctx context.Context, key, uploadID string) error {
	const op = "AbortMultipart"
	if err := checkPart(key, uploadID, 1); err != nil {
		return refuse(op, key, err)
	}
	r := &request{
		op: op, method: http.MethodDelete, key: key, mutates: true,
		query: url.Values{"uploadId": {uploadID}}, read: discard,
	}
	r.settle = func(_ context.Context, f *failure) (verdict, error) {
		if errors.Is(f.err, ErrNotFound) {
			return applied, nil
		}
		return resend, nil
	}
	_, err := c.send(ctx, r)
	return err
}

// partsDoc is the answer of ListParts.
type partsDoc struct {
	XMLName     xml.Name
	IsTruncated string
	NextMarker  string `xml:"NextPartNumberMarker"`
	Class       string `xml:"StorageClass"`
	Initiator   ownerDoc
	Owner       ownerDoc
	Parts       []partDoc `xml:"Part"`
}

type ownerDoc struct {
	ID string
}

type partDoc struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int64
}

// ListParts returns one page of an upload's parts.
func (c *Client) ListParts(ctx context.Context, key, uploadID string, o *ListPartsOptions) (*ListPartsResult, error) {
	const op = "ListParts"
	if err := checkPart(key, uploadID, 1); err != nil {
		return nil, refuse(op, key, err)
	}
	if o == nil {
		o = &ListPartsOptions{}
	}
	q := url.Values{"uploadId": {uploadID}, "encoding-type": {orDefault(o.EncodingType, "url")}}
	if o.MaxParts > 0 {
		q.Set("max-parts", strconv.Itoa(o.MaxParts))
	}
	if o.PartNumberMarker > 0 {
		q.Set("part-number-marker", strconv.Itoa(o.PartNumberMarker))
	}
	var res ListPartsResult
	r := &request{op: op, method: http.MethodGet, key: key, query: q}
	r.read = func(a *answer) (err error) {
		var doc partsDoc
		if err := readXML(a, "ListPartsResult", &doc); err != nil {
			return err
		}
		res, err = doc.result(o.PartNumberMarker)
		return err
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &res, nil
}

func (d *partsDoc) result(after int) (ListPartsResult, error) {
	truncated, err := parseBool(d.IsTruncated)
	if err != nil {
		return ListPartsResult{}, err
	}
	res := ListPartsResult{
		Truncated: truncated, StorageClass: d.Class, Initiator: d.Initiator.ID, Owner: d.Owner.ID,
		Parts: make([]Part, 0, len(d.Parts)),
	}
	last := after
	for _, p := range d.Parts {
		if p.PartNumber <= last || p.PartNumber > MaxParts || p.Size < 0 {
			return ListPartsResult{}, fmt.Errorf("%w: part %d of %d bytes listed after %d", ErrBadResponse, p.PartNumber, p.Size, last)
		}
		last = p.PartNumber
		res.Parts = append(res.Parts, Part{
			Number: p.PartNumber, ETag: trimETag(p.ETag), Size: p.Size, LastModified: looseTime(p.LastModified),
		})
	}
	if !truncated {
		return res, nil
	}
	if res.NextMarker, err = strconv.Atoi(d.NextMarker); err != nil || res.NextMarker <= after {
		return ListPartsResult{}, fmt.Errorf("%w: next part marker %q after %d", ErrBadResponse, d.NextMarker, after)
	}
	return res, nil
}

// parseBool reads IsTruncated, which has two spellings only. A listing that does not say whether it
// is whole proves nothing.
func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%w: IsTruncated is %q", ErrBadResponse, s)
}

// looseTime reads the time formats of XML answers, some of which lack a zone; the zero time if it is
// none of them.
func looseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}
