package sdk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// list reads all pages and returns decoded keys and common prefixes, in the order they came.
func list(t *testing.T, c *cos.Client, opt cos.BucketGetOptions) (found, prefixes []string, pages int) {
	t.Helper()
	decode := func(s string) string {
		if opt.EncodingType == "" {
			return s
		}
		d, err := cos.DecodeURIComponent(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for {
		pages++
		res, resp, err := c.Bucket.Get(t.Context(), &opt)
		if err != nil {
			t.Fatal(err)
		}
		wantHeader(t, resp.Header, "x-cos-bucket-region", region)
		if res.Name != bucket || decode(res.Prefix) != opt.Prefix || decode(res.Marker) != opt.Marker || res.EncodingType != opt.EncodingType {
			t.Errorf("got name %q prefix %q marker %q encoding %q, asked for %+v", res.Name, res.Prefix, res.Marker, res.EncodingType, opt)
		}
		for _, o := range res.Contents {
			found = append(found, decode(o.Key))
			if o.ETag == "" || o.LastModified == "" || o.StorageClass != "STANDARD" || o.Owner == nil {
				t.Errorf("incomplete entry %+v", o)
			}
		}
		for _, p := range res.CommonPrefixes {
			prefixes = append(prefixes, decode(p))
		}
		if !res.IsTruncated {
			return found, prefixes, pages
		}
		next := decode(res.NextMarker)
		if next <= opt.Marker {
			t.Fatalf("next marker %q does not follow %q", next, opt.Marker)
		}
		opt.Marker = next
	}
}

func TestListEncoding(t *testing.T) {
	c := newClient(t)
	for _, key := range keys {
		put(t, c, key, []byte("v"))
	}
	want := slices.Sorted(slices.Values(keys))
	for _, size := range []int{1, 3, 1000} {
		t.Run(fmt.Sprintf("pages of %d", size), func(t *testing.T) {
			got, _, pages := list(t, c, cos.BucketGetOptions{EncodingType: "url", MaxKeys: size})
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			if most := (len(keys) + size - 1) / size; pages != most {
				t.Errorf("got %d pages, want %d", pages, most)
			}
		})
	}
	// Without encoding, what XML can carry comes as it is.
	got, _, _ := list(t, c, cos.BucketGetOptions{Prefix: "space"})
	if want := []string{"space and+plus%percent"}; !slices.Equal(got, want) {
		t.Errorf("plain: got %q, want %q", got, want)
	}
}

func TestListDelimiter(t *testing.T) {
	c := newClient(t)
	for _, key := range []string{"a", "a-", "a.", "a/", "a/1", "a/2", "a/b/3", "a0", "b/c/4", "b/d/5", "中/6"} {
		put(t, c, key, []byte("v"))
	}
	tests := []struct {
		prefix, delimiter string
		keys, prefixes    string
	}{
		{"", "/", "a a- a. a0", "a/ b/ 中/"},
		{"a/", "/", "a/ a/1 a/2", "a/b/"},
		{"a", "/", "a a- a. a0", "a/"},
		{"b/", "/", "", "b/c/ b/d/"},
		{"b", "", "b/c/4 b/d/5", ""},
		{"none", "/", "", ""},
	}
	for _, tt := range tests {
		for size := 1; size <= 5; size++ { // a page may end before, at and behind every prefix
			t.Run(fmt.Sprintf("%q by %q pages of %d", tt.prefix, tt.delimiter, size), func(t *testing.T) {
				keys, prefixes, _ := list(t, c, cos.BucketGetOptions{Prefix: tt.prefix, Delimiter: tt.delimiter, MaxKeys: size, EncodingType: "url"})
				if got := strings.Join(keys, " "); got != tt.keys {
					t.Errorf("keys: got %q, want %q", got, tt.keys)
				}
				if got := strings.Join(prefixes, " "); got != tt.prefixes {
					t.Errorf("prefixes: got %q, want %q", got, tt.prefixes)
				}
			})
		}
	}
}

func TestListRefusals(t *testing.T) {
	c := newClient(t)
	_, _, err := c.Bucket.Get(t.Context(), &cos.BucketGetOptions{EncodingType: "base64"})
	wantError(t, err, 400, "InvalidArgument")
}

func TestBucket(t *testing.T) {
	c := newClient(t)
	resp, err := c.Bucket.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, resp.Header, "x-cos-bucket-region", region)
	if ok, err := c.Bucket.IsExist(t.Context()); !ok || err != nil {
		t.Errorf("IsExist: got %v, %v", ok, err)
	}
	c.Host = strings.Replace(bucketHost, bucket, "nosuch-1250000000", 1)
	_, _, err = c.Bucket.Get(t.Context(), nil)
	wantError(t, err, 404, "NoSuchBucket")
}
