package cos

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHead(t *testing.T) {
	s, c := newScript(t, nil, reply(200, "", "Content-Length", "1048576", "ETag", `"abc"`, "Content-Type", "text/plain",
		"Last-Modified", "Thu, 16 May 2019 06:45:51 GMT", "x-cos-hash-crc64ecma", "42", "x-cos-object-type", "appendable",
		"x-cos-next-append-position", "1048576", "x-cos-version-id", "v", "x-cos-meta-mode", "33188", "x-cos-meta-a-b", "x_y",
		"x-cos-storage-class", "STANDARD_IA", "x-cos-force-download", "true", "Content-Disposition", "attachment",
		"Date", "Thu, 16 May 2019 06:45:52 GMT"))
	got, err := c.Head(context.Background(), "k", &HeadOptions{
		VersionID: "v 1", Conditions: Conditions{IfMatch: "abc", IfModifiedSince: time.Unix(1700000000, 0)},
		SSE: SSE{CustomerAlgorithm: "AES256", CustomerKey: "key", CustomerKeyMD5: "md5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := got.Headers
	if got.Key != "k" || got.Size != 1<<20 || got.ETag != "abc" || !got.HasCRC64 || got.CRC64 != 42 || !got.Appendable || got.NextAppend != 1<<20 ||
		got.VersionID != "v" || got.LastModified.Unix() != 1557989151 || got.ServerTime.Unix() != 1557989152 || got.RequestID != "req-1" {
		t.Errorf("info = %+v", got)
	}
	if h.ContentType != "text/plain" || h.StorageClass != "STANDARD_IA" || h.ContentDisposition != "" || len(h.Meta) != 2 || h.Meta["mode"] != "33188" || h.Meta["a-b"] != "x_y" {
		t.Errorf("headers = %+v", h)
	}
	call := s.only()
	if call.Method != "HEAD" || call.URI != "/k?versionId=v%201" {
		t.Errorf("request = %s %s", call.Method, call.URI)
	}
	if m, s, k := call.Header.Get("If-Match"), call.Header.Get("If-Modified-Since"), call.Header.Get("X-Cos-Server-Side-Encryption-Customer-Key"); m != `"abc"` || s != "Tue, 14 Nov 2023 22:13:20 GMT" || k != "key" {
		t.Errorf("conditions = %q %q %q", m, s, k)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", ErrNotFound},
		{404, "NoSuchBucket", ErrNoSuchBucket},
		{404, "NoSuchVersion", ErrNotFound},
		{412, "PreconditionFailed", ErrPrecondition},
		{403, "AccessDenied", ErrAccessDenied},
		{403, "DownloadForbidden", ErrAccessDenied},
		{403, "SignatureDoesNotMatch", ErrBadCredentials},
		{403, "InvalidAccessKeyId", ErrBadCredentials},
		{403, "RequestTimeTooSkewed", ErrClockSkew},
		{403, "InvalidObjectState", ErrInvalidState},
		{416, "InvalidRange", ErrInvalidRange},
		{400, "KeyTooLong", ErrKeyInvalid},
		{400, "InvalidArgument", ErrInvalidArgument},
		{402, "PaymentRequired", ErrNoSpace},
		{405, "MethodNotAllowed", ErrUnsupported},
		{409, "PathConflict", ErrConflict},
		{501, "NotImplemented", ErrUnsupported},
	} {
		s, c := newScript(t, nil, refusal(tt.status, tt.code))
		_, err := c.Get(context.Background(), "k", nil)
		var e *Error
		if !errors.Is(err, tt.want) || !errors.As(err, &e) {
			t.Errorf("%d %s: error = %v, want %v", tt.status, tt.code, err, tt.want)
			continue
		}
		if e.Op != "GetObject" || e.Key != "k" || e.Status != tt.status || e.Code != tt.code || e.Message != "because" || e.RequestID != "doc-id" || e.Attempts != 1 {
			t.Errorf("%d %s: error = %+v", tt.status, tt.code, *e)
		}
		if n := len(s.seen()); n != 1 {
			t.Errorf("%d %s: %d attempts, want 1", tt.status, tt.code, n)
		}
	}
}

func TestHeadWithoutBody(t *testing.T) {
	for status, want := range map[int]error{404: ErrNotFound, 403: ErrAccessDenied, 304: ErrNotModified, 412: ErrPrecondition} {
		_, c := newScript(t, nil, reply(status, ""))
		if _, err := c.Head(context.Background(), "k", nil); !errors.Is(err, want) {
			t.Errorf("HEAD %d = %v, want %v", status, err, want)
		}
	}
	_, c := newScript(t, nil, reply(404, ""))
	if _, err := c.HeadBucket(context.Background()); !errors.Is(err, ErrNoSuchBucket) {
		t.Errorf("HEAD bucket 404 = %v, want ErrNoSuchBucket", err)
	}
}

func TestRedirectRefused(t *testing.T) {
	s, c := newScript(t, nil, reply(307, "", "Location", "http://127.0.0.1:1/"))
	if _, err := c.Get(context.Background(), "k", nil); !errors.Is(err, ErrBadResponse) {
		t.Errorf("error = %v, want ErrBadResponse", err)
	}
	s.only()
}

func TestErrorBodyIsBounded(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	_, c := newScript(t, nil, reply(403, "<Error><Code>AccessDenied</Code><Message>"+long))
	_, err := c.Get(context.Background(), "k", nil)
	if !errors.Is(err, ErrAccessDenied) || len(err.Error()) > 2000 {
		t.Errorf("error of %d bytes: %.100v", len(err.Error()), err)
	}
	_, c = newScript(t, nil, reply(403, "<Error><Code>AccessDenied</Code><Message>"+strings.Repeat("é", 2000)+"</Message></Error>"))
	_, err = c.Get(context.Background(), "k", nil)
	var e *Error
	if !errors.As(err, &e) || e.Code != "AccessDenied" || len(e.Message) > maxMessage+3 || strings.ContainsRune(e.Message, '\uFFFD') {
		t.Errorf("error = %.100v", err)
	}
}

func TestArgumentsRefused(t *testing.T) {
	s, c := newScript(t, nil, reply(200, ""))
	body := strings.NewReader("x")
	put := func(o PutOptions) error { _, err := c.Put(context.Background(), "k", body, 1, &o); return err }
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"meta underscore", put(PutOptions{Headers: Headers{Meta: map[string]string{"a_b": "x"}}}), ErrInvalidArgument},
		{"meta empty name", put(PutOptions{Headers: Headers{Meta: map[string]string{"": "x"}}}), ErrInvalidArgument},
		{"meta not ASCII", put(PutOptions{Headers: Headers{Meta: map[string]string{"a": "é"}}}), ErrInvalidArgument},
		{"meta blank end", put(PutOptions{Headers: Headers{Meta: map[string]string{"a": "x "}}}), ErrInvalidArgument},
		{"meta twice", put(PutOptions{Headers: Headers{Meta: map[string]string{"a": "x", "A": "y"}}}), ErrInvalidArgument},
		{"meta large", put(PutOptions{Headers: Headers{Meta: map[string]string{"a": strings.Repeat("x", MaxMetaBytes)}}}), ErrTooLarge},
		{"line break", put(PutOptions{Headers: Headers{ContentType: "a\r\nx-cos-acl: public-read"}}), ErrInvalidArgument},
		{"slow limit", put(PutOptions{TrafficLimit: 1}), ErrInvalidArgument},
		{"negative size", func() error { _, err := c.Put(context.Background(), "k", body, -1, nil); return err }(), ErrInvalidArgument},
		{"large put", func() error { _, err := c.Put(context.Background(), "k", body, MaxPutBytes+1, nil); return err }(), ErrTooLarge},
		{"range", func() error {
			_, err := c.Get(context.Background(), "k", &GetOptions{Off: 1, Size: -1})
			return err
		}(), ErrInvalidRange},
		{"append beyond", func() error {
			_, err := c.Append(context.Background(), "k", MaxPutBytes, body, 1, nil)
			return err
		}(), ErrTooLarge},
		{"part 0", func() error {
			_, err := c.UploadPart(context.Background(), "k", "u", 0, body, 1, nil)
			return err
		}(), ErrInvalidArgument},
		{"no upload ID", c.AbortMultipart(context.Background(), "k", ""), ErrInvalidArgument},
		{"no parts", func() error {
			_, err := c.CompleteMultipart(context.Background(), "k", "u", nil, nil)
			return err
		}(), ErrInvalidArgument},
		{"part order", func() error {
			_, err := c.CompleteMultipart(context.Background(), "k", "u", []Part{{Number: 2, ETag: "a"}, {Number: 1, ETag: "b"}}, nil)
			return err
		}(), ErrInvalidPart},
		{"copy of nothing", func() error { _, err := c.Copy(context.Background(), "k", nil); return err }(), ErrInvalidArgument},
		{"copy from a bad key", func() error {
			_, err := c.Copy(context.Background(), "k", &CopyOptions{Source: Source{Key: ".."}})
			return err
		}(), ErrKeyInvalid},
		{"no ACL", c.PutObjectACL(context.Background(), "k", "", Headers{}), ErrInvalidArgument},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: error = %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests for refused arguments: %v", n, lines(s.seen()))
	}
}

func TestGet(t *testing.T) {
	const body = "0123456789"
	crc := crcOfString(body)
	for _, tt := range []struct {
		name     string
		o        *GetOptions
		answer   http.HandlerFunc
		rangeHdr string
		off      int64
		want     string
		err      error // of Get, or of reading
	}{
		{name: "whole", answer: reply(200, body, "x-cos-hash-crc64ecma", crc), want: body},
		{name: "whole without checksum", answer: reply(200, body), want: body},
		{name: "empty", answer: reply(200, "", "x-cos-hash-crc64ecma", "0", "Content-Length", "0")},
		{name: "wrong checksum", answer: reply(200, body, "x-cos-hash-crc64ecma", "1"), err: ErrChecksum},
		{name: "range", o: &GetOptions{Off: 2, Size: 3}, answer: reply(206, "234", "Content-Range", "bytes 2-4/10", "x-cos-hash-crc64ecma", crc), rangeHdr: "bytes=2-4", off: 2, want: "234"},
		{name: "to the end", o: &GetOptions{Off: 8}, answer: reply(206, "89", "Content-Range", "bytes 8-9/10"), rangeHdr: "bytes=8-", off: 8, want: "89"},
		{name: "clipped", o: &GetOptions{Off: 8, Size: 100}, answer: reply(206, "89", "Content-Range", "bytes 8-9/10"), rangeHdr: "bytes=8-107", off: 8, want: "89"},
		{name: "last", o: &GetOptions{Size: -3}, answer: reply(206, "789", "Content-Range", "bytes 7-9/10"), rangeHdr: "bytes=-3", off: 7, want: "789"},
		{name: "last of less", o: &GetOptions{Size: -30}, answer: reply(206, body, "Content-Range", "bytes 0-9/10", "x-cos-hash-crc64ecma", crc), rangeHdr: "bytes=-30", want: body},
		{name: "range that is whole, wrong checksum", o: &GetOptions{Size: 10}, answer: reply(206, body, "Content-Range", "bytes 0-9/10", "x-cos-hash-crc64ecma", "7"), rangeHdr: "bytes=0-9", err: ErrChecksum},
		{name: "range ignored but whole", o: &GetOptions{Size: 10}, answer: reply(200, body), rangeHdr: "bytes=0-9", want: body},
		{name: "range ignored", o: &GetOptions{Off: 2, Size: 3}, answer: reply(200, body), rangeHdr: "bytes=2-4", err: ErrBadResponse},
		{name: "another range", o: &GetOptions{Off: 2, Size: 3}, answer: reply(206, "345", "Content-Range", "bytes 3-5/10"), rangeHdr: "bytes=2-4", err: ErrBadResponse},
		{name: "shorter range", o: &GetOptions{Off: 2, Size: 3}, answer: reply(206, "23", "Content-Range", "bytes 2-3/10"), rangeHdr: "bytes=2-4", err: ErrBadResponse},
		{name: "range of lies", o: &GetOptions{Off: 2, Size: 3}, answer: reply(206, "23", "Content-Range", "bytes 2-4/10"), rangeHdr: "bytes=2-4", err: ErrBadResponse},
		{name: "no range told", o: &GetOptions{Off: 2, Size: 3}, answer: reply(206, "234"), rangeHdr: "bytes=2-4", err: ErrBadResponse},
		{name: "bad checksum header", answer: reply(200, body, "x-cos-hash-crc64ecma", "-1"), err: ErrBadResponse},
		{name: "chunked", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, body)
		}, err: ErrBadResponse},
		{name: "unsatisfiable", o: &GetOptions{Off: 20}, answer: refusal(416, "InvalidRange"), rangeHdr: "bytes=20-", err: ErrInvalidRange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := newScript(t, nil, tt.answer)
			g, err := c.Get(context.Background(), "k", tt.o)
			if err == nil {
				var b []byte
				b, err = io.ReadAll(g.Body)
				if cerr := g.Body.Close(); cerr != nil {
					t.Errorf("Close = %v", cerr)
				}
				if err == nil && (string(b) != tt.want || g.Off != tt.off || g.Len != int64(len(tt.want))) {
					t.Errorf("%q at %d of %d, want %q at %d", b, g.Off, g.Len, tt.want, tt.off)
				}
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want %v", err, tt.err)
			}
			if got := s.seen()[0].Header.Get("Range"); got != tt.rangeHdr {
				t.Errorf("Range = %q, want %q", got, tt.rangeHdr)
			}
		})
	}
}

func TestGetCutShort(t *testing.T) {
	_, c := newScript(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "0123")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	g, err := c.Get(context.Background(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Body.Close()
	b, err := io.ReadAll(g.Body)
	if string(b) != "0123" || !errors.Is(err, ErrBadResponse) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v, want ErrBadResponse", b, err)
	}
	if _, again := g.Body.Read(make([]byte, 1)); !errors.Is(again, ErrBadResponse) {
		t.Errorf("second Read = %v, want the same error", again)
	}
}

func TestGetCancelledWhileReading(t *testing.T) {
	gone := make(chan struct{})
	_, c := newScript(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "0123")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(context.Background())
	g, err := c.Get(ctx, "k", &GetOptions{Response: ResponseOverride{ContentType: "a b"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(g.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(g.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read = %v, want context.Canceled", err)
	}
	g.Body.Close()
	<-gone
}

func TestConnectionIsReused(t *testing.T) {
	conns := make(map[string]bool)
	_, c := newScript(t, nil, func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		_, _ = io.WriteString(w, "0123456789")
	})
	for range 5 {
		g, err := c.Get(context.Background(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(g.Body, make([]byte, g.Len)); err != nil {
			t.Fatal(err)
		}
		g.Body.Close()
	}
	if len(conns) != 1 {
		t.Errorf("%d connections, want 1", len(conns))
	}
}
