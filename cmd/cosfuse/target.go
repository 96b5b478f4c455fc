package main

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	bucketName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9]+$`)
	bareName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	regionName  = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)+$`)
	serviceHost = regexp.MustCompile(`(?:^|\.)cos(?:-internal)?\.([a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.cn)$`)
)

// parseTarget splits BUCKET-APPID[:/PREFIX]. The prefix that is returned is empty or ends in "/" and
// never begins with one.
func parseTarget(text string) (bucket, prefix string, err error) {
	bucket, prefix, _ = strings.Cut(text, ":")
	if err := checkBucket(bucket); err != nil {
		return "", "", err
	}
	prefix = strings.Trim(prefix, "/")
	if prefix == "" {
		return bucket, "", nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if slices.Contains([]string{"", ".", ".."}, part) {
			return "", "", usageError("write it as BUCKET-APPID:/dir/subdir",
				"prefix %q has a component %q, which no path can name", prefix, part)
		}
	}
	return bucket, prefix + "/", nil
}

// checkBucket wants a full bucket name, APPID included.
func checkBucket(name string) error {
	switch {
	case bucketName.MatchString(name) && len(name) <= 63: // the bucket is one label of a host name
		return nil
	case bareName.MatchString(name):
		return usageError("COS bucket names end in the APPID of their account, as in "+name+
			"-1250000000; the console shows the full name", "bucket name %q has no APPID", name)
	}
	return usageError("it is lower-case letters, digits and hyphens and ends in the APPID, as in photos-1250000000",
		"%q is not a bucket name", name)
}

// checkRegion wants something that looks like a region.
func checkRegion(region string) error {
	if regionName.MatchString(region) {
		return nil
	}
	return usageError("a region looks like ap-guangzhou; the console shows the bucket's", "%q is not a region", region)
}

// parseEndpoint checks a service URL, which may lack "https://". region is the one its host names, if
// it does; address says that the host is an IP address or localhost and so names nothing.
func parseEndpoint(text string) (region string, address bool, err error) {
	const mend = "write it as http://cos.ap-guangzhou.myqcloud.com or http://127.0.0.1:9000"
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", false, usageError(mend, "--endpoint is not a URL") // the text of err may repeat a password
	case u.User != nil:
		return "", false, usageError("secrets belong into --credentials FILE or the environment",
			"--endpoint has a user name or password in it")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", false, usageError(mend, "--endpoint %q does not begin with http:// or https://", text)
	case u.Hostname() == "":
		return "", false, usageError(mend, "--endpoint %q has no host", text)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", false, usageError(mend, "--endpoint %q has more than a host and a port", text)
	}
	host := strings.ToLower(u.Hostname())
	if m := serviceHost.FindStringSubmatch(host); m != nil && m[1] != "accelerate" {
		region = m[1]
	}
	return region, host == "localhost" || net.ParseIP(host) != nil, nil
}

// loopback is true of an address only this machine can reach.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
