package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInitiate(t *testing.T) {
	s, c := newScript(t, nil, hangUp, reply(200, `<?xml version="1.0"?><InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>1585abc</UploadId></InitiateMultipartUploadResult>`))
	id, err := c.InitiateMultipart(context.Background(), "k", &InitiateOptions{Headers: Headers{StorageClass: "STANDARD_IA", Meta: map[string]string{"a": "b"}}})
	if err != nil || id != "1585abc" {
		t.Fatalf("Initiate = %q, %v", id, err)
	}
	got := s.seen()[1]
	if got.Method != "POST" || got.URI != "/k?uploads" || got.Length != 0 || got.Header.Get("X-Cos-Storage-Class") != "STANDARD_IA" || got.Header.Get("X-Cos-Meta-A") != "b" {
		t.Errorf("request = %+v", got)
	}
	for name, body := range map[string]string{
		"empty": "", "blank": "  ", "cut short": "<InitiateMultipartUploadResult><UploadId>1", "no ID": "<InitiateMultipartUploadResult/>", "another": "<Other><UploadId>1</UploadId></Other>", "not XML": "OK",
	} {
		_, c := newScript(t, nil, reply(200, body))
		if _, err := c.InitiateMultipart(context.Background(), "k", nil); !errors.Is(err, ErrBadResponse) {
			t.Errorf("%s: error = %v, want ErrBadResponse", name, err)
		}
	}
}

func TestUploadPart(t *testing.T) {
	s, c := newScript(t, nil, refusal(500, "InternalError"),
		reply(200, "", "ETag", `"108f528eb63b65e734f27ae331f5ffaa"`, "x-cos-hash-crc64ecma", "4510578591875220731"))
	const body = "[Object Part]"
	p, err := c.UploadPart(context.Background(), "k", "u", 7, strings.NewReader(body), int64(len(body)), &PartOptions{EnableMD5: true, SSE: SSE{CustomerAlgorithm: "AES256"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Number != 7 || p.ETag != "108f528eb63b65e734f27ae331f5ffaa" || p.Size != 13 || !p.HasCRC64 || p.CRC64 != 4510578591875220731 {
		t.Errorf("part = %+v", p)
	}
	got := s.seen()[1]
	if got.Method != "PUT" || got.URI != "/k?partNumber=7&uploadId=u" || got.Body != body || got.Header.Get("Content-Md5") != "EI9SjrY7Zec08nrjMfX/qg==" || got.Header.Get("X-Cos-Server-Side-Encryption-Customer-Algorithm") != "AES256" {
		t.Errorf("request = %+v", got)
	}
	_, c = newScript(t, nil, reply(200, "", "ETag", `"x"`, "x-cos-hash-crc64ecma", "1"))
	if _, err := c.UploadPart(context.Background(), "k", "u", 1, strings.NewReader(body), 13, nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong checksum: %v, want ErrChecksum", err)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchUpload"))
	if _, err := c.UploadPart(context.Background(), "k", "u", 1, strings.NewReader(body), 13, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("no upload: %v, want ErrNotFound", err)
	}
}

const partsPage = `<ListPartsResult><Bucket>b</Bucket><EncodingType/><Key>k</Key><UploadId>u</UploadId><Owner><ID>1250000000</ID></Owner><PartNumberMarker>0</PartNumberMarker>
<Initiator><ID>me</ID></Initiator><Part><PartNumber>1</PartNumber><LastModified>2020-03-25T10:07:14.000Z</LastModified><ETag>&quot;aa&quot;</ETag><Size>1048576</Size></Part>
<Part><PartNumber>3</PartNumber><LastModified>2020-03-25T10:07:15.000Z</LastModified><ETag>"bb"</ETag><Size>5</Size></Part>
<NextPartNumberMarker>3</NextPartNumberMarker><StorageClass>Standard</StorageClass><MaxParts>1000</MaxParts><IsTruncated>true</IsTruncated></ListPartsResult>`

func TestListParts(t *testing.T) {
	s, c := newScript(t, nil, reply(200, partsPage))
	res, err := c.ListParts(context.Background(), "k", "u", &ListPartsOptions{MaxParts: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := []Part{
		{Number: 1, ETag: "aa", Size: 1 << 20, LastModified: time.Date(2020, 3, 25, 10, 7, 14, 0, time.UTC)},
		{Number: 3, ETag: "bb", Size: 5, LastModified: time.Date(2020, 3, 25, 10, 7, 15, 0, time.UTC)},
	}
	if !slices.Equal(res.Parts, want) || !res.Truncated || res.NextMarker != 3 || res.StorageClass != "Standard" || res.Initiator != "me" || res.Owner != "1250000000" {
		t.Errorf("page = %+v", res)
	}
	if got := s.only().URI; got != "/k?encoding-type=url&max-parts=2&uploadId=u" {
		t.Errorf("request = %s", got)
	}
	for name, page := range map[string]string{
		"no end told":    strings.Replace(partsPage, "<IsTruncated>true</IsTruncated>", "", 1),
		"marker missing": strings.Replace(partsPage, "<NextPartNumberMarker>3</NextPartNumberMarker>", "", 1),
		"out of order":   strings.Replace(partsPage, "<PartNumber>3<", "<PartNumber>1<", 1),
		"cut short":      partsPage[:len(partsPage)-10],
	} {
		_, c := newScript(t, nil, reply(200, page))
		if _, err := c.ListParts(context.Background(), "k", "u", nil); !errors.Is(err, ErrBadResponse) {
			t.Errorf("%s: error = %v, want ErrBadResponse", name, err)
		}
	}
	_, c = newScript(t, nil, reply(200, partsPage))
	if _, err := c.ListParts(context.Background(), "k", "u", &ListPartsOptions{PartNumberMarker: 3}); !errors.Is(err, ErrBadResponse) {
		t.Errorf("page before the marker: %v, want ErrBadResponse", err)
	}
}

func TestAbort(t *testing.T) {
	s, c := newScript(t, nil, reply(204, ""))
	if err := c.AbortMultipart(context.Background(), "k", "u"); err != nil {
		t.Fatal(err)
	}
	if got := lines(s.seen()); !slices.Equal(got, []string{"DELETE /k?uploadId=u"}) {
		t.Errorf("requests = %v", got)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchUpload"))
	if err := c.AbortMultipart(context.Background(), "k", "u"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown upload: %v, want ErrNotFound", err)
	}
	_, c = newScript(t, nil, hangUp, refusal(404, "NoSuchUpload"))
	if err := c.AbortMultipart(context.Background(), "k", "u"); err != nil {
		t.Errorf("lost reply, then unknown: %v, want success", err)
	}
}

var twoParts = []Part{
	{Number: 1, ETag: "aa", Size: 5, CRC64: 6748440630437108969, HasCRC64: true},
	{Number: 2, ETag: "bb", Size: 4, CRC64: 10278880121275185425, HasCRC64: true},
}

const (
	bothCRC      = "11051210869376104954"
	completeDone = `<?xml version="1.0" encoding="UTF-8"?>
<CompleteMultipartUploadResult xmlns="http://www.qcloud.com/document/product/436/7751"><Location>http://h/k</Location><Bucket>b</Bucket><Key>k</Key><ETag>&quot;ff-2&quot;</ETag></CompleteMultipartUploadResult>`
)

func TestComplete(t *testing.T) {
	s, c := newScript(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-cos-version-id", "null")
		w.Header().Set("x-cos-hash-crc64ecma", bothCRC)
		for range 3 { // what a long merge sends to keep the connection alive
			_, _ = io.WriteString(w, "   ")
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, strings.TrimPrefix(completeDone, `<?xml version="1.0" encoding="UTF-8"?>`))
	})
	res, err := c.CompleteMultipart(context.Background(), "k", "u", twoParts, &CompleteOptions{ForbidOverwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	if res.ETag != "ff-2" || res.Location != "http://h/k" || res.VersionID != "null" || !res.HasCRC64 || fmt.Sprint(res.CRC64) != bothCRC || res.Settled || res.Unclear {
		t.Errorf("result = %+v", res)
	}
	got := s.only()
	if got.Method != "POST" || got.URI != "/k?uploadId=u" || got.Header.Get("X-Cos-Forbid-Overwrite") != "true" {
		t.Errorf("request = %+v", got)
	}
	if want := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;aa&quot;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>&quot;bb&quot;</ETag></Part></CompleteMultipartUpload>"; got.Body != want {
		t.Errorf("body = %s\nwant %s", got.Body, want)
	}
}

func TestCompleteReconciles(t *testing.T) {
	const post, parts, look = "POST /k?uploadId=u", "GET /k?encoding-type=url&max-parts=1&uploadId=u", "HEAD /k"
	done := reply(200, completeDone, "x-cos-hash-crc64ecma", bothCRC)
	gone := refusal(404, "NoSuchUpload")
	alive := reply(200, partsPage)
	now := time.Now().UTC().Format(http.TimeFormat)
	head := func(size int, crc string) http.HandlerFunc {
		kv := []string{"Content-Length", fmt.Sprint(size), "ETag", `"h"`, "Last-Modified", now}
		if crc != "" {
			kv = append(kv, "x-cos-hash-crc64ecma", crc)
		}
		return reply(200, "", kv...)
	}
	old := reply(200, "", "Content-Length", "9", "Last-Modified", "Thu, 16 May 2019 06:45:51 GMT")
	inBody := reply(200, "  <Error><Code>InternalError</Code></Error>")
	for _, tt := range []struct {
		name    string
		answers []http.HandlerFunc
		calls   []string
		settled bool
		errs    []error
		doubt   bool
	}{
		{name: "refused", answers: []http.HandlerFunc{refusal(400, "InvalidPart")}, calls: []string{post}, errs: []error{ErrInvalidPart}},
		{name: "no such upload at once", answers: []http.HandlerFunc{gone}, calls: []string{post}, errs: []error{ErrNotFound}},
		{name: "refused inside a success", answers: []http.HandlerFunc{reply(200, "<Error><Code>EntityTooSmall</Code></Error>")}, calls: []string{post}, errs: []error{ErrInvalidPart}},
		{name: "applied", answers: []http.HandlerFunc{hangUp, gone, head(9, bothCRC)}, calls: []string{post, parts, look}, settled: true},
		{name: "applied, empty answer", answers: []http.HandlerFunc{reply(200, ""), gone, head(9, bothCRC)}, calls: []string{post, parts, look}, settled: true},
		{name: "applied, answer cut short", answers: []http.HandlerFunc{reply(200, completeDone[:100]), gone, head(9, bothCRC)}, calls: []string{post, parts, look}, settled: true},
		{name: "not applied", answers: []http.HandlerFunc{hangUp, alive, done}, calls: []string{post, parts, post}},
		{name: "error inside a success, not applied", answers: []http.HandlerFunc{inBody, alive, done}, calls: []string{post, parts, post}},
		{name: "applied late", answers: []http.HandlerFunc{hangUp, alive, gone, gone, head(9, bothCRC)}, calls: []string{post, parts, post, parts, look}, settled: true},
		{name: "applied, no checksum kept", answers: []http.HandlerFunc{hangUp, gone, head(9, "")}, calls: []string{post, parts, look}, settled: true},
		{name: "an old object of the size", answers: []http.HandlerFunc{hangUp, gone, old}, calls: []string{post, parts, look}, errs: []error{ErrUnknownOutcome}, doubt: true},
		{name: "another content", answers: []http.HandlerFunc{hangUp, gone, head(9, "1")}, calls: []string{post, parts, look}, errs: []error{ErrUnknownOutcome}, doubt: true},
		{name: "another size", answers: []http.HandlerFunc{hangUp, gone, head(8, bothCRC)}, calls: []string{post, parts, look}, errs: []error{ErrUnknownOutcome}, doubt: true},
		{name: "no object", answers: []http.HandlerFunc{hangUp, gone, reply(404, "")}, calls: []string{post, parts, look}, errs: []error{ErrUnknownOutcome}, doubt: true},
		{name: "nobody says", answers: []http.HandlerFunc{hangUp, refusal(403, "AccessDenied")}, calls: []string{post, parts}, errs: []error{ErrUnknownOutcome, ErrAccessDenied}, doubt: true},
		{name: "wrong checksum", answers: []http.HandlerFunc{reply(200, completeDone, "x-cos-hash-crc64ecma", "1")}, calls: []string{post}, errs: []error{ErrChecksum}},
		{name: "forbidden by itself", answers: []http.HandlerFunc{hangUp, alive, refusal(409, "FileAlreadyExists"), gone, head(9, bothCRC)}, calls: []string{post, parts, post, parts, look}, settled: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := newScript(t, nil, tt.answers...)
			res, err := c.CompleteMultipart(context.Background(), "k", "u", twoParts, nil)
			for _, want := range tt.errs {
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want %v", err, want)
				}
			}
			if len(tt.errs) == 0 && (err != nil || res.Settled != tt.settled) {
				t.Errorf("result = %+v, %v, want settled %v", res, err, tt.settled)
			}
			if errors.Is(err, ErrUnknownOutcome) != tt.doubt {
				t.Errorf("error = %v, doubt %v", err, tt.doubt)
			}
			if got := lines(s.seen()); !slices.Equal(got, tt.calls) {
				t.Errorf("requests = %q\nwant %q", got, tt.calls)
			}
		})
	}
}

func TestCompleteWithoutEvidence(t *testing.T) {
	// A part copied without a checksum or size leaves nothing to compare with.
	_, c := newScript(t, nil, hangUp, refusal(404, "NoSuchUpload"), reply(200, "", "Content-Length", "9", "x-cos-hash-crc64ecma", "5"))
	_, err := c.CompleteMultipart(context.Background(), "k", "u", []Part{{Number: 1, ETag: "aa"}}, nil)
	if !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("error = %v, want ErrUnknownOutcome", err)
	}
}

const copied = `<?xml version="1.0" encoding="UTF-8"?><CopyObjectResult><ETag>"ee8de9"</ETag><CRC64>16749565679157681890</CRC64><LastModified>2020-04-10T18:20:30Z</LastModified><VersionId>v2</VersionId></CopyObjectResult>`

func TestCopy(t *testing.T) {
	s, c := newScript(t, nil, reply(200, copied, "x-cos-copy-source-version-id", "v1"))
	res, err := c.Copy(context.Background(), "dst", &CopyOptions{
		Source:  Source{Key: "src/a b+c//d", VersionID: "v1", Conditions: Conditions{IfMatch: "e"}, SSE: SSE{CustomerKey: "ck"}},
		Headers: Headers{ContentType: "text/plain", StorageClass: "STANDARD_IA", ACL: "private", Meta: map[string]string{"a": "b"}, Tagging: "t=1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.ETag != "ee8de9" || res.CRC64 != 16749565679157681890 || !res.HasCRC64 || res.VersionID != "v2" || res.SourceVersionID != "v1" || res.LastModified.Unix() != 1586542830 {
		t.Errorf("result = %+v", res)
	}
	h := s.only().Header
	for name, want := range map[string]string{
		"X-Cos-Copy-Source": testHost + "/src/a%20b%2Bc//d?versionId=v1", "X-Cos-Copy-Source-If-Match": `"e"`, "X-Cos-Metadata-Directive": "Copy",
		"X-Cos-Copy-Source-Server-Side-Encryption-Customer-Key": "ck", "X-Cos-Storage-Class": "STANDARD_IA", "X-Cos-Acl": "private",
		"Content-Type": "", "X-Cos-Meta-A": "", "X-Cos-Tagging": "", "X-Cos-Tagging-Directive": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	s, c = newScript(t, nil, reply(200, copied))
	if _, err := c.Copy(context.Background(), "k", &CopyOptions{
		Source:  Source{Bucket: "other-125", Region: "ap-beijing", Key: "k"},
		Replace: true, ReplaceTagging: true, Headers: Headers{ContentType: "text/plain", Meta: map[string]string{"a": "b"}, Tagging: "t=1"},
	}); err != nil {
		t.Fatal(err)
	}
	h = s.only().Header
	for name, want := range map[string]string{
		"X-Cos-Copy-Source": "other-125.cos.ap-beijing.myqcloud.com/k", "X-Cos-Metadata-Directive": "Replaced", "X-Cos-Tagging-Directive": "Replaced",
		"Content-Type": "text/plain", "X-Cos-Meta-A": "b", "X-Cos-Tagging": "t=1",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("replacing: header %s = %q, want %q", name, got, want)
		}
	}
}

func TestCopyAnswers(t *testing.T) {
	source := &CopyOptions{Source: Source{Key: "src"}}
	s, c := newScript(t, nil, reply(200, "<Error><Code>SlowDown</Code></Error>"), reply(200, "<CopyObjectResult>"), reply(200, copied))
	res, err := c.Copy(context.Background(), "k", source)
	if err != nil || len(s.seen()) != 3 || !res.Unclear {
		t.Errorf("after two bad answers: %+v, %v, %d attempts", res, err, len(s.seen()))
	}
	_, c = newScript(t, nil, reply(200, "<Error><Code>InvalidObjectState</Code></Error>"))
	if _, err := c.Copy(context.Background(), "k", source); !errors.Is(err, ErrInvalidState) {
		t.Errorf("error in a success: %v, want ErrInvalidState", err)
	}
	_, c = newScript(t, nil, reply(200, "<CopyObjectResult/>"))
	if _, err := c.Copy(context.Background(), "k", source); !errors.Is(err, ErrBadResponse) {
		t.Errorf("no ETag: %v, want ErrBadResponse", err)
	}
	head := reply(200, "", "Content-Length", "4", "x-cos-hash-crc64ecma", "7", "ETag", `"h"`)
	forbid := *source
	forbid.ForbidOverwrite = true
	_, c = newScript(t, nil, hangUp, refusal(409, "FileAlreadyExists"), head, head)
	if res, err := c.Copy(context.Background(), "k", &forbid); err != nil || !res.Settled || res.CRC64 != 7 {
		t.Errorf("settled copy = %+v, %v", res, err)
	}
	_, c = newScript(t, nil, hangUp, refusal(409, "FileAlreadyExists"), head, reply(200, "", "Content-Length", "5"))
	if _, err := c.Copy(context.Background(), "k", &forbid); !errors.Is(err, ErrExists) {
		t.Errorf("copy over another = %v, want ErrExists", err)
	}
}

func TestUploadPartCopy(t *testing.T) {
	s, c := newScript(t, nil, reply(200, `<CopyPartResult><ETag>"ba82"</ETag><LastModified>2017-09-04T04:45:45</LastModified></CopyPartResult>`, "x-cos-hash-crc64ecma", "9"))
	res, err := c.UploadPartCopy(context.Background(), "k", "u", 2, &CopyPartOptions{Source: Source{Key: "src", Conditions: Conditions{IfMatch: "e"}}, Off: 10, Size: 91})
	if err != nil || res.ETag != "ba82" || res.CRC64 != 9 || !res.HasCRC64 || res.LastModified.Unix() != 1504500345 {
		t.Errorf("result = %+v, %v", res, err)
	}
	got := s.only()
	if got.Method != "PUT" || got.URI != "/k?partNumber=2&uploadId=u" || got.Header.Get("X-Cos-Copy-Source-Range") != "bytes=10-100" || got.Header.Get("X-Cos-Copy-Source") != testHost+"/src" || got.Header.Get("X-Cos-Copy-Source-If-Match") != `"e"` {
		t.Errorf("request = %+v", got)
	}
	s, c = newScript(t, nil, refusal(412, "PreconditionFailed"))
	if _, err := c.UploadPartCopy(context.Background(), "k", "u", 2, &CopyPartOptions{Source: Source{Key: "src"}}); !errors.Is(err, ErrPrecondition) {
		t.Errorf("error = %v, want ErrPrecondition", err)
	}
	if _, ok := s.only().Header["X-Cos-Copy-Source-Range"]; ok {
		t.Error("a range travels with a copy of the whole")
	}
}
