package sdk

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	ours "cosfuse/cos"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// resigner lets the SDK sign each request of our client again, for the same times and over the same
// headers, and notes where the two differ.
type resigner struct {
	t *testing.T

	mu   sync.Mutex
	seen int
}

// RoundTrip implements http.RoundTripper.
func (r *resigner) RoundTrip(req *http.Request) (*http.Response, error) {
	ourAuth := req.Header.Get("Authorization")
	theirs, err := resign(req)
	switch {
	case err != nil:
		r.t.Errorf("%s %s: %v in %q", req.Method, req.URL, err, ourAuth)
	case theirs != ourAuth:
		r.t.Errorf("%s %s: signed differently\nours:  %s\ntheirs: %s", req.Method, req.URL, ourAuth, theirs)
	}
	r.mu.Lock()
	r.seen++
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

// resign returns the Authorization the SDK gives the request.
func resign(req *http.Request) (string, error) {
	fields, err := url.ParseQuery(strings.ReplaceAll(req.Header.Get("Authorization"), ";", "%3B"))
	if err != nil {
		return "", err
	}
	start, end, err := keyTime(fields.Get("q-key-time"))
	if err != nil {
		return "", err
	}
	listed := strings.Split(fields.Get("q-header-list"), ";")
	again := &http.Request{Method: req.Method, URL: req.URL, Host: req.Host, Header: http.Header{}}
	for _, name := range listed {
		switch values := req.Header.Values(name); {
		case name == "host": // the SDK adds it
		case name == "content-length" && len(values) == 0:
			again.Header.Set(name, strconv.FormatInt(req.ContentLength, 10))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	cos.AddAuthorizationHeader(secretID, secretKey, "", again, &cos.AuthTime{
		SignStartTime: start, SignEndTime: end, KeyStartTime: start, KeyEndTime: end,
	})
	return again.Header.Get("Authorization"), nil
}

func keyTime(s string) (start, end time.Time, err error) {
	var a, b int64
	_, err = fmt.Sscanf(s, "%d;%d", &a, &b)
	return time.Unix(a, 0), time.Unix(b, 0), err
}

// newPair is an SDK client and a client of ours on one server. What ours signs is compared.
func newPair(t *testing.T) (*cos.Client, *ours.Client) {
	t.Helper()
	endpoint := newServer(t)
	check := &resigner{t: t}
	c, err := ours.New(ours.Options{
		Endpoint: endpoint, Region: region, Bucket: bucket, HTTPTransport: check,
		Credentials: ours.Static{Value: ours.Credentials{SecretID: secretID, SecretKey: secretKey}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if check.seen == 0 {
			t.Error("our client sent nothing")
		}
	})
	return clientOf(t, endpoint, signer(secretID, secretKey)), c
}

// TestOursToTheirs writes with our client in every way and reads with the SDK.
func TestOursToTheirs(t *testing.T) {
	theirs, c := newPair(t)
	ctx := t.Context()
	body := randomBytes(3*mib + 5)
	headers := ours.Headers{
		ContentType: "text/x-test; charset=utf-8", CacheControl: "max-age=5", ContentDisposition: `attachment; filename="a b"`,
		Meta: map[string]string{"mode": "33188", "note": "a+b = c%20"}, StorageClass: "STANDARD_IA", Tagging: "k=v&k2=v%202",
	}
	writes := []struct {
		name  string
		write func(key string) error
	}{
		{"put", func(key string) error {
			_, err := c.Put(ctx, key, bytes.NewReader(body), int64(len(body)), &ours.PutOptions{Headers: headers, EnableMD5: true})
			return err
		}},
		{"append", func(key string) error {
			_, err := c.Append(ctx, key, 0, bytes.NewReader(body[:1000]), 1000, &ours.AppendOptions{Headers: headers})
			if err == nil {
				_, err = c.Append(ctx, key, 1000, bytes.NewReader(body[1000:]), int64(len(body))-1000, nil)
			}
			return err
		}},
		{"upload", func(key string) error {
			_, err := c.Upload(ctx, key, bytes.NewReader(body), int64(len(body)), &ours.UploadOptions{
				PutOptions: ours.PutOptions{Headers: headers}, Threshold: mib, PartBytes: mib, Threads: 2,
			})
			return err
		}},
		{"copy", func(key string) error {
			src := "source of " + key
			if _, err := c.Put(ctx, src, bytes.NewReader(body), int64(len(body)), nil); err != nil {
				return err
			}
			_, err := c.Copy(ctx, key, &ours.CopyOptions{Source: ours.Source{Key: src}, Replace: true, Headers: headers})
			return err
		}},
	}
	for _, w := range writes {
		for _, key := range keys {
			t.Run(w.name+" "+key, func(t *testing.T) {
				if err := w.write(key); err != nil {
					t.Fatal(err)
				}
				wantBytes(t, key, get(t, theirs, key), body)
				head, err := theirs.Object.Head(ctx, key, nil)
				if err != nil {
					t.Fatal(err)
				}
				wantHeader(t, head.Header, "Content-Type", headers.ContentType)
				wantHeader(t, head.Header, "Content-Disposition", headers.ContentDisposition)
				wantHeader(t, head.Header, "x-cos-meta-note", headers.Meta["note"])
				wantHeader(t, head.Header, "x-cos-storage-class", headers.StorageClass)
				if err := c.Delete(ctx, key, nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestTheirsToOurs writes with the SDK and reads, lists and deletes with our client.
func TestTheirsToOurs(t *testing.T) {
	theirs, c := newPair(t)
	ctx := t.Context()
	for i, key := range keys {
		body := randomBytes(1000 + i)
		etag := putWithMeta(t, theirs, key, body).Header.Get("ETag")
		got, err := c.Get(ctx, key, &ours.GetOptions{Off: 10, Size: 500, Conditions: ours.Conditions{IfMatch: etag}})
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		part, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if err := got.Body.Close(); err != nil {
			t.Error(err)
		}
		wantBytes(t, key, part, body[10:510])
		info, err := c.Head(ctx, key, nil)
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if fmt.Sprint(info.CRC64) != crcOf(body) || info.Headers.Meta["colour"] != "blue" || info.Size != int64(len(body)) {
			t.Errorf("%q: got %+v", key, info)
		}
	}
	var listed []string
	for opt := (ours.ListOptions{MaxKeys: 3}); ; {
		page, err := c.List(ctx, &opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			listed = append(listed, e.Key)
		}
		if opt.Marker = page.NextMarker; !page.Truncated {
			break
		}
	}
	if want := slices.Sorted(slices.Values(keys)); !slices.Equal(listed, want) {
		t.Errorf("listed %q, want %q", listed, want)
	}
	if failed, err := c.DeleteMany(ctx, keys); err != nil || len(failed) > 0 {
		t.Errorf("delete: %v, %v", failed, err)
	}
}

// TestOurPresignedURL compares with the SDK's for the same times.
func TestOurPresignedURL(t *testing.T) {
	theirs, c := newPair(t)
	for _, key := range keys {
		put(t, theirs, key, []byte("value"))
		raw, err := c.Presign(t.Context(), http.MethodGet, key, url.Values{"response-content-type": {"text/x a+b"}}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		start, end, err := keyTime(u.Query().Get("q-key-time"))
		if err != nil {
			t.Fatal(err)
		}
		u.Host = theirs.BaseURL.BucketURL.Host
		if status, answer := fetch(t, http.MethodGet, u, ""); status != 200 || answer != "value" {
			t.Errorf("%q: got %d %s", key, status, answer)
		}

		at := &cos.AuthTime{SignStartTime: start, SignEndTime: end, KeyStartTime: start, KeyEndTime: end}
		sdk := clientOf(t, "http://"+bucketHost, http.DefaultTransport)
		want, err := sdk.Object.GetPresignedURL(t.Context(), http.MethodGet, key, secretID, secretKey, 0, &cos.PresignedURLOptions{
			Query: &url.Values{"response-content-type": {"text/x a+b"}}, AuthTime: at,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("q-signature"); got != want.Query().Get("q-signature") {
			t.Errorf("%q: signature %s, the SDK has %s", key, got, want.Query().Get("q-signature"))
		}
	}
	if _, err := c.HeadBucket(t.Context()); err != nil {
		t.Error(err)
	}
}
