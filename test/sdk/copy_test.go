package sdk

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tencentyun/cos-go-sdk-v5"
)

// putWithMeta stores an object that carries metadata, for copies to keep or to lose.
func putWithMeta(t *testing.T, c *cos.Client, key string, body []byte) *cos.Response {
	t.Helper()
	meta := &http.Header{}
	meta.Set("x-cos-meta-colour", "blue")
	resp, err := c.Object.Put(t.Context(), key, strings.NewReader(string(body)), &cos.ObjectPutOptions{
		ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
			ContentType: "text/x-source", XCosMetaXXX: meta, XCosStorageClass: "STANDARD_IA",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestCopy(t *testing.T) {
	c := newClient(t)
	body := randomBytes(5000)
	for _, key := range keys {
		if strings.Contains(key, "?") {
			continue // the SDK takes what follows the question mark for a version
		}
		t.Run(key, func(t *testing.T) {
			src := putWithMeta(t, c, key, body)
			res, _, err := c.Object.Copy(t.Context(), "copy of "+key, bucketHost+"/"+key, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.ETag != src.Header.Get("ETag") || res.CRC64 != crcOf(body) || res.LastModified == "" {
				t.Errorf("got %+v, want the source's ETag and CRC64, and a time", res)
			}
			wantBytes(t, "copy", get(t, c, "copy of "+key), body)
			head, err := c.Object.Head(t.Context(), "copy of "+key, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantHeader(t, head.Header, "x-cos-meta-colour", "blue")
			wantHeader(t, head.Header, "Content-Type", "text/x-source")
			wantHeader(t, head.Header, "x-cos-storage-class", "") // not inherited: STANDARD
		})
	}
}

func TestCopyReplacesMetadata(t *testing.T) {
	c := newClient(t)
	body := randomBytes(5000)
	putWithMeta(t, c, "k", body)
	_, _, err := c.Object.Copy(t.Context(), "k", bucketHost+"/k", nil)
	wantError(t, err, 400, "InvalidRequest") // onto itself, with nothing to change

	meta := &http.Header{}
	meta.Set("x-cos-meta-size", "large")
	_, _, err = c.Object.Copy(t.Context(), "k", bucketHost+"/k", &cos.ObjectCopyOptions{
		ObjectCopyHeaderOptions: &cos.ObjectCopyHeaderOptions{
			XCosMetadataDirective: "Replaced", ContentType: "text/x-new", XCosMetaXXX: meta,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.Object.Head(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, head.Header, "x-cos-meta-size", "large")
	wantHeader(t, head.Header, "x-cos-meta-colour", "")
	wantHeader(t, head.Header, "Content-Type", "text/x-new")
	wantBytes(t, "k", get(t, c, "k"), body)
}

func TestCopyConditions(t *testing.T) {
	c := newClient(t)
	etag := put(t, c, "k", []byte("v")).Header.Get("ETag")
	const other = `"0123456789abcdef0123456789abcdef"`
	const past = "Thu, 01 Jan 2015 00:00:00 GMT"
	tests := []struct {
		name string
		opt  cos.ObjectCopyHeaderOptions
		ok   bool
	}{
		{"match", cos.ObjectCopyHeaderOptions{XCosCopySourceIfMatch: etag}, true},
		{"no match", cos.ObjectCopyHeaderOptions{XCosCopySourceIfMatch: other}, false},
		{"none match", cos.ObjectCopyHeaderOptions{XCosCopySourceIfNoneMatch: etag}, false},
		{"modified", cos.ObjectCopyHeaderOptions{XCosCopySourceIfModifiedSince: past}, true},
		{"unmodified", cos.ObjectCopyHeaderOptions{XCosCopySourceIfUnmodifiedSince: past}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := c.Object.Copy(t.Context(), tt.name, bucketHost+"/k", &cos.ObjectCopyOptions{ObjectCopyHeaderOptions: &tt.opt})
			if !tt.ok {
				wantError(t, err, 412, "PreconditionFailed")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	_, _, err := c.Object.Copy(t.Context(), "new", bucketHost+"/none", nil)
	wantError(t, err, 404, "NoSuchKey")
}
