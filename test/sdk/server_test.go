package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"cosfuse/cos/cosserver"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// Who asks, and for what.
const (
	bucket     = "examplebucket-1250000000"
	region     = "ap-guangzhou"
	bucketHost = bucket + ".cos." + region + ".myqcloud.com"
	secretID   = "AKIDEXAMPLE0000000000000000000000000"
	secretKey  = "EXAMPLEKEY0000000000000000000000"

	temporaryID  = "AKIDTEMPORARY00000000000000000000000"
	sessionToken = "token+/with=specials"
)

// newServer starts a server with one empty bucket and returns its URL. It is as strict as it can be.
func newServer(t *testing.T) string {
	t.Helper()
	srv, err := cosserver.Open(cosserver.Options{
		Dir:     t.TempDir(),
		Region:  region,
		Buckets: []cosserver.Bucket{{Name: bucket}},
		Credentials: map[string]cosserver.Credential{
			secretID:    {SecretKey: secretKey},
			temporaryID: {SecretKey: secretKey, Token: sessionToken},
		},
		NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l.URL
}

// crcTable is the polynomial of x-cos-hash-crc64ecma.
var crcTable = crc64.MakeTable(crc64.ECMA)

// keys are object names that encodings get wrong.
var keys = []string{
	"plain",
	"dir/file.txt",
	"dir/",
	"space and+plus%percent",
	"a//b",
	"./dot/../dots",
	"~e*'()!/腾讯云.txt",
	"query?x=1&y#z",
	"tab\there",
	"%2F",
}

// recorder notes each request before the transport below sends it.
type recorder struct {
	next http.RoundTripper

	mu       sync.Mutex
	requests []string // method, then the query
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.RawQuery)
	r.mu.Unlock()
	return r.next.RoundTrip(req)
}

// count is how many requests so far begin with prefix.
func (r *recorder) count(prefix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, req := range r.requests {
		if strings.HasPrefix(req, prefix) {
			n++
		}
	}
	return n
}

// clientOf makes an SDK client for the test bucket at endpoint that sends through transport.
func clientOf(t *testing.T, endpoint string, transport http.RoundTripper) *cos.Client {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := cos.NewClient(&cos.BaseURL{BucketURL: u, ServiceURL: u}, &http.Client{Transport: transport})
	c.Host = bucketHost
	if !c.Conf.EnableCRC {
		t.Fatal("the SDK does not check CRCs")
	}
	return c
}

// signer signs as the SDK does.
func signer(id, key string) *cos.AuthorizationTransport {
	return &cos.AuthorizationTransport{SecretID: id, SecretKey: key}
}

// newClient is an SDK client on a server of its own, with an empty bucket.
func newClient(t *testing.T) *cos.Client {
	t.Helper()
	return clientOf(t, newServer(t), signer(secretID, secretKey))
}

// randomBytes returns n bytes that depend on n and on nothing else.
func randomBytes(n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	b := make([]byte, n)
	rng.Read(b) // never fails
	return b
}

func crcOf(b []byte) string { return fmt.Sprint(crc64.Checksum(b, crcTable)) }

// put stores body under key.
func put(t *testing.T, c *cos.Client, key string, body []byte) *cos.Response {
	t.Helper()
	resp, err := c.Object.Put(t.Context(), key, bytes.NewReader(body), nil)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return resp
}

// get reads the object back whole.
func get(t *testing.T, c *cos.Client, key string) []byte {
	t.Helper()
	resp, err := c.Object.Get(t.Context(), key, nil)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return readBody(t, resp)
}

func readBody(t *testing.T, resp *cos.Response) []byte {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantBytes compares contents without printing megabytes.
func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes with crc %s, want %d with %s", what, len(got), crcOf(got), len(want), crcOf(want))
	}
}

// wantError wants the SDK to have understood err as this status and code.
func wantError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *cos.ErrorResponse
	if !errors.As(err, &e) {
		t.Errorf("got error %v, want status %d %s", err, status, code)
		return
	}
	if e.Response.StatusCode != status || e.Code != code {
		t.Errorf("got %d %q (%s), want %d %q", e.Response.StatusCode, e.Code, e.Message, status, code)
	}
	if code != "" && (e.Message == "" || e.Resource == "" || e.RequestID == "" || e.TraceID == "") {
		t.Errorf("%s: message, resource, request or trace id is missing: %+v", code, e)
	}
}

func wantHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	if got := h.Get(name); got != want {
		t.Errorf("header %s: got %q, want %q", name, got, want)
	}
}
