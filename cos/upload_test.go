package cos

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bucket is just enough of the service for uploads.
type bucket struct {
	mu       sync.Mutex // guards the fields below
	objects  map[string][]byte
	uploads  []*openUpload
	counts   map[string]int
	headers  http.Header // of the last initiate or put
	page     int         // parts and uploads per page; 0 = all
	hideCRC  bool        // on Complete
	onPart   func(n int)
	denyList bool
	most     int
	inFlight int
}

type openUpload struct {
	id, key, class string
	parts          map[int][]byte
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	q, key := r.URL.Query(), strings.TrimPrefix(r.URL.Path, "/")
	number, _ := strconv.Atoi(q.Get("partNumber"))
	if number > 0 && b.onPart != nil {
		b.mu.Lock()
		b.inFlight++
		b.most = max(b.most, b.inFlight)
		b.mu.Unlock()
		b.onPart(number)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header()["ETag"] = []string{fmt.Sprintf(`"%x"`, md5.Sum(body))}
	w.Header().Set("x-cos-hash-crc64ecma", fmt.Sprint(CRC64(body)))
	up := b.find(q.Get("uploadId"))
	switch {
	case r.Method == "POST" && q.Has("uploads"):
		b.counts["initiate"]++
		b.headers = r.Header.Clone()
		up := &openUpload{id: fmt.Sprintf("id%d", len(b.uploads)), key: key, class: "Standard", parts: map[int][]byte{}}
		b.uploads = append(b.uploads, up)
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", up.id)
	case r.Method == "GET" && q.Has("uploads"):
		b.counts["list uploads"]++
		b.listUploads(w, q.Get("prefix"), q.Get("upload-id-marker"))
	case q.Has("uploadId") && up == nil:
		refusal(404, "NoSuchUpload")(w, r)
	case number > 0:
		b.counts["part"]++
		b.inFlight--
		up.parts[number] = body
	case r.Method == "GET" && q.Has("uploadId"):
		b.counts["list parts"]++
		b.listParts(w, up, q.Get("part-number-marker"))
	case r.Method == "DELETE" && q.Has("uploadId"):
		b.counts["abort"]++
		b.remove(up)
		w.WriteHeader(204)
	case r.Method == "POST" && q.Has("uploadId"):
		b.counts["complete"]++
		b.complete(w, up, body)
	case r.Method == "PUT":
		b.counts["put"]++
		b.headers = r.Header.Clone()
		b.objects[key] = body
	case r.Method == "HEAD":
		b.counts["head"]++
		w.Header()["ETag"] = []string{`"done"`}
		w.Header().Set("x-cos-hash-crc64ecma", fmt.Sprint(CRC64(b.objects[key])))
		w.Header().Set("Content-Length", fmt.Sprint(len(b.objects[key])))
	}
}

func (b *bucket) find(id string) *openUpload {
	for _, u := range b.uploads {
		if u != nil && u.id == id {
			return u
		}
	}
	return nil
}

func (b *bucket) remove(up *openUpload) {
	for i, u := range b.uploads {
		if u == up {
			b.uploads[i] = nil
		}
	}
}

func (b *bucket) listUploads(w http.ResponseWriter, prefix, after string) {
	if b.denyList {
		refusal(403, "AccessDenied")(w, nil)
		return
	}
	var out strings.Builder
	n, last, more := 0, "", false
	for _, u := range b.uploads {
		if u == nil || !strings.HasPrefix(u.key, prefix) || u.id <= after {
			continue
		}
		if more = b.page > 0 && n == b.page; more {
			break
		}
		n, last = n+1, u.id
		fmt.Fprintf(&out, "<Upload><Key>%s</Key><UploadId>%s</UploadId><StorageClass>%s</StorageClass><Initiated>2017-08-08T11:40:48.000Z</Initiated></Upload>", u.key, u.id, u.class)
	}
	if more {
		fmt.Fprintf(&out, "<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>", prefix, last)
	}
	fmt.Fprintf(w, "<ListMultipartUploadsResult>%s<IsTruncated>%v</IsTruncated></ListMultipartUploadsResult>", out.String(), more)
}

func (b *bucket) listParts(w http.ResponseWriter, up *openUpload, marker string) {
	after, _ := strconv.Atoi(marker)
	var numbers []int
	for n := range up.parts {
		if n > after {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	more := b.page > 0 && len(numbers) > b.page
	if more {
		numbers = numbers[:b.page]
	}
	var out strings.Builder
	for _, n := range numbers {
		fmt.Fprintf(&out, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%x&quot;</ETag><Size>%d</Size></Part>", n, md5.Sum(up.parts[n]), len(up.parts[n]))
	}
	if more {
		fmt.Fprintf(&out, "<NextPartNumberMarker>%d</NextPartNumberMarker>", numbers[len(numbers)-1])
	}
	fmt.Fprintf(w, "<ListPartsResult>%s<IsTruncated>%v</IsTruncated></ListPartsResult>", out.String(), more)
}

func (b *bucket) complete(w http.ResponseWriter, up *openUpload, body []byte) {
	var doc struct {
		Parts []struct {
			PartNumber int
			ETag       string
		} `xml:"Part"`
	}
	var whole []byte
	if xml.Unmarshal(body, &doc) != nil {
		refusal(400, "MalformedXML")(w, nil)
		return
	}
	for i, p := range doc.Parts {
		if p.PartNumber != i+1 || p.ETag != fmt.Sprintf(`"%x"`, md5.Sum(up.parts[p.PartNumber])) {
			refusal(400, "InvalidPart")(w, nil)
			return
		}
		whole = append(whole, up.parts[p.PartNumber]...)
	}
	b.objects[up.key] = whole
	b.remove(up)
	w.Header().Set("x-cos-hash-crc64ecma", fmt.Sprint(CRC64(whole)))
	if b.hideCRC {
		w.Header().Del("x-cos-hash-crc64ecma")
	}
	fmt.Fprint(w, "<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>")
}

func newBucket(t *testing.T) (*bucket, *Client) {
	t.Helper()
	b := &bucket{objects: map[string][]byte{}, counts: map[string]int{}}
	srv := httptest.NewServer(b)
	c, err := New(Options{Endpoint: srv.URL, Region: testRegion, Bucket: testBucket, Attempts: 2, BaseDelay: 1, MaxDelay: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); srv.Close() })
	return b, c
}

func randomBytes(n int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	p := make([]byte, n)
	_, _ = rng.Read(p) // it cannot fail
	return p
}

const mib = 1 << 20

// small makes a multipart upload of a few mebibytes.
func small(o UploadOptions) *UploadOptions {
	o.Threshold, o.PartBytes = mib, mib
	return &o
}

func TestUploadChoosesByThreshold(t *testing.T) {
	b, c := newBucket(t)
	data := randomBytes(3*mib + 5)
	for _, tt := range []struct {
		size  int
		o     *UploadOptions
		calls map[string]int
	}{
		{100, nil, map[string]int{"put": 1}},
		{0, nil, map[string]int{"put": 1}},
		{mib, small(UploadOptions{}), map[string]int{"put": 1}},
		{mib + 1, small(UploadOptions{}), map[string]int{"list uploads": 1, "initiate": 1, "part": 2, "complete": 1}},
		{3*mib + 5, small(UploadOptions{NoResume: true}), map[string]int{"initiate": 1, "part": 4, "complete": 1}},
	} {
		clear(b.counts)
		o := UploadOptions{}
		if tt.o != nil {
			o = *tt.o
		}
		var steps []int64
		o.Headers = Headers{ContentType: "text/plain", Meta: map[string]string{"a": "b"}}
		o.Progress = func(done, total int64) {
			if total != int64(tt.size) {
				t.Errorf("total = %d, want %d", total, tt.size)
			}
			steps = append(steps, done)
		}
		res, err := c.Upload(context.Background(), "k", bytes.NewReader(data), int64(tt.size), &o)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.objects["k"], data[:tt.size]) || !res.HasCRC64 || res.CRC64 != CRC64(data[:tt.size]) {
			t.Errorf("size %d: object differs, result %+v", tt.size, res)
		}
		if fmt.Sprint(b.counts) != fmt.Sprint(tt.calls) {
			t.Errorf("size %d: requests = %v, want %v", tt.size, b.counts, tt.calls)
		}
		if b.headers.Get("X-Cos-Meta-A") != "b" || b.headers.Get("Content-Type") != "text/plain" {
			t.Errorf("size %d: headers = %v", tt.size, b.headers)
		}
		if !slices.IsSorted(steps) || len(steps) == 0 || steps[len(steps)-1] != int64(tt.size) {
			t.Errorf("size %d: progress = %v", tt.size, steps)
		}
	}
}

func TestUploadResumes(t *testing.T) {
	data := randomBytes(4*mib + 5)
	part := func(n int) []byte { return data[(n-1)*mib : min(n*mib, len(data))] }
	for _, tt := range []struct {
		name  string
		open  []*openUpload
		page  int
		class string
		calls map[string]int
	}{
		{name: "two parts kept, paged", page: 1,
			open: []*openUpload{
				{id: "i0", key: "k", class: "Standard", parts: map[int][]byte{1: []byte("old")}},
				{id: "i1", key: "k", class: "Standard", parts: map[int][]byte{1: part(1), 5: part(5)}},
				{id: "i2", key: "k2", class: "Standard", parts: map[int][]byte{1: part(1)}},
			},
			calls: map[string]int{"list uploads": 3, "list parts": 2, "part": 3, "complete": 1}},
		{name: "changed bytes and wrong sizes are sent again",
			open:  []*openUpload{{id: "i1", key: "k", class: "Standard", parts: map[int][]byte{1: part(2), 2: part(2), 3: part(3)[:mib-1], 5: part(4)}}},
			calls: map[string]int{"list uploads": 1, "list parts": 1, "part": 4, "complete": 1}},
		{name: "nothing fits",
			open:  []*openUpload{{id: "i1", key: "k", class: "Standard", parts: map[int][]byte{1: part(2)}}},
			calls: map[string]int{"list uploads": 1, "list parts": 1, "initiate": 1, "part": 5, "complete": 1}},
		{name: "more parts than ours",
			open:  []*openUpload{{id: "i1", key: "k", class: "Standard", parts: map[int][]byte{1: part(1), 6: part(1)}}},
			calls: map[string]int{"list uploads": 1, "list parts": 1, "initiate": 1, "part": 5, "complete": 1}},
		{name: "another class", class: "STANDARD_IA",
			open:  []*openUpload{{id: "i1", key: "k", class: "Standard", parts: map[int][]byte{1: part(1)}}},
			calls: map[string]int{"list uploads": 1, "initiate": 1, "part": 5, "complete": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, c := newBucket(t)
			b.uploads, b.page = tt.open, tt.page
			var first int64
			o := small(UploadOptions{})
			o.Headers.StorageClass = tt.class
			o.Progress = func(done, _ int64) {
				if first == 0 {
					first = done
				}
			}
			if _, err := c.Upload(context.Background(), "k", bytes.NewReader(data), int64(len(data)), o); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.objects["k"], data) {
				t.Error("object differs")
			}
			if fmt.Sprint(b.counts) != fmt.Sprint(tt.calls) {
				t.Errorf("requests = %v, want %v", b.counts, tt.calls)
			}
			if tt.name == "two parts kept, paged" && first != mib+5 {
				t.Errorf("progress begins with %d, want what was kept: %d", first, mib+5)
			}
		})
	}
	t.Run("may not list", func(t *testing.T) {
		b, c := newBucket(t)
		b.denyList = true
		if _, err := c.Upload(context.Background(), "k", bytes.NewReader(data), int64(len(data)), small(UploadOptions{})); err != nil {
			t.Error(err)
		}
	})
}

func TestUploadAfterFailureResumes(t *testing.T) {
	b, c := newBucket(t)
	data := randomBytes(4 * mib)
	ctx, cancel := context.WithCancel(context.Background())
	b.onPart = func(n int) {
		if n == 3 {
			cancel()
		}
	}
	o := small(UploadOptions{Threads: 1})
	if _, err := c.Upload(ctx, "k", bytes.NewReader(data), int64(len(data)), o); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted upload = %v, want context.Canceled", err)
	}
	b.onPart = nil
	b.mu.Lock()
	clear(b.counts)
	b.mu.Unlock()
	if _, err := c.Upload(context.Background(), "k", bytes.NewReader(data), int64(len(data)), o); err != nil {
		t.Fatal(err)
	}
	if b.counts["initiate"] != 0 || b.counts["part"] > 2 || !bytes.Equal(b.objects["k"], data) {
		t.Errorf("second upload: %v", b.counts)
	}
}

func TestUploadThreads(t *testing.T) {
	b, c := newBucket(t)
	var arrived sync.WaitGroup
	arrived.Add(3)
	b.onPart = func(n int) {
		if n <= 3 {
			arrived.Done()
			arrived.Wait() // three parts must be under way at once to get past
		}
	}
	data := randomBytes(6 * mib)
	if _, err := c.Upload(context.Background(), "k", bytes.NewReader(data), int64(len(data)), small(UploadOptions{Threads: 3})); err != nil {
		t.Fatal(err)
	}
	if b.most != 3 {
		t.Errorf("%d parts at a time, want 3", b.most)
	}
}

func TestUploadFailureAborts(t *testing.T) {
	b, c := newBucket(t)
	_, err := c.Upload(context.Background(), "k", brokenBody{io.ErrClosedPipe}, 2*mib, small(UploadOptions{NoResume: true}))
	if !errors.Is(err, io.ErrClosedPipe) || b.counts["abort"] != 1 || b.counts["complete"] != 0 {
		t.Errorf("error = %v, requests %v, want an abort", err, b.counts)
	}
	b, c = newBucket(t)
	if _, err = c.Upload(context.Background(), "k", brokenBody{io.ErrClosedPipe}, 2*mib, small(UploadOptions{})); err == nil || b.counts["abort"] != 0 {
		t.Errorf("error = %v, requests %v, want the upload kept", err, b.counts)
	}
}

func TestUploadWithoutChecksumInAnswer(t *testing.T) {
	b, c := newBucket(t)
	b.hideCRC = true
	data := randomBytes(2 * mib)
	res, err := c.Upload(context.Background(), "k", bytes.NewReader(data), 2*mib, small(UploadOptions{}))
	if err != nil || !res.HasCRC64 || res.CRC64 != CRC64(data) || b.counts["head"] != 1 {
		t.Errorf("result = %+v, %v, requests %v", res, err, b.counts)
	}
}

func TestUploadFile(t *testing.T) {
	b, c := newBucket(t)
	path := filepath.Join(t.TempDir(), "f")
	data := randomBytes(3 * mib)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadFile(context.Background(), "k", path, small(UploadOptions{PutOptions: PutOptions{EnableMD5: true}})); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.objects["k"], data) {
		t.Error("object differs")
	}
	b.onPart = func(n int) {
		if n == 2 {
			if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
		}
	}
	delete(b.objects, "k")
	_, err := c.UploadFile(context.Background(), "k", path, small(UploadOptions{}))
	if !errors.Is(err, ErrSourceChanged) || b.objects["k"] != nil || b.counts["abort"] != 1 {
		t.Errorf("file changed: %v, requests %v", err, b.counts)
	}
	if _, err := c.UploadFile(context.Background(), "k", t.TempDir(), nil); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("directory: %v, want ErrInvalidArgument", err)
	}
	if _, err := c.UploadFile(context.Background(), "k", path+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v, want os.ErrNotExist", err)
	}
}

func TestPartBytes(t *testing.T) {
	for _, tt := range []struct{ size, want, bytes int64 }{
		{21 * mib, 0, 16 * mib},
		{16 * mib * MaxParts, 0, 16 * mib},
		{16*mib*MaxParts + 1, 0, 32 * mib},
		{MaxObjectBytes, 0, MaxPutBytes},
		{30 * mib, 8 * mib, 8 * mib},
		{30 * mib, 1, mib},
		{mib*MaxParts + 1, mib, 2 * mib},
		{MaxObjectBytes, mib, 5120 * mib},
	} {
		got := partBytesFor(tt.size, tt.want)
		if got != tt.bytes || (tt.size+got-1)/got > MaxParts {
			t.Errorf("partBytesFor(%d, %d) = %d, want %d", tt.size, tt.want, got, tt.bytes)
		}
	}
}
