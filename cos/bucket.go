package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
)

// VersioningUnknown is BucketInfo.Versioning when the caller may not ask.
const VersioningUnknown = "unknown"

// HeadBucket tells whether the bucket can be reached and what kind it is: two requests.
func (c *Client) HeadBucket(ctx context.Context) (*BucketInfo, error) {
	var info BucketInfo
	r := &request{op: "HeadBucket", method: http.MethodHead}
	r.read = func(a *answer) error {
		info = BucketInfo{
			Region:     orDefault(a.Header.Get("X-Cos-Bucket-Region"), c.ep.region),
			MAZ:        a.Header.Get("X-Cos-Bucket-Az-Type") == "MAZ",
			OFS:        a.Header.Get("X-Cos-Bucket-Arch") == "OFS",
			ServerTime: serverTime(a.Header),
		}
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	versioning, err := c.versioning(ctx)
	if err != nil {
		return nil, err
	}
	info.Versioning = versioning
	return &info, nil
}

func (c *Client) versioning(ctx context.Context) (string, error) {
	var doc struct {
		XMLName xml.Name
		Status  string
	}
	r := &request{op: "GetBucketVersioning", method: http.MethodGet, query: url.Values{"versioning": nil}}
	r.read = func(a *answer) error { return readXML(a, "VersioningConfiguration", &doc) }
	_, err := c.send(ctx, r)
	if errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrUnsupported) {
		return VersioningUnknown, nil
	}
	return doc.Status, err
}
