package sdk

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"
)

func TestPutGetHeadDelete(t *testing.T) {
	c := newClient(t)
	for i, key := range keys {
		t.Run(key, func(t *testing.T) {
			body := randomBytes(i * 1000) // the first is empty
			resp := put(t, c, key, body)
			wantHeader(t, resp.Header, "ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
			wantBytes(t, "get", get(t, c, key), body)
			head, err := c.Object.Head(t.Context(), key, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantHeader(t, head.Header, "Content-Length", fmt.Sprint(len(body)))
			wantHeader(t, head.Header, "x-cos-hash-crc64ecma", crcOf(body))
			wantHeader(t, head.Header, "ETag", resp.Header.Get("ETag"))
			if _, err := http.ParseTime(head.Header.Get("Last-Modified")); err != nil {
				t.Error(err)
			}
			for range 2 { // deleting what is gone succeeds too
				del, err := c.Object.Delete(t.Context(), key)
				if err != nil || del.StatusCode != http.StatusNoContent {
					t.Errorf("delete: got %v, %v, want 204", del, err)
				}
			}
			if _, err := c.Object.Get(t.Context(), key, nil); err == nil {
				t.Error("the object is still there")
			}
		})
	}
}

func TestMissingObject(t *testing.T) {
	c := newClient(t)
	_, err := c.Object.Get(t.Context(), "none", nil)
	wantError(t, err, 404, "NoSuchKey")
	_, err = c.Object.Head(t.Context(), "none", nil)
	wantError(t, err, 404, "") // a HEAD has no body to tell the code in
	if ok, err := c.Object.IsExist(t.Context(), "none"); ok || err != nil {
		t.Errorf("IsExist: got %v, %v, want false, nil", ok, err)
	}
}

func TestRange(t *testing.T) {
	c := newClient(t)
	body := randomBytes(5000)
	put(t, c, "k", body)
	tests := []struct {
		name, ask     string
		first, end    int // of the bytes wanted
		contentLength string
	}{
		{"inside", "bytes=100-199", 100, 200, "bytes 100-199/5000"},
		{"to the end", "bytes=4000-", 4000, 5000, "bytes 4000-4999/5000"},
		{"the tail", "bytes=-10", 4990, 5000, "bytes 4990-4999/5000"},
		{"clipped", "bytes=4999-9999", 4999, 5000, "bytes 4999-4999/5000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := c.Object.Get(t.Context(), "k", &cos.ObjectGetOptions{Range: tt.ask})
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, tt.ask, readBody(t, resp), body[tt.first:tt.end])
			if resp.StatusCode != http.StatusPartialContent {
				t.Errorf("status: got %d, want 206", resp.StatusCode)
			}
			wantHeader(t, resp.Header, "Content-Range", tt.contentLength)
			wantHeader(t, resp.Header, "x-cos-hash-crc64ecma", crcOf(body))
		})
	}
	_, err := c.Object.Get(t.Context(), "k", &cos.ObjectGetOptions{Range: "bytes=5000-5001"})
	wantError(t, err, 416, "InvalidRange")
}

func TestConditionalGet(t *testing.T) {
	c := newClient(t)
	resp := put(t, c, "k", []byte("v"))
	future := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	_, err := c.Object.Get(t.Context(), "k", &cos.ObjectGetOptions{IfModifiedSince: future})
	wantError(t, err, 304, "")
	etag := resp.Header.Get("ETag")
	tests := []struct {
		name, header, value string
		status              int
		code                string
	}{
		{"match", "If-Match", etag, 0, ""},
		{"no match", "If-Match", `"0123456789abcdef0123456789abcdef"`, 412, "PreconditionFailed"},
		{"none match", "If-None-Match", etag, 304, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opt := &cos.ObjectGetOptions{XOptionHeader: &http.Header{tt.header: {tt.value}}}
			resp, err := c.Object.Get(t.Context(), "k", opt)
			if tt.status != 0 {
				wantError(t, err, tt.status, tt.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, "body", readBody(t, resp), []byte("v"))
		})
	}
}

func TestHeadersAreKept(t *testing.T) {
	c := newClient(t)
	meta := &http.Header{}
	meta.Set("x-cos-meta-mode", "33188")
	meta.Set("x-cos-meta-note", "with a space")
	opt := &cos.ObjectPutOptions{
		ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
			CacheControl:       "max-age=5",
			ContentDisposition: "attachment; filename=x",
			ContentEncoding:    "br", // gzip would be undone by net/http
			ContentLanguage:    "de",
			ContentType:        "text/x-test",
			Expires:            "Thu, 01 Dec 2033 16:00:00 GMT",
			XCosMetaXXX:        meta,
			XCosStorageClass:   "STANDARD_IA",
		},
		ACLHeaderOptions: &cos.ACLHeaderOptions{XCosACL: "private"},
	}
	if _, err := c.Object.Put(t.Context(), "k", strings.NewReader("v"), opt); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Cache-Control":       "max-age=5",
		"Content-Disposition": "attachment; filename=x",
		"Content-Encoding":    "br",
		"Content-Language":    "de",
		"Content-Type":        "text/x-test",
		"Expires":             "Thu, 01 Dec 2033 16:00:00 GMT",
		"x-cos-meta-mode":     "33188",
		"x-cos-meta-note":     "with a space",
		"x-cos-storage-class": "STANDARD_IA",
	}
	head, err := c.Object.Head(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		wantHeader(t, head.Header, name, value)
	}
	got, err := c.Object.Get(t.Context(), "k", &cos.ObjectGetOptions{ResponseContentType: "text/override"})
	if err != nil {
		t.Fatal(err)
	}
	readBody(t, got)
	wantHeader(t, got.Header, "Content-Type", "text/override")

	put(t, c, "k", []byte("v2")) // an overwrite takes everything of the old version away
	head, err = c.Object.Head(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Cache-Control", "Content-Encoding", "x-cos-meta-mode", "x-cos-storage-class"} {
		wantHeader(t, head.Header, name, "")
	}
}

func TestPutChecks(t *testing.T) {
	c := newClient(t)
	sum := md5.Sum([]byte("value"))
	tests := []struct {
		name string
		opt  cos.ObjectPutHeaderOptions
		code string
	}{
		{"right md5", cos.ObjectPutHeaderOptions{ContentMD5: base64.StdEncoding.EncodeToString(sum[:])}, ""},
		{"wrong md5", cos.ObjectPutHeaderOptions{ContentMD5: base64.StdEncoding.EncodeToString(make([]byte, 16))}, "BadDigest"},
		{"malformed md5", cos.ObjectPutHeaderOptions{ContentMD5: "x"}, "InvalidDigest"},
		{"traffic limit", cos.ObjectPutHeaderOptions{XCosTrafficLimit: 819200 * 100}, ""},
		{"traffic limit too low", cos.ObjectPutHeaderOptions{XCosTrafficLimit: 819199}, "InvalidArgument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.Object.Put(t.Context(), tt.name, strings.NewReader("value"), &cos.ObjectPutOptions{ObjectPutHeaderOptions: &tt.opt})
			if tt.code != "" {
				wantError(t, err, 400, tt.code)
			} else if err != nil {
				t.Error(err)
			}
			ok, err := c.Object.IsExist(t.Context(), tt.name)
			if err != nil || ok != (tt.code == "") {
				t.Errorf("exists: got %v, %v", ok, err)
			}
		})
	}
}

// TestPutOfUnknownLength sends a chunked body, as the SDK does for readers it cannot measure.
func TestPutOfUnknownLength(t *testing.T) {
	c := newClient(t)
	body := randomBytes(300_000)
	if _, err := c.Object.Put(t.Context(), "k", io.MultiReader(bytes.NewReader(body)), nil); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "k", get(t, c, "k"), body)
}

func TestForbidOverwrite(t *testing.T) {
	c := newClient(t)
	opt := &cos.ObjectPutOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
		XOptionHeader: &http.Header{"X-Cos-Forbid-Overwrite": {"true"}},
	}}
	if _, err := c.Object.Put(t.Context(), "k", strings.NewReader("one"), opt); err != nil {
		t.Fatal(err)
	}
	_, err := c.Object.Put(t.Context(), "k", strings.NewReader("two"), opt)
	wantError(t, err, 409, "FileAlreadyExists")
	wantBytes(t, "k", get(t, c, "k"), []byte("one"))
}

func TestDeleteMulti(t *testing.T) {
	c := newClient(t)
	for _, quiet := range []bool{false, true} {
		t.Run(fmt.Sprintf("quiet %v", quiet), func(t *testing.T) {
			opt := &cos.ObjectDeleteMultiOptions{Quiet: quiet}
			for _, key := range keys {
				put(t, c, key, []byte("v"))
				opt.Objects = append(opt.Objects, cos.Object{Key: key})
			}
			opt.Objects = append(opt.Objects, cos.Object{Key: "never there"})
			put(t, c, "stays", []byte("v"))
			res, _, err := c.Object.DeleteMulti(t.Context(), opt)
			if err != nil {
				t.Fatal(err)
			}
			want := len(opt.Objects)
			if quiet {
				want = 0
			}
			if len(res.DeletedObjects) != want || len(res.Errors) != 0 {
				t.Errorf("got %d deleted, errors %v, want %d and none", len(res.DeletedObjects), res.Errors, want)
			}
			for i, o := range res.DeletedObjects {
				if o.Key != opt.Objects[i].Key {
					t.Errorf("deleted %d: got %q, want %q", i, o.Key, opt.Objects[i].Key)
				}
			}
			left, _, err := c.Bucket.Get(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(left.Contents) != 1 || left.Contents[0].Key != "stays" {
				t.Errorf("left: got %v, want only %q", left.Contents, "stays")
			}
		})
	}
}
