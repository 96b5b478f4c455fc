package cosserver

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
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

func TestHeadersAreKept(t *testing.T) {
	c := start(t, Options{})
	sent := map[string]string{
		"Content-Type": "text/x; charset=utf-8", "Cache-Control": "no-cache", "Content-Disposition": "inline",
		"Content-Encoding": "gzip", "Content-Language": "zh", "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
		"X-Cos-Meta-Mode": "33188", "X-Cos-Meta-Mtime-Ns": "5", "X-Cos-Storage-Class": "STANDARD_IA",
		"X-Cos-Server-Side-Encryption": "AES256",
	}
	header := h("x-cos-tagging", "a=1&b=%262", "x-cos-acl", "public-read", "x-cos-grant-read", `id="1",id="2"`)
	for k, v := range sent {
		header[k] = []string{v}
	}
	c.want(200, "", "PUT", "/k", "x", header)
	check := func(target string, want map[string]string) {
		t.Helper()
		r := c.want(200, "", "GET", target, "", nil)
		for k, v := range want {
			if got := r.header.Get(k); got != v {
				t.Errorf("%s %s: got %q, want %q", target, k, got, v)
			}
		}
	}
	check("/k", sent)
	check("/k?response-content-type=text%2Fy&response-cache-control=max-age%3D1", map[string]string{"Content-Type": "text/y", "Cache-Control": "max-age=1"})
	var tags tagBody
	unmarshal(t, c.want(200, "", "GET", "/k?tagging", "", nil).body, &tags)
	if len(tags.Tags) != 2 || tags.Tags[1].Value != "&2" {
		t.Errorf("tags %+v", tags)
	}
	var acl aclBody
	r := c.want(200, "", "GET", "/k?acl", "", nil)
	unmarshal(t, r.body, &acl)
	if r.header.Get("x-cos-acl") != "public-read" || len(acl.Grants) != 4 {
		t.Errorf("ACL %s %+v", r.header.Get("x-cos-acl"), acl)
	}
	c.want(200, "", "PUT", "/k?acl", "", h("x-cos-acl", "private"))
	c.want(200, "", "PUT", "/k?tagging", "<Tagging><TagSet><Tag><Key>z</Key><Value>1</Value></Tag></TagSet></Tagging>", nil)
	check("/k", map[string]string{"X-Cos-Tagging-Count": "1", "X-Cos-Meta-Mode": "33188"})
	c.want(204, "", "DELETE", "/k?tagging", "", nil)
	check("/k", map[string]string{"X-Cos-Tagging-Count": ""})

	// A plain put leaves nothing of it.
	c.put("k", "y")
	check("/k", map[string]string{
		"Content-Type": "application/octet-stream", "Cache-Control": "", "X-Cos-Meta-Mode": "", "X-Cos-Storage-Class": "",
		"X-Cos-Server-Side-Encryption": "",
	})
}

func TestCustomerKey(t *testing.T) {
	c := start(t, Options{})
	key := "MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUY="
	trio := func(prefix, sum string) http.Header {
		return h(prefix+"-algorithm", "AES256", prefix+"-key", key, prefix+"-key-MD5", sum)
	}
	const p = "x-cos-server-side-encryption-customer"
	sum := md5Base64("0123456789ABCDEF0123456789ABCDEF")
	c.want(400, "InvalidArgument", "PUT", "/k", "x", trio(p, "x"))
	c.want(200, "", "PUT", "/k", "x", trio(p, sum))
	c.want(400, "SsecDecryptHeaderInvalid", "GET", "/k", "", nil)
	if r := c.want(200, "", "GET", "/k", "", trio(p, sum)); r.body != "x" {
		t.Errorf("got %q", r.body)
	}
	source := trio("x-cos-copy-source-server-side-encryption-customer", sum)
	source["X-Cos-Copy-Source"] = []string{c.host + "/k"}
	c.want(400, "SsecDecryptHeaderInvalid", "PUT", "/copy", "", h("x-cos-copy-source", c.host+"/k"))
	c.want(200, "", "PUT", "/copy", "", source)
	if got := c.get("copy"); got != "x" { // encryption is not inherited
		t.Errorf("copy is %q", got)
	}
}

func TestCopy(t *testing.T) {
	c := start(t, Options{})
	body := bulk(100_000)
	c.want(200, "", "PUT", "/dir/a%20b%2Bc", body, h("x-cos-meta-mode", "1", "Content-Type", "text/x", "x-cos-storage-class", "STANDARD_IA", "x-cos-tagging", "a=1"))
	for name, tt := range map[string]struct {
		source    string
		directive string
		mode      string
	}{
		"host":     {c.host + "/dir/a%20b%2Bc", "", "1"},
		"port":     {c.host + ":80/dir%2Fa%20b%2Bc", "copy", "1"},
		"bucket":   {"/local-1250000000/dir/a%20b%2Bc", "Replaced", "2"},
		"address":  {"127.0.0.1:80/dir/a%20b%2Bc", "REPLACE", "2"},
		"one name": {"local-1250000000/dir/a%20b%2Bc", "Copy", "1"},
	} {
		r := c.want(200, "", "PUT", "/dst", "", h("x-cos-copy-source", tt.source, "x-cos-metadata-directive", tt.directive, "x-cos-meta-mode", "2"))
		for _, want := range []string{"<CopyObjectResult><ETag>&quot;" + md5Hex(body) + "&quot;</ETag><CRC64>" + crcOf(body) + "</CRC64><LastModified>", "Z</LastModified>"} {
			if !strings.Contains(r.body, want) {
				t.Errorf("%s: %q is not in %q", name, want, r.body)
			}
		}
		got := c.want(200, "", "GET", "/dst", "", nil)
		if got.body != body || got.header.Get("x-cos-meta-mode") != tt.mode || got.header.Get("x-cos-storage-class") != "" || got.header.Get("x-cos-tagging-count") != "1" {
			t.Errorf("%s: %d bytes, header %v", name, len(got.body), got.header)
		}
	}
	// Onto itself, the attributes change and the bytes stay.
	c.want(200, "", "PUT", "/dst", "", h("x-cos-copy-source", c.host+"/dst", "x-cos-metadata-directive", "Replaced", "x-cos-meta-mode", "3"))
	if got := c.want(200, "", "GET", "/dst", "", nil); got.body != body || got.header.Get("x-cos-meta-mode") != "3" {
		t.Errorf("self copy: %d bytes, %v", len(got.body), got.header)
	}
}

func TestPartCopy(t *testing.T) {
	c := start(t, Options{})
	src := bulk(8 << 20)
	c.put("src", src)
	etag := `"` + md5Hex(src) + `"`
	id := c.initiate("dst", nil)
	copyPart := func(number int, rng string) string {
		t.Helper()
		r := c.want(200, "", "PUT", "/dst?partNumber="+itoa(number)+"&uploadId="+id, "",
			h("x-cos-copy-source", c.host+"/src", "x-cos-copy-source-range", rng, "x-cos-copy-source-If-Match", etag))
		var v struct{ ETag string }
		unmarshal(t, r.body, &v)
		return v.ETag
	}
	first := copyPart(1, "bytes=1000-5243879") // exactly 5 MiB
	if want := `"` + md5Hex(src[1000:1000+5<<20]) + `"`; first != want {
		t.Errorf("ETag %s, want %s", first, want)
	}
	middle := bulk(1 << 20)
	second := c.part("dst", id, 2, middle)
	third := copyPart(3, "") // all of it; an empty header is no range
	fourth := copyPart(4, "bytes=0-90")
	c.put("src", "gone") // parts keep what they copied
	r := c.want(200, "", "POST", "/dst?uploadId="+id, completeXML(first, second, third, fourth), nil)
	want := src[1000:1000+5<<20] + middle + src + src[:91]
	if got := r.header.Get("x-cos-hash-crc64ecma"); got != crcOf(want) {
		t.Errorf("crc %s, want %s", got, crcOf(want))
	}
	if got := c.get("dst"); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}

	// A copied part that is not the last has at least 5 MiB.
	c.put("src", src)
	id = c.initiate("dst", nil)
	a, b := copyPart(1, "bytes=0-5242878"), copyPart(2, "bytes=0-0")
	c.want(400, "EntityTooSmall", "POST", "/dst?uploadId="+id, completeXML(a, b), nil)
}

func TestListParts(t *testing.T) {
	c := start(t, Options{})
	id := c.initiate("k", h("x-cos-storage-class", "STANDARD_IA"))
	for n := 1; n <= 5; n++ {
		c.part("k", id, n*2, strings.Repeat("x", n))
	}
	c.part("k", id, 2, "replaced")
	type result struct {
		IsTruncated, NextPartNumberMarker, StorageClass, UploadId string
		Part                                                      []struct {
			PartNumber int
			ETag       string
			Size       int
		}
	}
	var got []int
	marker := "0"
	for {
		var v result
		unmarshal(t, c.want(200, "", "GET", "/k?uploadId="+id+"&max-parts=2&part-number-marker="+marker, "", nil).body, &v)
		if v.StorageClass != "STANDARD_IA" || v.UploadId != id {
			t.Errorf("%+v", v)
		}
		for _, p := range v.Part {
			got = append(got, p.PartNumber)
			if p.PartNumber == 2 && (p.Size != 8 || p.ETag != `"`+md5Hex("replaced")+`"`) {
				t.Errorf("replaced part: %+v", p)
			}
		}
		if marker = v.NextPartNumberMarker; v.IsTruncated == "false" {
			break
		}
	}
	if want := []int{2, 4, 6, 8, 10}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDelete(t *testing.T) {
	c := start(t, Options{})
	c.want(204, "", "DELETE", "/none", "", nil)
	for _, k := range []string{"a", "b&c", "d"} {
		c.put(strings.ReplaceAll(k, "&", "%26"), "x")
	}
	del := func(quiet, keys string) string {
		body := "<Delete><Quiet>" + quiet + "</Quiet>" + keys + "</Delete>"
		return c.want(200, "", "POST", "/?delete", body, h("Content-MD5", md5Base64(body))).body
	}
	got := del("false", "<Object><Key>b&amp;c</Key></Object><Object><Key>none</Key></Object><Object><Key>"+strings.Repeat("k", 900)+"</Key></Object>")
	for _, want := range []string{"<Deleted><Key>b&amp;c</Key></Deleted>", "<Deleted><Key>none</Key></Deleted>", "<Code>KeyTooLong</Code>"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if got := del("true", "<Object><Key>a</Key></Object>"); !strings.Contains(got, "<DeleteResult></DeleteResult>") {
		t.Errorf("quiet: %q", got)
	}
	if l := c.list(); len(l.Contents) != 1 || l.Contents[0].Key != "d" {
		t.Errorf("left: %+v", l.Contents)
	}
}

func TestRestore(t *testing.T) {
	clock := newClock()
	c := start(t, Options{Clock: clock.Now})
	c.want(200, "", "PUT", "/k", "x", h("x-cos-storage-class", "DEEP_ARCHIVE"))
	body := "<RestoreRequest><Days>2</Days><CASJobParameters><Tier>Bulk</Tier></CASJobParameters></RestoreRequest>"
	c.want(202, "", "POST", "/k?restore", body, nil)
	c.want(409, "RestoreAlreadyInProgress", "POST", "/k?restore", body, nil)
	c.want(403, "InvalidObjectState", "GET", "/k", "", nil)
	if got := c.do("HEAD", "/k", "", nil).header.Get("x-cos-restore"); got != `ongoing-request="true"` {
		t.Errorf("under way: %q", got)
	}
	clock.Advance(time.Minute)
	if got := c.get("k"); got != "x" {
		t.Errorf("restored: %q", got)
	}
	c.want(200, "", "POST", "/k?restore", body, nil)
	clock.Advance(3 * day)
	c.want(403, "InvalidObjectState", "GET", "/k", "", nil)
}

func TestBuckets(t *testing.T) {
	c := start(t, Options{})
	c.host = c.srv.Host("second-1250000000")
	c.want(404, "NoSuchBucket", "GET", "/", "", nil)
	c.want(200, "", "PUT", "/", "<CreateBucketConfiguration><BucketAZConfig>MAZ</BucketAZConfig><BucketArchConfig>OFS</BucketArchConfig></CreateBucketConfiguration>", nil)
	r := c.do("HEAD", "/", "", nil)
	if r.header.Get("x-cos-bucket-az-type") != "MAZ" || r.header.Get("x-cos-bucket-arch") != "OFS" || r.header.Get("x-cos-bucket-region") != DefaultRegion {
		t.Errorf("HEAD: %v", r.header)
	}
	c.want(200, "", "PUT", "/?acl", "", h("x-cos-acl", "public-read"))
	if r := c.want(200, "", "GET", "/?acl", "", nil); r.header.Get("x-cos-acl") != "public-read" {
		t.Errorf("ACL: %v", r.header)
	}
	if r := c.want(200, "", "GET", "/?location", "", nil); !strings.Contains(r.body, "<LocationConstraint>ap-local</LocationConstraint>") {
		t.Errorf("location: %q", r.body)
	}
	c.put("k", "x")
	c.host = c.srv.Host(c.srv.Bucket())
	c.want(404, "NoSuchKey", "GET", "/k", "", nil)
	for _, host := range []string{"service.cos.myqcloud.com", "cos.ap-local.myqcloud.com:80"} {
		c.host = host
		r := c.want(200, "", "GET", "/", "", nil)
		if strings.Count(r.body, "<Bucket>") != 2 {
			t.Errorf("%s: %q", host, r.body)
		}
	}
	c.host = c.srv.Host("Bad_Name-1")
	c.want(400, "InvalidBucketName", "PUT", "/", "", nil)
}
