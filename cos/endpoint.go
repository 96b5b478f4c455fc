package cos

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9]+$`)
	regionForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	// regionHost finds the region in the service's own host names.
	regionHost = regexp.MustCompile(`(?:^|\.)(?:cos|cos-internal)\.([a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.cn)$`)
)

const maxBucketLabel = 63 // a DNS label

// endpoint says where requests go and which host they name.
type endpoint struct {
	scheme string
	dial   string // host[:port] of the URL
	host   string // Host header, signed
	region string
	direct bool // dial is not host: an address that stands in for the service
}

// CheckBucket explains what is wrong with a bucket name, or returns nil.
func CheckBucket(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: no bucket named: it is NAME-APPID, such as examplebucket-1250000000", ErrInvalidArgument)
	case !bucketForm.MatchString(name):
		return fmt.Errorf("%w: bucket %q: a bucket is NAME-APPID, such as examplebucket-1250000000: "+
			"lower-case letters, digits and hyphens, then a hyphen and the account's numeric APPID", ErrInvalidArgument, name)
	case len(name) > maxBucketLabel:
		return fmt.Errorf("%w: bucket %q is longer than %d characters", ErrInvalidArgument, name, maxBucketLabel)
	}
	return nil
}

func newEndpoint(o Options) (endpoint, error) {
	if err := CheckBucket(o.Bucket); err != nil {
		return endpoint{}, err
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://cos." + o.Region + ".myqcloud.com"
		if o.Region == "" {
			return endpoint{}, fmt.Errorf("%w: neither region nor endpoint given: name the bucket's region, such as ap-guangzhou", ErrInvalidArgument)
		}
	}
	u, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return endpoint{}, err
	}
	e := endpoint{scheme: u.Scheme, dial: u.Host, host: u.Host, region: o.Region}
	if e.region == "" {
		e.region = regionOf(u.Hostname())
	}
	if e.region != "" && !regionForm.MatchString(e.region) {
		return endpoint{}, fmt.Errorf("%w: region %q: a region looks like ap-guangzhou", ErrInvalidArgument, e.region)
	}
	return e.forBucket(o.Bucket, u.Hostname(), o.EndpointIsBucket)
}

// forBucket puts the bucket where the kind of host wants it.
func (e endpoint) forBucket(bucket, hostname string, isBucket bool) (endpoint, error) {
	switch {
	case isBucket, strings.HasPrefix(hostname, bucket+"."):
		return e, nil
	case isAddress(hostname):
		if e.region == "" {
			return e, fmt.Errorf("%w: endpoint %s is an address: name the bucket's region too", ErrInvalidArgument, e.dial)
		}
		e.direct = true
		e.host = virtualHost(bucket, e.region)
		return e, nil
	}
	e.dial = bucket + "." + e.dial
	e.host = e.dial
	return e, nil
}

func parseEndpoint(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%w: endpoint: %w", ErrInvalidArgument, err)
	}
	u.Host = strings.ToLower(u.Host)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%w: endpoint %q: the scheme must be http or https", ErrInvalidArgument, s)
	case u.Hostname() == "", u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%w: endpoint %q: give scheme and host only, such as https://cos.ap-guangzhou.myqcloud.com", ErrInvalidArgument, u.Redacted())
	}
	return u, nil
}

// isAddress tells hosts that cannot carry a bucket as their first label.
func isAddress(hostname string) bool {
	if _, err := netip.ParseAddr(hostname); err == nil {
		return true
	}
	return hostname == "localhost"
}

func regionOf(hostname string) string {
	m := regionHost.FindStringSubmatch(hostname)
	if m == nil || m[1] == "accelerate" { // a road to every region
		return ""
	}
	return m[1]
}

// virtualHost is the name by which the service itself knows a bucket.
func virtualHost(bucket, region string) string {
	return bucket + ".cos." + region + ".myqcloud.com"
}

// sourceHost is the host of x-cos-copy-source: the service's own name for the bucket, whichever
// domain the client itself goes through.
func (c *Client) sourceHost(s Source) string {
	bucket, region := orDefault(s.Bucket, c.bucket), orDefault(s.Region, c.ep.region)
	if region == "" {
		return c.ep.host // a custom domain, and nobody said where its bucket is
	}
	return virtualHost(bucket, region)
}
