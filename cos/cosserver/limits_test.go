package cosserver

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRefusals asks for what the service refuses.
//
// Long: one table.
func TestRefusals(t *testing.T) {
	c := start(t, Options{Buckets: []Bucket{
		{Name: "one-1250000000"}, {Name: "maz-1250000000", MAZ: true}, {Name: "ver-1250000000", Versioning: "Enabled"},
	}})
	c.put("k", "0123456789")
	c.want(200, "", "POST", "/log?append&position=0", "x", nil)
	c.want(200, "", "PUT", "/cold", "x", h("x-cos-storage-class", "ARCHIVE"))
	id := c.initiate("m", nil)
	etag := c.part("m", id, 1, "small")
	c.part("m", id, 2, "small")
	src := func(s string, more ...string) http.Header {
		return h(append([]string{"x-cos-copy-source", s}, more...)...)
	}
	long := strings.Repeat("k", 851)
	tests := []struct {
		name           string
		status         int
		code           string
		method, target string
		body           string
		header         http.Header
	}{
		{"missing key", 404, "NoSuchKey", "GET", "/none", "", nil},
		{"long key", 400, "KeyTooLong", "PUT", "/" + long, "", nil},
		{"control byte in key", 400, "InvalidObjectName", "PUT", "/a%1Bb", "", nil},
		{"key is not UTF-8", 400, "InvalidURI", "PUT", "/%FF", "", nil},
		{"malformed digest", 400, "InvalidDigest", "PUT", "/k", "x", h("Content-MD5", "zzz")},
		{"wrong digest", 400, "BadDigest", "PUT", "/k", "x", h("Content-MD5", md5Base64("y"))},
		{"wrong sha1", 400, "InvalidSHA1Digest", "PUT", "/k", "x", h("x-cos-content-sha1", "00")},
		{"too much metadata", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-meta-a", strings.Repeat("v", 2048))},
		{"underscore in metadata", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-meta-a_b", "v")},
		{"storage class", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-storage-class", "GLACIER")},
		{"multi-AZ class", 400, "MAZOperationNotSupportOnOAZBucket", "PUT", "/k", "x", h("x-cos-storage-class", "MAZ_STANDARD")},
		{"ACL", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-acl", "everyone")},
		{"grant", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-grant-read", "uin=1")},
		{"tags", 400, "InvalidTag", "PUT", "/k", "x", h("x-cos-tagging", "a=1&a=2")},
		{"slow traffic limit", 400, "InvalidArgument", "PUT", "/k", "x", h("x-cos-traffic-limit", "819199")},
		{"fast traffic limit", 400, "InvalidArgument", "GET", "/k?x-cos-traffic-limit=838860801", "", nil},
		{"forbidden overwrite", 409, "FileAlreadyExists", "PUT", "/k", "x", h("x-cos-forbid-overwrite", "true")},
		{"range behind the end", 416, "InvalidRange", "GET", "/k", "", h("Range", "bytes=10-")},
		{"empty suffix", 416, "InvalidRange", "GET", "/k", "", h("Range", "bytes=-0")},
		{"several ranges", 400, "InvalidArgument", "GET", "/k", "", h("Range", "bytes=0-1,3-4")},
		{"other ETag", 412, "PreconditionFailed", "GET", "/k", "", h("If-Match", `"x"`)},
		{"archived", 403, "InvalidObjectState", "GET", "/cold", "", nil},
		{"restore of what is not archived", 405, "RestoreNonArchiveObject", "POST", "/k?restore", "<RestoreRequest><Days>1</Days></RestoreRequest>", nil},
		{"append without position", 400, "InvalidArgument", "POST", "/log?append", "x", nil},
		{"append to a normal object", 409, "ObjectNotAppendable", "POST", "/k?append&position=10", "x", nil},
		{"append behind nothing", 409, "AppendPositionErr", "POST", "/none?append&position=1", "x", nil},
		{"copy without a key", 400, "InvalidCopySource", "PUT", "/d", "", src("nothing")},
		{"copy by URL", 400, "InvalidCopySource", "PUT", "/d", "", src("http://" + c.host + "/k")},
		{"copy of nothing", 404, "NoSuchKey", "PUT", "/d", "", src(c.host + "/none")},
		{"copy from no bucket", 404, "NoSuchBucket", "PUT", "/d", "", src("/other-1250000000/k")},
		{"copy onto itself", 400, "InvalidRequest", "PUT", "/k", "", src(c.host + "/k")},
		{"copy of appendable", 409, "InvalidObjectState", "PUT", "/d", "", src(c.host + "/log")},
		{"copy of archived", 403, "InvalidObjectState", "PUT", "/d", "", src(c.host + "/cold")},
		{"copy of another version", 412, "PreconditionFailed", "PUT", "/d", "", src(c.host+"/k", "x-cos-copy-source-If-Match", `"x"`)},
		{"copy of the same version", 412, "PreconditionFailed", "PUT", "/d", "", src(c.host+"/k", "x-cos-copy-source-If-None-Match", md5Hex("0123456789"))},
		{"directive", 400, "InvalidArgument", "PUT", "/d", "", src(c.host+"/k", "x-cos-metadata-directive", "keep")},
		{"copy forbids overwrite", 409, "FileAlreadyExists", "PUT", "/cold", "", src(c.host+"/k", "x-cos-forbid-overwrite", "true")},
		{"part number 0", 400, "InvalidArgument", "PUT", "/m?partNumber=0&uploadId=" + id, "x", nil},
		{"part number 10001", 400, "InvalidArgument", "PUT", "/m?partNumber=10001&uploadId=" + id, "x", nil},
		{"part of no upload", 404, "NoSuchUpload", "PUT", "/m?partNumber=1&uploadId=abc", "x", nil},
		{"part of another key", 404, "NoSuchUpload", "PUT", "/n?partNumber=1&uploadId=" + id, "x", nil},
		{"part copy beyond the end", 416, "InvalidRange", "PUT", "/m?partNumber=3&uploadId=" + id, "", src(c.host+"/k", "x-cos-copy-source-range", "bytes=5-10")},
		{"part copy range", 400, "InvalidArgument", "PUT", "/m?partNumber=3&uploadId=" + id, "", src(c.host+"/k", "x-cos-copy-source-range", "5-6")},
		{"list parts of nothing", 400, "ListPartUploadIdIsEmpty", "GET", "/m?uploadId=", "", nil},
		{"complete without parts", 400, "MalformedXML", "POST", "/m?uploadId=" + id, completeXML(), nil},
		{"complete with no XML", 400, "MalformedXML", "POST", "/m?uploadId=" + id, "parts", nil},
		{"complete with nothing", 400, "MissingRequestBodyError", "POST", "/m?uploadId=" + id, "", nil},
		{"complete small parts", 400, "EntityTooSmall", "POST", "/m?uploadId=" + id, completeXML(etag, etag), nil},
		{"complete with another ETag", 400, "InvalidPart", "POST", "/m?uploadId=" + id, completeXML(`"x"`), nil},
		{"complete with a gap", 400, "InvalidPart", "POST", "/m?uploadId=" + id, "<C><Part><PartNumber>2</PartNumber><ETag>" + etag + "</ETag></Part></C>", nil},
		{"complete out of order", 400, "InvalidPartOrder", "POST", "/m?uploadId=" + id, "<C><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></C>", nil},
		{"delete without digest", 400, "InvalidRequest", "POST", "/?delete", "<Delete><Object><Key>k</Key></Object></Delete>", nil},
		{"delete of nothing", 400, "MalformedXML", "POST", "/?delete", "<Delete/>", h("Content-MD5", md5Base64("<Delete/>"))},
		{"method", 405, "MethodNotAllowed", "PATCH", "/k", "", nil},
		{"bucket exists", 409, "BucketAlreadyExists", "PUT", "/", "", nil},
		{"bucket not empty", 409, "BucketNotEmpty", "DELETE", "/", "", nil},
		{"undecodable query", 400, "InvalidURI", "GET", "/?prefix=%zz", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			r := c.want(tt.status, tt.code, tt.method, tt.target, tt.body, tt.header)
			for _, element := range []string{"<Message>", "<Resource>", "<RequestId>", "<TraceId>"} {
				if !strings.Contains(r.body, element) || strings.Contains(r.body, element+"<") {
					t.Errorf("%s missing or empty in %q", element, r.body)
				}
			}
			if r.header.Get("x-cos-request-id") == "" || r.header.Get("Content-Type") != "application/xml" || r.header.Get("Etag") != "" {
				t.Errorf("header %v", r.header)
			}
		})
	}
	c.t = t
	c.host = c.srv.Host("maz-1250000000")
	c.want(400, "OAZOperationNotSupportOnMAZBucket", "POST", "/log?append&position=0", "x", nil)
	c.want(200, "", "PUT", "/k", "x", h("x-cos-storage-class", "MAZ_STANDARD_IA"))
	c.host = c.srv.Host("ver-1250000000")
	c.want(405, "MethodNotAllowed", "POST", "/log?append&position=0", "x", nil)
	c.host = c.srv.Host("missing-1250000000")
	c.want(404, "NoSuchBucket", "GET", "/k", "", nil)
	c.host = "cos.ap-local.myqcloud.com"
	c.want(403, "PathStyleDomainForbidden", "GET", "/one-1250000000/k", "", nil)
}

func TestHeadHasNoBody(t *testing.T) {
	c := start(t, Options{})
	c.put("k", "0123456789")
	for target, status := range map[string]int{"/none": 404, "/k": 200, "/": 200} {
		r := c.do("HEAD", target, "", nil)
		if r.status != status || r.body != "" || r.header.Get("x-cos-request-id") == "" {
			t.Errorf("HEAD %s: %+v", target, r)
		}
	}
	if r := c.do("HEAD", "/k", "", nil); r.header.Get("Content-Length") != "10" {
		t.Errorf("length %q", r.header.Get("Content-Length"))
	}
}

func TestRanges(t *testing.T) {
	c := start(t, Options{})
	body := bulk(200_000)
	id := c.initiate("m", nil)
	part := bulk(1 << 20)
	etags := []string{c.part("m", id, 1, part), c.part("m", id, 2, body)}
	c.want(200, "", "POST", "/m?uploadId="+id, completeXML(etags...), nil)
	whole := part + body
	size := len(whole)
	tests := []struct {
		header   string
		status   int
		from, to int
	}{
		{"bytes=0-0", 206, 0, 1},
		{"bytes=5-9", 206, 5, 10},
		{"bytes=1048570-1048580", 206, 1048570, 1048581}, // across the parts
		{"bytes=1048576-", 206, 1 << 20, size},
		{"bytes=-7", 206, size - 7, size},
		{"bytes=-99999999", 206, 0, size},
		{"bytes=100-99999999", 206, 100, size},
		{"bytes=9-5", 200, 0, size},
		{"lines=1-2", 200, 0, size},
	}
	for _, tt := range tests {
		r := c.want(tt.status, "", "GET", "/m", "", h("Range", tt.header))
		if r.body != whole[tt.from:tt.to] || r.header.Get("Content-Length") != itoa(tt.to-tt.from) {
			t.Errorf("%s: got %d bytes, want [%d, %d)", tt.header, len(r.body), tt.from, tt.to)
		}
		if r.header.Get("x-cos-hash-crc64ecma") != crcOf(whole) {
			t.Errorf("%s: crc is not the whole object's", tt.header)
		}
		want := "bytes " + itoa(tt.from) + "-" + itoa(tt.to-1) + "/" + itoa(size)
		if got := r.header.Get("Content-Range"); tt.status == 206 && got != want {
			t.Errorf("%s: Content-Range %q, want %q", tt.header, got, want)
		}
	}
	c.put("empty", "")
	c.want(416, "InvalidRange", "GET", "/empty", "", h("Range", "bytes=0-"))
}

func TestConditions(t *testing.T) {
	clock := newClock()
	c := start(t, Options{Clock: clock.Now})
	c.put("k", "x")
	etag := md5Hex("x")
	at := func(d time.Duration) string { return clock.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, method := range []string{"GET", "HEAD"} {
		for _, tt := range []struct {
			name, value string
			status      int
		}{
			{"If-Match", `"` + etag + `"`, 200},
			{"If-Match", etag, 200},
			{"If-Match", `"other", "` + etag + `"`, 200},
			{"If-Match", "*", 200},
			{"If-Match", "other", 412},
			{"If-None-Match", etag, 304},
			{"If-None-Match", "other", 200},
			{"If-Modified-Since", at(0), 304},
			{"If-Modified-Since", at(-time.Second), 200},
			{"If-Unmodified-Since", at(0), 200},
			{"If-Unmodified-Since", at(-time.Second), 412},
		} {
			if r := c.do(method, "/k", "", h(tt.name, tt.value)); r.status != tt.status {
				t.Errorf("%s %s: %s: got %d, want %d", method, tt.name, tt.value, r.status, tt.status)
			}
		}
	}
}

// TestWire looks at bytes, because clients do: header spelling, and paths that libraries clean.
func TestWire(t *testing.T) {
	c := start(t, Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	raw := func(request string) string {
		t.Helper()
		if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		var head strings.Builder
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%v after %q", err, head.String())
			}
			head.WriteString(line)
			if line == "\r\n" {
				return head.String()
			}
		}
	}
	has := func(head string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(head, want) {
				t.Errorf("%q is not in %q", want, head)
			}
		}
	}
	host := "Host: " + c.host + "\n"
	has(raw("PUT /dir%2F.%2F../a+b%20c//d HTTP/1.1\n"+host+"Content-Length: 1\nx-cos-meta-Mode: 5\nExpect: 100-continue\n\n"), " 100 Continue")
	has(raw("x"), "HTTP/1.1 200", "\r\nETag: \"", "\r\nx-cos-hash-crc64ecma: ", "\r\nx-cos-request-id: ")
	has(raw("HEAD /dir/./../a+b%20c//d HTTP/1.1\n"+host+"\n"), "HTTP/1.1 200", "\r\nETag: \"", "\r\nx-cos-meta-mode: 5")
	if l := c.list(); len(l.Contents) != 1 || l.Contents[0].Key != "dir/./../a+b c//d" {
		t.Errorf("stored as %+v", l.Contents)
	}
	has(raw("PUT /chunked HTTP/1.1\n"+host+"Transfer-Encoding: chunked\n\n3\nabc\n0\n\n"), "HTTP/1.1 200")
	if got := c.get("chunked"); got != "abc" {
		t.Errorf("chunked body is %q", got)
	}
	has(raw("POST /log?append&position=0 HTTP/1.1\n"+host+"Transfer-Encoding: chunked\n\n3\nabc\n0\n\n"), "HTTP/1.1 411")
}

func TestMissingLengthAndShortBody(t *testing.T) {
	c := start(t, Options{})
	for name, request := range map[string]string{
		"411":            "PUT /k HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n",
		"IncompleteBody": "PUT /k HTTP/1.1\r\nHost: " + c.host + "\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabc",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		conn.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.Contains(string(b), name) {
			t.Errorf("%s: got %q", name, b)
		}
	}
	c.want(404, "NoSuchKey", "GET", "/k", "", nil)
}

func TestSwitches(t *testing.T) {
	c := start(t, Options{Switches: Switches{
		PathStyle: true, MinPart: -1, MinCopiedPart: -1, PartGaps: true, RepeatComplete: true, CopyAppendable: true,
		MissingAppend404: true, HideAppendPosition: true, HideAppendCRC: true, ConditionalPut: true,
		PadComplete: true, ForceDownload: true,
	}})
	r := c.want(200, "", "POST", "/log?append&position=0", "x", nil)
	if r.header.Get("x-cos-hash-crc64ecma") != "" {
		t.Error("append tells the CRC64")
	}
	c.want(404, "NoSuchKey", "POST", "/none?append&position=1", "x", nil)
	r = c.want(409, "AppendPositionErr", "POST", "/log?append&position=0", "x", nil)
	if r.header.Get("x-cos-next-append-position") != "" {
		t.Error("conflict tells the position")
	}
	c.want(200, "", "PUT", "/copy", "", h("x-cos-copy-source", c.host+"/log"))
	if r := c.do("HEAD", "/copy", "", nil); r.header.Get("x-cos-object-type") != "" {
		t.Error("the copy is appendable")
	}
	id := c.initiate("m", nil)
	etag := c.part("m", id, 3, "a")
	c.part("m", id, 7, "a")
	parts := "<C>\n<Part><ETag>&#34;" + strings.Trim(etag, `"`) + "&#34;</ETag><PartNumber>3</PartNumber></Part><Part><PartNumber>7</PartNumber><ETag>" + strings.Trim(etag, `"`) + "</ETag></Part></C>"
	first := c.want(200, "", "POST", "/m?uploadId="+id, parts, nil)
	again := c.want(200, "", "POST", "/m?uploadId="+id, parts, nil)
	if first.body != again.body || !strings.HasPrefix(first.body, "  ") {
		t.Errorf("completed %q, then %q", first.body, again.body)
	}
	c.want(412, "PreconditionFailed", "PUT", "/m", "x", h("If-None-Match", "*"))
	c.want(412, "PreconditionFailed", "PUT", "/new", "x", h("If-Match", "*"))
	if r := c.want(200, "", "GET", "/m", "", nil); r.header.Get("Content-Disposition") != "attachment" {
		t.Error("not a forced download")
	}
	c.put("a.apk", "x")
	c.want(403, "DownloadForbidden", "GET", "/a.apk", "", nil)
	c.host = "cos.ap-local.myqcloud.com"
	if got := c.get("local-1250000000/m"); got != "aa" {
		t.Errorf("path style: %q", got)
	}
	c.host = "127.0.0.1:80"
	if got := c.get("local-1250000000/m"); got != "aa" {
		t.Errorf("path style on an address: %q", got)
	}
}
