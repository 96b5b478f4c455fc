package sdk

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// dated signs like the SDK, but for times of the test's choice.
type dated struct{ from, to time.Duration } // relative to now

// RoundTrip implements http.RoundTripper.
func (d dated) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	now := time.Now()
	cos.AddAuthorizationHeader(secretID, secretKey, "", req, &cos.AuthTime{
		SignStartTime: now.Add(d.from), SignEndTime: now.Add(d.to),
		KeyStartTime: now.Add(d.from), KeyEndTime: now.Add(d.to),
	})
	return http.DefaultTransport.RoundTrip(req)
}

// tamper changes a request after it was signed.
type tamper func(*http.Request)

// RoundTrip implements http.RoundTripper.
func (f tamper) RoundTrip(req *http.Request) (*http.Response, error) {
	f(req)
	return http.DefaultTransport.RoundTrip(req)
}

func TestRefusedSignatures(t *testing.T) {
	endpoint := newServer(t)
	put(t, clientOf(t, endpoint, signer(secretID, secretKey)), "k", []byte("v"))
	tampered := func(f tamper) *cos.AuthorizationTransport {
		s := signer(secretID, secretKey)
		s.Transport = f
		return s
	}
	tests := []struct {
		name      string
		transport http.RoundTripper
		code      string
	}{
		{"wrong key", signer(secretID, strings.Repeat("x", 32)), "SignatureDoesNotMatch"},
		{"unknown id", signer("AKIDUNKNOWN", secretKey), "InvalidAccessKeyId"},
		{"no signature", http.DefaultTransport, "AccessDenied"},
		{"expired", dated{-2 * time.Hour, -time.Hour}, "AccessDenied"},
		{"not yet valid", dated{time.Hour, 2 * time.Hour}, "RequestTimeTooSkewed"},
		{"another key", tampered(func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/k2", "" }), "SignatureDoesNotMatch"},
		{"another method", tampered(func(r *http.Request) { r.Method = http.MethodDelete }), "SignatureDoesNotMatch"},
		{"another header", tampered(func(r *http.Request) { r.Header.Set("x-cos-meta-a", "2") }), "SignatureDoesNotMatch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := clientOf(t, endpoint, tt.transport)
			signed := &http.Header{"X-Cos-Meta-A": {"1"}}
			_, err := c.Object.Get(t.Context(), "k", &cos.ObjectGetOptions{XOptionHeader: signed})
			wantError(t, err, 403, tt.code)
			_, err = c.Object.Put(t.Context(), "k", strings.NewReader("changed"), &cos.ObjectPutOptions{
				ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosMetaXXX: signed},
			})
			wantError(t, err, 403, tt.code)
		})
	}
	wantBytes(t, "k", get(t, clientOf(t, endpoint, signer(secretID, secretKey)), "k"), []byte("v"))
}

func TestTemporaryCredentials(t *testing.T) {
	endpoint := newServer(t)
	auth := signer(temporaryID, secretKey)
	auth.SessionToken = sessionToken
	put(t, clientOf(t, endpoint, auth), "k", []byte("v"))

	for _, token := range []string{"", "another"} {
		auth := signer(temporaryID, secretKey)
		auth.SessionToken = token
		_, err := clientOf(t, endpoint, auth).Object.Get(t.Context(), "k", nil)
		var e *cos.ErrorResponse
		if !errors.As(err, &e) || e.Response.StatusCode != http.StatusForbidden {
			t.Errorf("token %q: got %v, want 403", token, err)
		}
	}
}

// fetch asks for a presigned URL as a program without any SDK would.
func fetch(t *testing.T, method string, u *url.URL, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, u.String(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = bucketHost
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestPresignedURLs(t *testing.T) {
	c := newClient(t)
	// The SDK signs the URL's own host, so the virtual host is what it has to be given, and the
	// address is put back afterwards.
	address := c.BaseURL.BucketURL.Host
	c.BaseURL.BucketURL.Host = bucketHost
	presign := func(method, key string, valid time.Duration, opt any) *url.URL {
		t.Helper()
		u, err := c.Object.GetPresignedURL(t.Context(), method, key, secretID, secretKey, valid, opt)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = address
		return u
	}
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			if status, answer := fetch(t, http.MethodPut, presign(http.MethodPut, key, time.Hour, nil), "value"); status != 200 {
				t.Fatalf("put: %d %s", status, answer)
			}
			if status, answer := fetch(t, http.MethodGet, presign(http.MethodGet, key, time.Hour, nil), ""); status != 200 || answer != "value" {
				t.Errorf("get: got %d %q, want the value", status, answer)
			}
		})
	}

	t.Run("signed parameters", func(t *testing.T) {
		opt := &cos.PresignedURLOptions{Query: &url.Values{"response-content-type": {"text/x-signed"}}}
		u := presign(http.MethodGet, "plain", time.Hour, opt)
		if status, answer := fetch(t, http.MethodGet, u, ""); status != 200 {
			t.Errorf("got %d %s, want 200", status, answer)
		}
		q := u.Query()
		q.Set("response-content-type", "text/x-forged")
		u.RawQuery = q.Encode()
		if status, answer := fetch(t, http.MethodGet, u, ""); status != 403 || !strings.Contains(answer, "SignatureDoesNotMatch") {
			t.Errorf("changed: got %d %s, want 403", status, answer)
		}
	})
	t.Run("expired", func(t *testing.T) {
		u := presign(http.MethodGet, "plain", -time.Hour, nil)
		if status, answer := fetch(t, http.MethodGet, u, ""); status != 403 || !strings.Contains(answer, "expired") {
			t.Errorf("got %d %s, want 403 and the reason", status, answer)
		}
	})
	t.Run("another method", func(t *testing.T) {
		u := presign(http.MethodGet, "plain", time.Hour, nil)
		if status, answer := fetch(t, http.MethodDelete, u, ""); status != 403 {
			t.Errorf("got %d %s, want 403", status, answer)
		}
	})
	t.Run("merged into one parameter", func(t *testing.T) {
		u := presign(http.MethodGet, "plain", time.Hour, &cos.PresignedURLOptions{SignMerged: true})
		if status, answer := fetch(t, http.MethodGet, u, ""); status != 200 || answer != "value" {
			t.Errorf("got %d %q, want the value", status, answer)
		}
	})
}
