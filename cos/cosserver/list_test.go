package cosserver

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type listing struct {
	Name, EncodingType, Prefix, Marker, NextMarker, Delimiter string
	MaxKeys                                                   int
	IsTruncated                                               string
	Contents                                                  []struct {
		Key, LastModified, ETag, StorageClass string
		Size                                  int64
	}
	CommonPrefixes []struct{ Prefix string }
}

func (l *listing) names() []string {
	var out []string
	for _, e := range l.Contents {
		out = append(out, e.Key)
	}
	for _, p := range l.CommonPrefixes {
		out = append(out, p.Prefix)
	}
	slices.Sort(out)
	return out
}

func (c *client) list(kv ...string) *listing {
	c.t.Helper()
	q := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	r := c.want(200, "", "GET", "/?"+q.Encode(), "", nil)
	var l listing
	unmarshal(c.t, r.body, &l)
	return &l
}

func TestListBoundaries(t *testing.T) {
	c := start(t, Options{})
	for _, k := range []string{"a", "a-", "a.", "a/", "a/b", "a/c/d", "a0", "b//x", "b/"} {
		c.put(k, "x")
	}
	tests := []struct {
		name, prefix, delimiter, marker string
		want                            []string
	}{
		{"all", "", "", "", []string{"a", "a-", "a.", "a/", "a/b", "a/c/d", "a0", "b/", "b//x"}},
		{"top", "", "/", "", []string{"a", "a-", "a.", "a/", "a0", "b/"}},
		{"directory", "a/", "/", "", []string{"a/", "a/b", "a/c/"}},
		{"double slash", "b/", "/", "", []string{"b/", "b//"}},
		{"after a", "", "/", "a", []string{"a-", "a.", "a/", "a0", "b/"}},
		{"after a-", "", "/", "a-", []string{"a.", "a/", "a0", "b/"}},
		{"after a.", "", "/", "a.", []string{"a/", "a0", "b/"}},
		{"after the prefix a/", "", "/", "a/", []string{"a0", "b/"}},
		{"inside the prefix a/", "", "/", "a/b", []string{"a0", "b/"}},
		{"after the marker object", "a/", "/", "a/", []string{"a/b", "a/c/"}},
		{"after a nested prefix", "a/", "/", "a/c/", nil},
		{"after everything", "", "", "z", nil},
		{"marker before the prefix", "a/", "", "a", []string{"a/", "a/b", "a/c/d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Cut pages at every place.
			for size := 1; size <= len(tt.want)+1; size++ {
				var got []string
				marker := tt.marker
				for {
					l := c.list("prefix", tt.prefix, "delimiter", tt.delimiter, "marker", marker, "max-keys", fmt.Sprint(size))
					got = append(got, l.names()...)
					if l.IsTruncated == "false" {
						break
					}
					if l.NextMarker <= marker {
						t.Fatalf("NextMarker %q after %q", l.NextMarker, marker)
					}
					marker = l.NextMarker
				}
				if !slices.Equal(got, tt.want) {
					t.Fatalf("pages of %d: got %q, want %q", size, got, tt.want)
				}
			}
		})
	}
}

func TestListDocument(t *testing.T) {
	c := start(t, Options{})
	c.want(200, "", "PUT", "/a%20b%2B%26%C3%A9", "[Object Content]", h("x-cos-storage-class", "STANDARD_IA"))
	r := c.want(200, "", "GET", "/?encoding-type=url&prefix=a+b%2B&delimiter=%2F", "", nil)
	for _, want := range []string{
		"<Name>local-1250000000</Name><EncodingType>url</EncodingType><Prefix>a%20b%2B</Prefix><Marker></Marker>" +
			"<MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><IsTruncated>false</IsTruncated>",
		"<Key>a%20b%2B%26%C3%A9</Key>",
		"<ETag>&quot;ee8de918d05640145b18f70f4c3aa602&quot;</ETag><Size>16</Size>",
		"<StorageClass>STANDARD_IA</StorageClass>",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("%q is not in %q", want, r.body)
		}
	}
	if got := r.header.Get("x-cos-bucket-region"); got != DefaultRegion {
		t.Errorf("region %q", got)
	}
	if l := c.list("prefix", "a b+&"); len(l.Contents) != 1 || l.Contents[0].Key != "a b+&é" {
		t.Errorf("plain listing: %+v", l)
	}
	c.want(400, "InvalidArgument", "GET", "/?encoding-type=base64", "", nil)
	c.want(400, "InvalidArgument", "GET", "/?max-keys=many", "", nil)
	c.want(400, "InvalidDelimiter", "GET", "/?delimiter=ab", "", nil)
	if l := c.list("max-keys", "0"); l.IsTruncated != "false" || len(l.Contents) != 0 {
		t.Errorf("max-keys=0: %+v", l)
	}
	if l := c.list("max-keys", "5000"); l.MaxKeys != 1000 {
		t.Errorf("max-keys=5000: %+v", l)
	}
}

func TestListV2(t *testing.T) {
	c := start(t, Options{})
	for _, k := range []string{"a", "b/1", "b/2", "c"} {
		c.put(k, "")
	}
	var got []string
	token := ""
	for range 5 {
		r := c.want(200, "", "GET", "/?list-type=2&max-keys=1&delimiter=/&continuation-token="+url.QueryEscape(token), "", nil)
		var v struct {
			listing
			NextContinuationToken string
		}
		unmarshal(t, r.body, &v)
		got = append(got, v.names()...)
		if token = v.NextContinuationToken; token == "" {
			break
		}
	}
	if want := []string{"a", "b/", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestListUploads(t *testing.T) {
	c := start(t, Options{})
	ids := map[string][]string{}
	for _, k := range []string{"a", "a", "b%2F1", "b%2F2", "c"} {
		ids[k] = append(ids[k], c.initiate(k, nil))
	}
	type result struct {
		IsTruncated, NextKeyMarker, NextUploadIdMarker string
		Upload                                         []struct{ Key, UploadId string }
		CommonPrefixes                                 []struct{ Prefix string }
	}
	var got []string
	key, id := "", ""
	for range 10 {
		q := url.Values{"uploads": {""}, "max-uploads": {"1"}, "delimiter": {"/"}, "key-marker": {key}, "upload-id-marker": {id}}
		var v result
		unmarshal(t, c.want(200, "", "GET", "/?"+q.Encode(), "", nil).body, &v)
		for _, u := range v.Upload {
			got = append(got, u.Key)
		}
		for _, p := range v.CommonPrefixes {
			got = append(got, p.Prefix)
		}
		if key, id = v.NextKeyMarker, v.NextUploadIdMarker; v.IsTruncated == "false" {
			break
		}
	}
	if want := []string{"a", "a", "b/", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c.want(204, "", "DELETE", "/c?uploadId="+ids["c"][0], "", nil)
	c.want(404, "NoSuchUpload", "DELETE", "/c?uploadId="+ids["c"][0], "", nil)
	c.want(400, "InvalidArgument", "GET", "/?uploads&max-uploads=1001", "", nil)
}

func TestListingLag(t *testing.T) {
	clock := newClock()
	c := start(t, Options{Clock: clock.Now, Switches: Switches{ListingLag: time.Second}})
	see := func(when string, want ...string) {
		t.Helper()
		if got := c.list().names(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	c.put("a", "")
	see("at once")
	clock.Advance(500 * time.Millisecond)
	c.put("b", "")
	clock.Advance(500 * time.Millisecond)
	see("a second after the first", "a")
	if got := c.get("b"); got != "" {
		t.Errorf("reads lag too: %q", got)
	}
	clock.Advance(500 * time.Millisecond)
	see("a second after the second", "a", "b")

	c.srv.SetListingLag(0)
	c.srv.FreezeListings()
	c.want(204, "", "DELETE", "/a", "", nil)
	see("frozen", "a", "b")
	c.srv.ThawListings()
	see("thawed", "b")
}
