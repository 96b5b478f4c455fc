package cosserver

import (
	"strings"
	"testing"
)

func TestPutGolden(t *testing.T) {
	c := start(t, Options{})
	r := c.want(200, "", "PUT", "/doc", "[Object Content]", h("Content-MD5", "7o3pGNBWQBRbGPcPTDqmAg=="))
	// The keys are compared as they are: the wire carries them in this spelling.
	for name, want := range map[string]string{
		"Etag":                 `"ee8de918d05640145b18f70f4c3aa602"`,
		"X-Cos-Hash-Crc64ecma": "16749565679157681890",
		"Content-Length":       "0",
		"Server":               "tencent-cos",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if r.header.Get("x-cos-request-id") == "" {
		t.Error("no request ID")
	}
	if got := c.get("doc"); got != "[Object Content]" {
		t.Errorf("got %q", got)
	}
}

func TestRoundTrips(t *testing.T) {
	c := start(t, Options{})
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 300 << 10, 3 << 20} {
		body := bulk(size)
		put := c.put("k", body)
		if got, want := put.header.Get("ETag"), `"`+md5Hex(body)+`"`; got != want {
			t.Errorf("%d bytes: ETag %s, want %s", size, got, want)
		}
		if got, want := put.header.Get("x-cos-hash-crc64ecma"), crcOf(body); got != want {
			t.Errorf("%d bytes: crc %s, want %s", size, got, want)
		}
		if got := c.get("k"); got != body {
			t.Errorf("%d bytes: got %d others", size, len(got))
		}
	}
}

func TestAppend(t *testing.T) {
	c := start(t, Options{})
	var all strings.Builder
	for _, piece := range []string{"one", "", "two", bulk(20 << 10), bulk(5 << 20), "three"} {
		target := "/log?append&position=" + itoa(all.Len())
		r := c.want(200, "", "POST", target, piece, nil)
		all.WriteString(piece)
		if got, want := r.header.Get("x-cos-next-append-position"), itoa(all.Len()); got != want {
			t.Errorf("next position %s, want %s", got, want)
		}
		if got, want := r.header.Get("x-cos-content-sha1"), md5Hex(piece); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
	r := c.want(200, "", "GET", "/log", "", nil)
	if r.body != all.String() || r.header.Get("x-cos-hash-crc64ecma") != crcOf(all.String()) {
		t.Errorf("%d bytes, crc %s; want %d, %s", len(r.body), r.header.Get("x-cos-hash-crc64ecma"), all.Len(), crcOf(all.String()))
	}
	if got := r.header.Get("x-cos-object-type"); got != "appendable" {
		t.Errorf("type %q", got)
	}
	r = c.want(409, "AppendPositionErr", "POST", "/log?append&position=1", "x", nil)
	if got := r.header.Get("x-cos-next-append-position"); got != itoa(all.Len()) {
		t.Errorf("conflict tells %q", got)
	}
}

func TestMultipart(t *testing.T) {
	c := start(t, Options{})
	id := c.initiate("big", h("Content-Type", "text/x", "x-cos-meta-mode", "33188"))
	a, b := bulk(1<<20), "tail"
	etags := []string{c.part("big", id, 1, a), c.part("big", id, 2, b)}
	r := c.want(200, "", "POST", "/big?uploadId="+id, completeXML(etags...), nil)
	if got, want := r.header.Get("x-cos-hash-crc64ecma"), crcOf(a+b); got != want {
		t.Errorf("crc %s, want %s", got, want)
	}
	got := c.want(200, "", "GET", "/big", "", nil)
	if got.body != a+b || got.header.Get("x-cos-meta-mode") != "33188" || got.header.Get("Content-Type") != "text/x" {
		t.Errorf("%d bytes, header %v", len(got.body), got.header)
	}
	c.want(404, "NoSuchUpload", "POST", "/big?uploadId="+id, completeXML(etags...), nil)
}
