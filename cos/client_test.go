package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cosfuse/cos/internal/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testBucket = "examplebucket-1250000000"
	testRegion = "ap-guangzhou"
	testHost   = testBucket + ".cos." + testRegion + ".myqcloud.com"
)

var testCreds = Credentials{SecretID: "AKIDEXAMPLE", SecretKey: "secretexample"}

// call is a request as the server saw it.
type call struct {
	Method string
	URI    string // path and query as they travelled
	Host   string
	Header http.Header
	Body   string
	Length int64
}

// script answers calls one after the other and keeps them. The last answer serves all that follow.
type script struct {
	t  *testing.T
	mu sync.Mutex // guards the fields below

	calls   []call
	answers []http.HandlerFunc
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verifySignature(s.t, r)
	b, _ := io.ReadAll(r.Body) // a client that goes away in the middle is part of some tests
	s.mu.Lock()
	s.calls = append(s.calls, call{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(b), r.ContentLength})
	n := min(len(s.calls), len(s.answers)) - 1
	answer := s.answers[n]
	s.mu.Unlock()
	w.Header().Set("x-cos-request-id", fmt.Sprintf("req-%d", n+1))
	answer(w, r)
}

func (s *script) seen() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

// only returns the single call that was made.
func (s *script) only() call {
	s.t.Helper()
	c := s.seen()
	if len(c) != 1 {
		s.t.Fatalf("%d requests, want 1: %v", len(c), lines(c))
	}
	return c[0]
}

// lines are method and URI of each call.
func lines(calls []call) []string {
	var l []string
	for _, c := range calls {
		l = append(l, c.Method+" "+c.URI)
	}
	return l
}

// verifySignature does what the service does.
func verifySignature(t *testing.T, r *http.Request) {
	auth := r.Header.Get("Authorization")
	if auth == "" {
		return
	}
	f, err := sign.Parse(auth)
	if err != nil {
		t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
		return
	}
	h := r.Header.Clone()
	h.Set("Host", r.Host)
	h.Set("Content-Length", fmt.Sprint(r.ContentLength))
	got := sign.Signature(testCreds.SecretKey, f.KeyTime, f.SignTime, r.Method, r.URL.Path,
		sign.Select(r.URL.Query(), f.Params), sign.Select(h, f.Headers))
	if got != f.Signature {
		t.Errorf("%s %s: signature does not match", r.Method, r.RequestURI)
	}
	for _, must := range []string{"host"} {
		if !strings.Contains(auth, must) {
			t.Errorf("%s is not signed", must)
		}
	}
}

// newScript starts a server and a client of it. Back-offs are as short as can be.
func newScript(t *testing.T, tune func(*Options), answers ...http.HandlerFunc) (*script, *Client) {
	t.Helper()
	s := &script{t: t, answers: answers}
	srv := httptest.NewServer(s)
	o := Options{
		Endpoint: srv.URL, Region: testRegion, Bucket: testBucket, Credentials: Static{testCreds},
		BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, Attempts: 4,
	}
	if tune != nil {
		tune(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	return s, c
}

// reply answers with a status, headers in pairs, and a body.
func reply(status int, body string, kv ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(kv); i += 2 {
			w.Header().Set(kv[i], kv[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // a client that went away is part of some tests
	}
}

// refusal answers with an error document.
func refusal(status int, code string) http.HandlerFunc {
	return reply(status, "<?xml version='1.0' encoding='utf-8' ?>\n<Error><Code>"+code+
		"</Code><Message>because</Message><Resource>r</Resource><RequestId>doc-id</RequestId></Error>")
}

// hangUp reads the request and closes the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func crcOfString(s string) string { return fmt.Sprint(CRC64([]byte(s))) }

func TestPutWire(t *testing.T) {
	const key, body = "dir/a b+c%d~e*'()!/腾讯云.txt", "hello"
	s, c := newScript(t, nil, reply(200, "", "ETag", `"abc"`, "x-cos-hash-crc64ecma", crcOfString(body), "x-cos-version-id", "v1"))
	var done, total int64
	res, err := c.Put(context.Background(), key, strings.NewReader(body), int64(len(body)), &PutOptions{
		Headers: Headers{
			ContentType: "text/plain", CacheControl: "no-cache", ContentDisposition: "inline", ContentEncoding: "gzip",
			ContentLanguage: "en", Expires: "Thu, 01 Jan 2026 00:00:00 GMT", StorageClass: "STANDARD_IA", ACL: "private",
			GrantRead: `id="1"`, GrantWrite: `id="2"`, GrantReadACP: `id="3"`, GrantWriteACP: `id="4"`, GrantFullControl: `id="5"`,
			Tagging: "a=b", Meta: map[string]string{"Mode": "33188"}, SSE: SSE{Algorithm: "cos/kms", KMSKeyID: "k", KMSContext: "e30="},
		},
		ForbidOverwrite: true, EnableMD5: true, TrafficLimit: 819200,
		Progress: func(d, t int64) { done, total = d, t },
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.ETag != "abc" || res.CRC64 != CRC64([]byte(body)) || !res.HasCRC64 || res.VersionID != "v1" || res.RequestID != "req-1" {
		t.Errorf("result = %+v", res)
	}
	if done != 5 || total != 5 {
		t.Errorf("progress = %d of %d, want 5 of 5", done, total)
	}
	got := s.only()
	if got.Method != "PUT" || got.URI != "/dir/a%20b%2Bc%25d~e%2A%27%28%29%21/%E8%85%BE%E8%AE%AF%E4%BA%91.txt" || got.Host != testHost || got.Body != body || got.Length != 5 {
		t.Errorf("request = %+v", got)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Cache-Control": "no-cache", "Content-Disposition": "inline", "Content-Encoding": "gzip",
		"Content-Language": "en", "Expires": "Thu, 01 Jan 2026 00:00:00 GMT", "X-Cos-Storage-Class": "STANDARD_IA", "X-Cos-Acl": "private",
		"X-Cos-Grant-Read": `id="1"`, "X-Cos-Grant-Write": `id="2"`, "X-Cos-Grant-Read-Acp": `id="3"`, "X-Cos-Grant-Write-Acp": `id="4"`,
		"X-Cos-Grant-Full-Control": `id="5"`, "X-Cos-Tagging": "a=b", "X-Cos-Meta-Mode": "33188", "X-Cos-Server-Side-Encryption": "cos/kms",
		"X-Cos-Server-Side-Encryption-Cos-Kms-Key-Id": "k", "X-Cos-Server-Side-Encryption-Context": "e30=",
		"X-Cos-Forbid-Overwrite": "true", "Content-Md5": "XUFAKrxLKna5cZ2REBfFkg==", "X-Cos-Traffic-Limit": "819200",
		"X-Cos-Sdk-Retry": "", "Accept-Encoding": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("header %s = %q, want %q", name, v, want)
		}
	}
}

func TestKeysTravelUntouched(t *testing.T) {
	for _, key := range []string{"a//b", "/a", "//a", "a/./b", "a/../b", "..a/b", "./a", "a%2Fb", "a+b", "a/", "a//", "x/..a", "a?b#c", "a\x01", "名/字"} {
		s, c := newScript(t, nil, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/"+key {
				t.Errorf("decoded path = %q, want %q", r.URL.Path, "/"+key)
			}
			w.WriteHeader(204)
		})
		if err := c.Delete(context.Background(), key, nil); err != nil {
			t.Errorf("Delete(%q) = %v", key, err)
		}
		if u, err := url.ParseRequestURI(s.only().URI); err != nil || strings.Contains(u.EscapedPath(), "//") {
			t.Errorf("Delete(%q) travelled as %q", key, s.only().URI)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	s, c := newScript(t, nil, reply(204, ""))
	for _, key := range []string{"", "/", "//", ".", "..", "./", "a/..", "/../", strings.Repeat("k", 851), "a\x19", "\xff"} {
		err := c.Delete(context.Background(), key, nil)
		var e *Error
		if !errors.Is(err, ErrKeyInvalid) || !errors.As(err, &e) || e.Attempts != 0 {
			t.Errorf("Delete(%q) = %v, want ErrKeyInvalid", key, err)
		}
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests for invalid keys", n)
	}
}
