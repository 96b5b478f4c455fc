package cos

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// List returns one page of the bucket's objects in the order of their keys' bytes. The service may
// list with a delay: a page never proves that an object is absent.
func (c *Client) List(ctx context.Context, o *ListOptions) (*ListPage, error) {
	const op = "ListObjects"
	if o == nil {
		o = &ListOptions{}
	}
	r := &request{op: op, method: http.MethodGet, query: o.query()}
	var page ListPage
	r.read = func(a *answer) (err error) {
		b, err := readBounded(a)
		if err != nil {
			return err
		}
		if page, err = scanList(b); err != nil {
			return err
		}
		page.ServerTime = serverTime(a.Header)
		return page.check(o)
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &page, nil
}

func (o *ListOptions) query() url.Values {
	// Keys may hold characters that XML cannot: they are always asked for in URL encoding.
	q := url.Values{"encoding-type": {"url"}}
	setQuery(q, "prefix", o.Prefix)
	setQuery(q, "delimiter", o.Delimiter)
	setQuery(q, "marker", o.Marker)
	q.Set("max-keys", strconv.Itoa(orDefault(o.MaxKeys, MaxListKeys)))
	return q
}

func setQuery(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// check refuses a page that does not answer the question or would make a caller turn in circles.
func (p *ListPage) check(o *ListOptions) error {
	for i := range p.Entries {
		if k := p.Entries[i].Key; k <= o.Marker || !strings.HasPrefix(k, o.Prefix) {
			return fmt.Errorf("%w: %q listed after %q under %q", ErrBadResponse, k, o.Marker, o.Prefix)
		}
	}
	for _, cp := range p.CommonPrefixes {
		if !strings.HasPrefix(cp, o.Prefix) {
			return fmt.Errorf("%w: prefix %q listed under %q", ErrBadResponse, cp, o.Prefix)
		}
	}
	if p.Truncated && p.NextMarker <= o.Marker {
		return fmt.Errorf("%w: next marker %q after %q", ErrBadResponse, p.NextMarker, o.Marker)
	}
	return nil
}

// uploadsDoc is the answer of ListUploads.
type uploadsDoc struct {
	XMLName            xml.Name
	IsTruncated        string
	NextKeyMarker      string
	NextUploadIDMarker string `xml:"NextUploadIdMarker"`
	Uploads            []struct {
		Key          string
		UploadID     string `xml:"UploadId"`
		OldUploadID  string `xml:"UploadID"` // the spelling of older documentation
		StorageClass string
		Initiated    string
		Initiator    ownerDoc
		Owner        ownerDoc
	} `xml:"Upload"`
	CommonPrefixes []struct{ Prefix string }
}

// ListUploads returns one page of the multipart uploads under way, by key and upload ID.
func (c *Client) ListUploads(ctx context.Context, o *ListUploadsOptions) (*ListUploadsResult, error) {
	const op = "ListUploads"
	if o == nil {
		o = &ListUploadsOptions{}
	}
	q := url.Values{"uploads": nil, "encoding-type": {orDefault(o.EncodingType, "url")}}
	setQuery(q, "prefix", o.Prefix)
	setQuery(q, "delimiter", o.Delimiter)
	setQuery(q, "key-marker", o.KeyMarker)
	setQuery(q, "upload-id-marker", o.UploadIDMarker)
	if o.MaxUploads > 0 {
		q.Set("max-uploads", strconv.Itoa(o.MaxUploads))
	}
	var res ListUploadsResult
	r := &request{op: op, method: http.MethodGet, query: q}
	r.read = func(a *answer) (err error) {
		var doc uploadsDoc
		if err := readXML(a, "ListMultipartUploadsResult", &doc); err != nil {
			return err
		}
		res, err = doc.result(o)
		return err
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &res, nil
}

func (d *uploadsDoc) result(o *ListUploadsOptions) (ListUploadsResult, error) {
	truncated, err := parseBool(d.IsTruncated)
	if err != nil {
		return ListUploadsResult{}, err
	}
	var bad error
	dec := func(s string) string {
		u, err := url.PathUnescape(s)
		if err != nil && bad == nil {
			bad = fmt.Errorf("%w: %w", ErrBadResponse, err)
		}
		return u
	}
	res := ListUploadsResult{
		Truncated:          truncated,
		NextKeyMarker:      dec(d.NextKeyMarker),
		NextUploadIDMarker: dec(d.NextUploadIDMarker),
	}
	for _, u := range d.Uploads {
		res.Uploads = append(res.Uploads, UploadInfo{
			Key: dec(u.Key), UploadID: orDefault(u.UploadID, u.OldUploadID), StorageClass: u.StorageClass,
			Initiated: looseTime(u.Initiated), Initiator: u.Initiator.ID, Owner: u.Owner.ID,
		})
	}
	for _, p := range d.CommonPrefixes {
		res.CommonPrefixes = append(res.CommonPrefixes, dec(p.Prefix))
	}
	if bad != nil {
		return ListUploadsResult{}, bad
	}
	after := res.NextKeyMarker > o.KeyMarker ||
		res.NextKeyMarker == o.KeyMarker && res.NextUploadIDMarker > o.UploadIDMarker
	if truncated && !after {
		return ListUploadsResult{}, fmt.Errorf("%w: next markers %q %q after %q %q", ErrBadResponse,
			res.NextKeyMarker, res.NextUploadIDMarker, o.KeyMarker, o.UploadIDMarker)
	}
	return res, nil
}
