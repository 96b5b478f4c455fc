package sdk

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/tencentyun/cos-go-sdk-v5"
)

const mib = 1 << 20

// begin initiates a multipart upload.
func begin(t *testing.T, c *cos.Client, key string, opt *cos.InitiateMultipartUploadOptions) string {
	t.Helper()
	res, _, err := c.Object.InitiateMultipartUpload(t.Context(), key, opt)
	if err != nil {
		t.Fatal(err)
	}
	if res.Key != key || res.Bucket != bucket || res.UploadID == "" {
		t.Errorf("initiate: got %+v, want key %q in bucket %q", res, key, bucket)
	}
	return res.UploadID
}

// sendPart uploads a part and returns what Complete wants to know of it.
func sendPart(t *testing.T, c *cos.Client, key, id string, number int, body []byte) cos.Object {
	t.Helper()
	resp, err := c.Object.UploadPart(t.Context(), key, id, number, bytes.NewReader(body), nil)
	if err != nil {
		t.Fatalf("part %d: %v", number, err)
	}
	return cos.Object{PartNumber: number, ETag: resp.Header.Get("ETag")}
}

func complete(t *testing.T, c *cos.Client, key, id string, parts ...cos.Object) (*cos.CompleteMultipartUploadResult, *cos.Response, error) {
	t.Helper()
	return c.Object.CompleteMultipartUpload(t.Context(), key, id, &cos.CompleteMultipartUploadOptions{Parts: parts})
}

// TestMultipart sends parts out of order, one of them twice.
func TestMultipart(t *testing.T) {
	c := newClient(t)
	meta := &http.Header{}
	meta.Set("x-cos-meta-mode", "33188")
	opt := &cos.InitiateMultipartUploadOptions{ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{ContentType: "text/x-big", XCosMetaXXX: meta}}
	body := randomBytes(2*mib + 12345)
	for _, key := range keys {
		t.Run(key, func(t *testing.T) {
			id := begin(t, c, key, opt)
			third := sendPart(t, c, key, id, 3, body[2*mib:])
			sendPart(t, c, key, id, 1, randomBytes(mib+1))
			second := sendPart(t, c, key, id, 2, body[mib:2*mib])
			first := sendPart(t, c, key, id, 1, body[:mib])
			if ok, err := c.Object.IsExist(t.Context(), key); ok || err != nil {
				t.Errorf("exists before complete: got %v, %v", ok, err)
			}
			res, resp, err := complete(t, c, key, id, first, second, third)
			if err != nil {
				t.Fatal(err)
			}
			if res.Key != key || res.Bucket != bucket || res.Location == "" {
				t.Errorf("complete: got %+v, want key %q, bucket %q and a location", res, key, bucket)
			}
			wantHeader(t, resp.Header, "x-cos-hash-crc64ecma", crcOf(body))
			wantBytes(t, key, get(t, c, key), body)
			head, err := c.Object.Head(t.Context(), key, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantHeader(t, head.Header, "ETag", res.ETag)
			wantHeader(t, head.Header, "x-cos-hash-crc64ecma", crcOf(body))
			wantHeader(t, head.Header, "x-cos-meta-mode", "33188")
			wantHeader(t, head.Header, "Content-Type", "text/x-big")
		})
	}
}

func TestMultipartRefusals(t *testing.T) {
	c := newClient(t)
	c.Conf.RetryOpt.Count = 1 // it would repeat even a refused complete
	id := begin(t, c, "k", nil)
	first := sendPart(t, c, "k", id, 1, randomBytes(mib))
	small := sendPart(t, c, "k", id, 2, randomBytes(mib-1))
	third := sendPart(t, c, "k", id, 3, randomBytes(10))
	tests := []struct {
		name   string
		id     string
		parts  []cos.Object
		status int
		code   string
	}{
		{"small part in the middle", id, []cos.Object{first, small, third}, 400, "EntityTooSmall"},
		{"wrong order", id, []cos.Object{small, first}, 400, "InvalidPartOrder"},
		{"one part twice", id, []cos.Object{first, first}, 400, "InvalidPartOrder"},
		{"wrong etag", id, []cos.Object{{PartNumber: 1, ETag: small.ETag}}, 400, "InvalidPart"},
		{"part never sent", id, []cos.Object{first, {PartNumber: 4, ETag: small.ETag}}, 400, "InvalidPart"},
		{"no parts", id, nil, 400, "MalformedXML"},
		{"unknown upload", "0123456789abcdef", []cos.Object{first}, 404, "NoSuchUpload"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := complete(t, c, "k", tt.id, tt.parts...)
			wantError(t, err, tt.status, tt.code)
		})
	}
	for _, number := range []int{0, 10001} {
		_, err := c.Object.UploadPart(t.Context(), "k", id, number, bytes.NewReader([]byte("x")), nil)
		wantError(t, err, 400, "InvalidArgument")
	}
	_, _, err := complete(t, c, "another key", id, first)
	wantError(t, err, 404, "NoSuchUpload")
	if _, _, err := complete(t, c, "k", id, first, small); err != nil { // the last part may be small
		t.Fatal(err)
	}
	_, _, err = complete(t, c, "k", id, first, small)
	wantError(t, err, 404, "NoSuchUpload")
}

func TestAbort(t *testing.T) {
	c := newClient(t)
	id := begin(t, c, "k", nil)
	sendPart(t, c, "k", id, 1, []byte("x"))
	resp, err := c.Object.AbortMultipartUpload(t.Context(), "k", id)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("abort: got %v, %v, want 204", resp, err)
	}
	_, err = c.Object.AbortMultipartUpload(t.Context(), "k", id)
	wantError(t, err, 404, "NoSuchUpload")
	_, err = c.Object.UploadPart(t.Context(), "k", id, 2, bytes.NewReader([]byte("x")), nil)
	wantError(t, err, 404, "NoSuchUpload")
	_, _, err = c.Object.ListParts(t.Context(), "k", id, nil)
	wantError(t, err, 404, "NoSuchUpload")
}

func TestListParts(t *testing.T) {
	c := newClient(t)
	id := begin(t, c, "dir/a b", nil)
	want := []cos.Object{}
	for _, number := range []int{1, 2, 5, 300, 10000} {
		want = append(want, sendPart(t, c, "dir/a b", id, number, randomBytes(number)))
	}
	var got []cos.Object
	opt := &cos.ObjectListPartsOptions{MaxParts: "2", EncodingType: "url"}
	for pages := 1; ; pages++ {
		res, _, err := c.Object.ListParts(t.Context(), "dir/a b", id, opt)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, res.Parts...)
		if !res.IsTruncated {
			if pages != 3 {
				t.Errorf("got %d pages, want 3", pages)
			}
			break
		}
		opt.PartNumberMarker = res.NextPartNumberMarker
	}
	if len(got) != len(want) {
		t.Fatalf("got %d parts, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].PartNumber != want[i].PartNumber || got[i].ETag != want[i].ETag || got[i].Size != int64(want[i].PartNumber) || got[i].LastModified == "" {
			t.Errorf("part %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestListUploads(t *testing.T) {
	c := newClient(t)
	ids := map[string]string{}
	for _, key := range []string{"a/1", "a/2", "b", "c d+e", "中"} {
		ids[key] = begin(t, c, key, nil)
	}
	var got []string
	var err error
	opt := &cos.ObjectListUploadsOptions{MaxUploads: 2, EncodingType: "url"}
	for {
		res, _, err := c.Object.ListUploads(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range res.Upload {
			key, err := cos.DecodeURIComponent(u.Key)
			if err != nil {
				t.Fatal(err)
			}
			if u.UploadID != ids[key] || u.Initiated == "" {
				t.Errorf("got %+v, want id %s", u, ids[key])
			}
			got = append(got, key)
		}
		if !res.IsTruncated {
			break
		}
		if opt.KeyMarker, err = cos.DecodeURIComponent(res.NextKeyMarker); err != nil {
			t.Fatal(err)
		}
		opt.UploadIdMarker = res.NextUploadIdMarker
	}
	if want := []string{"a/1", "a/2", "b", "c d+e", "中"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	res, _, err := c.Object.ListUploads(t.Context(), &cos.ObjectListUploadsOptions{Delimiter: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Upload) != 3 || !slices.Equal(res.CommonPrefixes, []string{"a/"}) {
		t.Errorf("with delimiter: got %d uploads and %q, want 3 and a/", len(res.Upload), res.CommonPrefixes)
	}
}

func TestCopyPart(t *testing.T) {
	c := newClient(t)
	body := randomBytes(7 * mib) // copied parts but the last are at least 5 MiB
	etag := put(t, c, "src dir/a+b", body).Header.Get("ETag")
	source := bucketHost + "/src dir/a+b"
	id := begin(t, c, "dst", nil)
	fresh := sendPart(t, c, "dst", id, 1, randomBytes(mib))
	copied, _, err := c.Object.CopyPart(t.Context(), "dst", id, 2, source, &cos.ObjectCopyPartOptions{
		XCosCopySourceRange: fmt.Sprintf("bytes=%d-%d", mib, 7*mib-1), XCosCopySourceIfMatch: etag,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\"%x\"", md5.Sum(body[mib:])); copied.ETag != want {
		t.Errorf("ETag of the copied part: got %s, want %s", copied.ETag, want)
	}
	whole, _, err := c.Object.CopyPart(t.Context(), "dst", id, 3, source, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Object.CopyPart(t.Context(), "dst", id, 4, source, &cos.ObjectCopyPartOptions{XCosCopySourceIfNoneMatch: etag})
	wantError(t, err, 412, "PreconditionFailed")
	_, _, err = c.Object.CopyPart(t.Context(), "dst", id, 4, bucketHost+"/none", nil)
	wantError(t, err, 404, "NoSuchKey")
	parts := []cos.Object{fresh, {PartNumber: 2, ETag: copied.ETag}, {PartNumber: 3, ETag: whole.ETag}}
	if _, _, err := complete(t, c, "dst", id, parts...); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "dst", get(t, c, "dst"), slices.Concat(randomBytes(mib), body[mib:], body))
}

// TestUpload is the SDK's own choice between a put and a multipart upload, with a CRC at the end.
func TestUpload(t *testing.T) {
	rec := &recorder{next: http.DefaultTransport}
	auth := signer(secretID, secretKey)
	auth.Transport = rec
	c := clientOf(t, newServer(t), auth)
	for _, size := range []int{0, 1000, mib, mib + 1, 5*mib + 7} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			body := randomBytes(size)
			file := writeFile(t, body)
			before := rec.count("POST uploads")
			_, _, err := c.Object.Upload(t.Context(), "k", file, &cos.MultiUploadOptions{PartSize: 1, ThreadPoolSize: 3})
			if err != nil {
				t.Fatal(err)
			}
			if multipart := rec.count("POST uploads") > before; multipart != (size > mib) {
				t.Errorf("multipart: got %v", multipart)
			}
			wantBytes(t, "k", get(t, c, "k"), body)

			back := filepath.Join(t.TempDir(), "back")
			if size == 0 {
				return // its parallel download asks for ranges, and there are none
			}
			if _, err := c.Object.Download(t.Context(), "k", back, &cos.MultiDownloadOptions{PartSize: 1, ThreadPoolSize: 3}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(back)
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, "download", got, body)
		})
	}
}

// TestUploadResumes leaves an upload with two of five parts behind and lets the SDK find it.
func TestUploadResumes(t *testing.T) {
	body := randomBytes(5*mib - 3)
	tests := []struct {
		name  string
		found []byte // content of the second part found
		sent  int    // parts to be sent
	}{
		{"parts fit", body[mib : 2*mib], 3},
		{"a part differs", randomBytes(mib), 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{next: http.DefaultTransport}
			auth := signer(secretID, secretKey)
			auth.Transport = rec
			endpoint := newServer(t)
			c := clientOf(t, endpoint, auth)
			plain := clientOf(t, endpoint, signer(secretID, secretKey))
			const key = "dir/a b"
			id := begin(t, plain, key, nil)
			sendPart(t, plain, key, id, 1, body[:mib])
			sendPart(t, plain, key, id, 2, tt.found)
			_, _, err := c.Object.Upload(t.Context(), key, writeFile(t, body), &cos.MultiUploadOptions{PartSize: 1, ThreadPoolSize: 2, CheckPoint: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.count("PUT partNumber="); got != tt.sent {
				t.Errorf("sent %d parts, want %d", got, tt.sent)
			}
			wantBytes(t, key, get(t, c, key), body)
		})
	}
}

// writeFile puts body into a file of its own.
func writeFile(t *testing.T, body []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
