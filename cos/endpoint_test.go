package cos

import (
	"errors"
	"strings"
	"testing"
)

func TestEndpoint(t *testing.T) {
	const own = testBucket + ".cos.ap-guangzhou.myqcloud.com"
	for _, tt := range []struct {
		name                       string
		o                          Options
		scheme, dial, host, region string
	}{
		{"region only", Options{Region: testRegion}, "https", own, own, testRegion},
		{"service", Options{Endpoint: "http://cos.ap-guangzhou.myqcloud.com"}, "http", own, own, testRegion},
		{"service with slash, upper case", Options{Endpoint: "HTTP://COS.ap-guangzhou.myqcloud.com/"}, "http", own, own, testRegion},
		{"no scheme", Options{Endpoint: "cos.ap-guangzhou.myqcloud.com"}, "https", own, own, testRegion},
		{"bucket is there", Options{Endpoint: "https://" + own}, "https", own, own, testRegion},
		{"internal", Options{Endpoint: "https://cos-internal.ap-guangzhou.tencentcos.cn"}, "https",
			testBucket + ".cos-internal.ap-guangzhou.tencentcos.cn", testBucket + ".cos-internal.ap-guangzhou.tencentcos.cn", testRegion},
		{"accelerate", Options{Endpoint: "https://cos.accelerate.myqcloud.com", Region: testRegion}, "https",
			testBucket + ".cos.accelerate.myqcloud.com", testBucket + ".cos.accelerate.myqcloud.com", testRegion},
		{"accelerate, region unknown", Options{Endpoint: "https://cos.accelerate.myqcloud.com"}, "https",
			testBucket + ".cos.accelerate.myqcloud.com", testBucket + ".cos.accelerate.myqcloud.com", ""},
		{"address", Options{Endpoint: "http://127.0.0.1:9000", Region: testRegion}, "http", "127.0.0.1:9000", own, testRegion},
		{"address 6", Options{Endpoint: "http://[::1]:9000", Region: testRegion}, "http", "[::1]:9000", own, testRegion},
		{"localhost", Options{Endpoint: "http://localhost:9000", Region: testRegion}, "http", "localhost:9000", own, testRegion},
		{"custom domain", Options{Endpoint: "https://files.example.com", EndpointIsBucket: true}, "https", "files.example.com", "files.example.com", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Bucket = testBucket
			e, err := newEndpoint(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if e.scheme != tt.scheme || e.dial != tt.dial || e.host != tt.host || e.region != tt.region {
				t.Errorf("endpoint = %+v", e)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		says string
	}{
		{"no bucket", Options{Region: testRegion}, "NAME-APPID"},
		{"no APPID", Options{Bucket: "photos", Region: testRegion}, "APPID"},
		{"upper case", Options{Bucket: "Photos-125", Region: testRegion}, "lower-case"},
		{"dots", Options{Bucket: "a.b-125", Region: testRegion}, "NAME-APPID"},
		{"long", Options{Bucket: strings.Repeat("a", 60) + "-125", Region: testRegion}, "longer"},
		{"nowhere", Options{Bucket: testBucket}, "region"},
		{"address alone", Options{Bucket: testBucket, Endpoint: "http://127.0.0.1:1"}, "region"},
		{"bad region", Options{Bucket: testBucket, Region: "ap_guangzhou"}, "ap-guangzhou"},
		{"ftp", Options{Bucket: testBucket, Region: testRegion, Endpoint: "ftp://x"}, "http"},
		{"path", Options{Bucket: testBucket, Region: testRegion, Endpoint: "https://x/y"}, "host only"},
		{"user", Options{Bucket: testBucket, Region: testRegion, Endpoint: "https://u:secretword@x"}, "host only"},
		{"negative", Options{Bucket: testBucket, Region: testRegion, Attempts: -1}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.o)
			if !errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("New = %v, want ErrInvalidArgument that says %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "secretword") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}
