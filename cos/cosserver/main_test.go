package cosserver

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"hash/crc64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a clock that moves when told to.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock { return &fakeClock{now: time.Unix(1_700_000_000, 0)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// client talks to a server under test.
type client struct {
	t    *testing.T
	srv  *Server
	url  string
	host string
	http *http.Client
}

// start opens a server and a listener that end with the test.
func start(t *testing.T, o Options) *client {
	t.Helper()
	c, stop := open(t, o)
	t.Cleanup(stop)
	return c
}

func open(t *testing.T, o Options) (*client, func()) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
		o.NoSync = true
	}
	srv, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	transport := &http.Transport{DisableCompression: true}
	c := &client{t: t, srv: srv, url: l.URL, host: srv.Host(srv.Bucket()), http: &http.Client{Transport: transport}}
	var once sync.Once
	return c, func() {
		once.Do(func() {
			srv.SetRules(nil)
			transport.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := l.Close(ctx); err != nil {
				t.Errorf("close listener: %v", err)
			}
			if err := srv.Close(); err != nil {
				t.Errorf("close server: %v", err)
			}
		})
	}
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (r *reply) code() string {
	var e struct{ Code string }
	if xml.Unmarshal([]byte(r.body), &e) != nil {
		return ""
	}
	return e.Code
}

// h makes a header of names and values.
func h(kv ...string) http.Header {
	header := http.Header{}
	for i := 0; i+1 < len(kv); i += 2 {
		header[http.CanonicalHeaderKey(kv[i])] = []string{kv[i+1]}
	}
	return header
}

func (c *client) request(method, target, body string, header http.Header) *http.Request {
	c.t.Helper()
	r, err := http.NewRequest(method, c.url+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = c.host
	for k, v := range header {
		r.Header[k] = v
	}
	return r
}

// try sends a request; target begins with "/" and is escaped.
func (c *client) try(method, target, body string, header http.Header) (*reply, error) {
	c.t.Helper()
	resp, err := c.http.Do(c.request(method, target, body, header))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return &reply{resp.StatusCode, resp.Header, string(b), err}, nil
}

func (c *client) do(method, target, body string, header http.Header) *reply {
	c.t.Helper()
	r, err := c.try(method, target, body, header)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	return r
}

// want sends a request and checks the status and, if not empty, the error code.
func (c *client) want(status int, code, method, target, body string, header http.Header) *reply {
	c.t.Helper()
	r := c.do(method, target, body, header)
	if r.status != status || code != "" && r.code() != code {
		c.t.Fatalf("%s %s: got %d %s %q, want %d %s", method, target, r.status, r.code(), r.body, status, code)
	}
	return r
}

func (c *client) put(key, body string) *reply {
	c.t.Helper()
	return c.want(200, "", "PUT", "/"+key, body, nil)
}

func (c *client) get(key string) string {
	c.t.Helper()
	return c.want(200, "", "GET", "/"+key, "", nil).body
}

func (c *client) initiate(key string, header http.Header) (uploadID string) {
	c.t.Helper()
	r := c.want(200, "", "POST", "/"+key+"?uploads", "", header)
	var v struct{ UploadId string }
	unmarshal(c.t, r.body, &v)
	return v.UploadId
}

func (c *client) part(key, uploadID string, number int, body string) (etag string) {
	c.t.Helper()
	r := c.want(200, "", "PUT", "/"+key+"?partNumber="+strconv.Itoa(number)+"&uploadId="+uploadID, body, nil)
	return r.header.Get("ETag")
}

func completeXML(etags ...string) string {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i, e := range etags {
		b.WriteString("<Part><PartNumber>" + strconv.Itoa(i+1) + "</PartNumber><ETag>" + e + "</ETag></Part>")
	}
	return b.String() + "</CompleteMultipartUpload>"
}

func unmarshal(t *testing.T, text string, v any) {
	t.Helper()
	if err := xml.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

func md5Base64(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func crcOf(s string) string {
	return strconv.FormatUint(crc64.Checksum([]byte(s), crc64.MakeTable(crc64.ECMA)), 10)
}

func itoa(n int) string { return strconv.Itoa(n) }

// bulk is n bytes that look alike nowhere.
func bulk(n int) string {
	var b bytes.Buffer
	for i := uint64(1); b.Len() < n; i++ {
		b.WriteString(strconv.FormatUint(i*0x9e3779b97f4a7c15, 36))
	}
	return b.String()[:n]
}

// escape writes a key as a path.
func escape(key string) string { return (&url.URL{Path: key}).EscapedPath() }
