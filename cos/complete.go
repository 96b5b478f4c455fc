package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// CompleteMultipart makes the object out of the given parts, in ascending order. The service may
// take minutes; it keeps the connection alive meanwhile.
//
// Without a reply the call looks before it repeats itself: while the upload exists nothing was
// applied and it is sent again; when the upload is gone the object must have the size and CRC64 that
// the options or the parts state. If it has not, the error is ErrUnknownOutcome.
func (c *Client) CompleteMultipart(ctx context.Context, key, uploadID string, parts []Part, o *CompleteOptions) (*PutResult, error) {
	const op = "CompleteMultipart"
	body, err := completeBody(key, uploadID, parts)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	if o == nil {
		o = &CompleteOptions{}
	}
	want := expected(parts, *o)
	r := &request{
		op: op, method: http.MethodPost, key: key, mutates: true, slow: true,
		query: url.Values{"uploadId": {uploadID}},
		body:  strings.NewReader(body), size: int64(len(body)),
	}
	r.setHeader("Content-Type", "application/xml")
	if o.ForbidOverwrite {
		r.setHeader(headerForbid, "true")
	}
	started, _ := c.clock.now()
	var res PutResult
	r.read = func(a *answer) (err error) {
		res, err = completeResult(a, want)
		return err
	}
	r.settle = c.settleComplete(r, uploadID, want, started, &res)
	h, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	res.Unclear = h.unclear && !res.Settled
	return &res, nil
}

func completeBody(key, uploadID string, parts []Part) (string, error) {
	if err := checkPart(key, uploadID, 1); err != nil {
		return "", err
	}
	if len(parts) == 0 || len(parts) > MaxParts {
		return "", fmt.Errorf("%w: %d parts", ErrInvalidArgument, len(parts))
	}
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	last := 0
	for _, p := range parts {
		if p.Number <= last || p.Number > MaxParts || p.ETag == "" {
			return "", fmt.Errorf("%w: part %d with ETag %q after part %d", ErrInvalidPart, p.Number, p.ETag, last)
		}
		last = p.Number
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>", p.Number, escapeXML(p.ETag))
	}
	b.WriteString("</CompleteMultipartUpload>")
	return b.String(), nil
}

// expected fills in what the options leave open from the parts, if every one tells.
func expected(parts []Part, o CompleteOptions) CompleteOptions {
	var size int64
	var crc uint64
	sized, summed := true, true
	for _, p := range parts {
		sized = sized && p.Size > 0
		summed = summed && p.Size > 0 && p.HasCRC64
		crc = CRC64Combine(crc, p.CRC64, p.Size)
		size += p.Size
	}
	if o.Size == 0 && sized {
		o.Size = size
	}
	if !o.HasCRC64 && summed {
		o.CRC64, o.HasCRC64 = crc, true
	}
	return o
}

func completeResult(a *answer, want CompleteOptions) (PutResult, error) {
	var doc struct {
		XMLName  xml.Name
		Location string
		ETag     string
	}
	if err := readXML(a, "CompleteMultipartUploadResult", &doc); err != nil {
		return PutResult{}, err
	}
	if doc.ETag == "" {
		return PutResult{}, fmt.Errorf("%w: no ETag", ErrBadResponse)
	}
	crc, has, err := crcHeader(a.Header)
	if err != nil {
		return PutResult{}, fmt.Errorf("%w (%w)", err, errFinal)
	}
	if has && want.HasCRC64 && crc != want.CRC64 {
		return PutResult{}, fmt.Errorf("%w: the parts' CRC64 is %d, the object's %d (%w)", ErrChecksum, want.CRC64, crc, errFinal)
	}
	return PutResult{
		ETag: trimETag(doc.ETag), CRC64: crc, HasCRC64: has, Location: doc.Location,
		VersionID:  a.Header.Get(headerVersionID),
		RequestID:  a.Header.Get(headerRequestID),
		ServerTime: serverTime(a.Header),
	}, nil
}

// settleComplete looks at the upload, then at the object.
func (c *Client) settleComplete(r *request, uploadID string, want CompleteOptions, started time.Time, res *PutResult) func(context.Context, *failure) (verdict, error) {
	return func(ctx context.Context, f *failure) (verdict, error) {
		if !f.unclear && !errors.Is(f.err, ErrNotFound) && !errors.Is(f.err, ErrExists) {
			return resend, nil // refused for another reason, which stands
		}
		_, err := c.ListParts(ctx, r.key, uploadID, &ListPartsOptions{MaxParts: 1})
		if err == nil {
			return resend, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return cannotSay, err
		}
		info, err := c.Head(ctx, r.key, nil)
		if err != nil {
			return cannotSay, err
		}
		if why := unlike(info, want, started); why != nil {
			return cannotSay, why
		}
		*res = PutResult{
			ETag: info.ETag, CRC64: info.CRC64, HasCRC64: info.HasCRC64, VersionID: info.VersionID,
			RequestID: info.RequestID, ServerTime: info.ServerTime, Settled: true,
		}
		return applied, nil
	}
}

// unlike tells why an object is not evidently the one that a vanished upload was to make. Where a
// side has no CRC64, the size and a change since the first attempt must do: only a complete or an
// abort removes an upload.
func unlike(info *ObjectInfo, want CompleteOptions, started time.Time) error {
	switch {
	case want.Size > 0 && info.Size != want.Size:
		return fmt.Errorf("the upload is gone and the object has %d bytes, not %d", info.Size, want.Size)
	case want.HasCRC64 && info.HasCRC64 && info.CRC64 != want.CRC64:
		return errors.New("the upload is gone and the object has another CRC64")
	case want.HasCRC64 && info.HasCRC64:
		return nil
	case want.Size == 0 || info.LastModified.Before(started.Add(-skewTolerance)):
		return errors.New("the upload is gone and nothing proves that the object came from it")
	}
	return nil
}
