package cos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// serve starts the embedded server and a client of it, with temporary credentials.
func serve(t *testing.T, sw cosserver.Switches) (*cosserver.Server, *cos.Client, string) {
	t.Helper()
	s, err := cosserver.Open(cosserver.Options{
		Dir: t.TempDir(), NoSync: true, Switches: sw,
		Credentials: map[string]cosserver.Credential{"AKIDtest": {SecretKey: "secret", Token: "token+/="}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := cos.New(cos.Options{
		Endpoint: l.URL, Region: s.Region(), Bucket: s.Bucket(), Attempts: 12, BaseDelay: time.Microsecond, MaxDelay: time.Millisecond,
		Credentials: cos.Static{Value: cos.Credentials{SecretID: "AKIDtest", SecretKey: "secret", Token: "token+/="}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), l.Close(context.Background()), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, c, l.Addr.String()
}

func content(t *testing.T, c *cos.Client, key string) []byte {
	t.Helper()
	var err error
	for range 20 { // a body that broke off is the caller's to ask for again
		var g *cos.GetResult
		if g, err = c.Get(context.Background(), key, nil); err != nil {
			break
		}
		var b []byte
		b, err = io.ReadAll(g.Body)
		if err = errors.Join(err, g.Body.Close()); err == nil {
			return b
		}
	}
	t.Fatal(err)
	return nil
}

func TestAgainstServer(t *testing.T) {
	_, c, addr := serve(t, cosserver.Switches{PadComplete: true})
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if info, err := c.HeadBucket(ctx); err != nil || info.Versioning != "" || info.Region != c.Region() {
		t.Errorf("bucket = %+v, %v", info, err)
	}
	for _, key := range []string{"plain", "d/a b+c%~*'()!", "腾讯/云", "x//y", "x/./y", "x/../y", "/lead", "dir/", "ctl\x01", "100%2F"} {
		body := []byte("body of " + key)
		put, err := c.Put(ctx, key, bytes.NewReader(body), int64(len(body)), &cos.PutOptions{
			EnableMD5: true, Headers: cos.Headers{ContentType: "text/x", Meta: map[string]string{"mode": "33188"}},
		})
		check(err)
		info, err := c.Head(ctx, key, nil)
		check(err)
		if info.ETag != put.ETag || info.Size != int64(len(body)) || info.Headers.Meta["mode"] != "33188" || info.Headers.ContentType != "text/x" || info.CRC64 != put.CRC64 {
			t.Errorf("%q: %+v", key, info)
		}
		if got := content(t, c, key); !bytes.Equal(got, body) {
			t.Errorf("%q holds %q", key, got)
		}
		_, err = c.Put(ctx, key, bytes.NewReader(body), 1, &cos.PutOptions{ForbidOverwrite: true})
		if !errors.Is(err, cos.ErrExists) {
			t.Errorf("forbidden overwrite of %q: %v", key, err)
		}
		text, err := c.Presign(ctx, "GET", key, url.Values{"response-content-type": {"a/b"}}, time.Minute)
		check(err)
		if err := fetch(addr, text, body); err != nil {
			t.Errorf("presigned %q: %v", key, err)
		}
	}
	page, err := c.List(ctx, &cos.ListOptions{Prefix: "x/", Delimiter: "/"})
	check(err)
	if got := fmt.Sprint(page.CommonPrefixes); got != "[x/../ x/./ x//]" || page.Truncated {
		t.Errorf("prefixes = %s", got)
	}
	_, err = c.Copy(ctx, "copy", &cos.CopyOptions{Source: cos.Source{Key: "d/a b+c%~*'()!"}, Replace: true, Headers: cos.Headers{Meta: map[string]string{"a": "b"}}})
	check(err)
	if info, err := c.Head(ctx, "copy", nil); err != nil || info.Headers.Meta["a"] != "b" {
		t.Errorf("copy = %+v, %v", info, err)
	}
	check(c.PutObjectACL(ctx, "copy", "public-read", cos.Headers{}))
	if acl, err := c.ObjectACL(ctx, "copy"); err != nil || acl.Canned != "public-read" || acl.Owner == "" {
		t.Errorf("ACL = %+v, %v", acl, err)
	}
	refused, err := c.DeleteMany(ctx, []string{"plain", "ctl\x01", "missing", "/lead"})
	if err != nil || len(refused) != 0 {
		t.Errorf("delete = %v, %v", refused, err)
	}
	for _, key := range []string{"plain", "ctl\x01", "/lead"} {
		if _, err := c.Head(ctx, key, nil); !errors.Is(err, cos.ErrNotFound) {
			t.Errorf("%q after its delete: %v", key, err)
		}
	}
}

// fetch gets a presigned URL as a stranger would, from the server in place of its host.
func fetch(addr, text string, want []byte) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
	u.Host = addr
	rt := &http.Transport{DisableKeepAlives: true}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "a/b" || !bytes.Equal(b, want) {
		return fmt.Errorf("%s %s %q, %w", resp.Status, resp.Header.Get("Content-Type"), b, err)
	}
	return nil
}

func TestMultipartAgainstServer(t *testing.T) {
	s, c, _ := serve(t, cosserver.Switches{MinCopiedPart: -1})
	ctx := context.Background()
	data := noise(5<<20 + 7)
	o := &cos.UploadOptions{Threshold: 1 << 20, PartBytes: 1 << 20, Threads: 1}
	remove := s.AddRule(cosserver.Rule{Op: "UploadPart", Part: 4, Action: cosserver.Fail, Status: 403, Code: "AccessDenied"})
	if _, err := c.Upload(ctx, "big", bytes.NewReader(data), int64(len(data)), o); !errors.Is(err, cos.ErrAccessDenied) {
		t.Fatalf("refused part: %v", err)
	}
	remove()
	s.ResetStats()
	res, err := c.Upload(ctx, "big", bytes.NewReader(data), int64(len(data)), o)
	if err != nil || res.CRC64 != cos.CRC64(data) {
		t.Fatalf("resumed upload = %+v, %v", res, err)
	}
	if n := s.Stats()["UploadPart"].Requests; n != 3 {
		t.Errorf("%d parts sent by the second upload, want the 3 that were missing", n)
	}
	// Patching: the head is sent, the tail copied.
	id, err := c.InitiateMultipart(ctx, "patched", nil)
	if err != nil {
		t.Fatal(err)
	}
	fresh := noise(1 << 20)
	p1, err := c.UploadPart(ctx, "patched", id, 1, bytes.NewReader(fresh), 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	p2, err := c.UploadPartCopy(ctx, "patched", id, 2, &cos.CopyPartOptions{
		Source: cos.Source{Key: "big", Conditions: cos.Conditions{IfMatch: res.ETag}}, Off: 1 << 20, Size: int64(len(data)) - 1<<20,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Clone(fresh), data[1<<20:]...)
	if _, err := c.CompleteMultipart(ctx, "patched", id, []cos.Part{p1, {Number: 2, ETag: p2.ETag}}, &cos.CompleteOptions{
		Size: int64(len(want)), CRC64: cos.CRC64(want), HasCRC64: true,
	}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, c, "patched"), want) {
		t.Error("patched object differs")
	}
}

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(p) // it cannot fail
	return p
}

// TestFaultsChangeNothing: whatever a tenth of the requests meets, the objects are as if it had not.
func TestFaultsChangeNothing(t *testing.T) {
	s, c, _ := serve(t, cosserver.Switches{})
	ctx := context.Background()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var rules []cosserver.Rule
	for i, r := range []cosserver.Rule{
		{When: cosserver.Before, Action: cosserver.Reset},
		{When: cosserver.After, Action: cosserver.Reset},
		{When: cosserver.Middle, Action: cosserver.Reset},
		{When: cosserver.Before, Action: cosserver.Fail, Status: 500},
		{When: cosserver.After, Action: cosserver.Fail, Status: 500},
		{When: cosserver.Before, Action: cosserver.Fail, Status: 503},
		{Action: cosserver.Truncate}, {Action: cosserver.Empty}, {Action: cosserver.Pad},
	} {
		r.Probability, r.Seed = 0.05, seed+uint64(i)
		rules = append(rules, r)
	}
	s.SetRules(rules)
	var log strings.Builder
	for i := range 150 {
		line := fmt.Sprintf("line %d\n", i)
		res, err := c.Append(ctx, "log", int64(log.Len()), strings.NewReader(line), int64(len(line)), nil)
		if err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
		if log.WriteString(line); res.Next != int64(log.Len()) {
			t.Fatalf("append %d: next is %d, want %d", i, res.Next, log.Len())
		}
	}
	if got := content(t, c, "log"); string(got) != log.String() {
		t.Errorf("log differs: %d bytes, want %d", len(got), log.Len())
	}
	for i := range 60 {
		key := fmt.Sprintf("f/%02d", i)
		body := noise(i * 1000)
		if _, err := c.Put(ctx, key, bytes.NewReader(body), int64(len(body)), &cos.PutOptions{ForbidOverwrite: i%2 == 0}); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
		if !bytes.Equal(content(t, c, key), body) {
			t.Errorf("%s differs", key)
		}
	}
	if _, err := c.Copy(ctx, "f/copy", &cos.CopyOptions{Source: cos.Source{Key: "f/59"}, ForbidOverwrite: true}); err != nil {
		t.Error(err)
	}
	for i := range 6 {
		data := noise(3<<20 + i)
		if _, err := c.Upload(ctx, "big", bytes.NewReader(data), int64(len(data)), &cos.UploadOptions{Threshold: 1, PartBytes: 1 << 20}); err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
		if !bytes.Equal(content(t, c, "big"), data) {
			t.Errorf("upload %d differs", i)
		}
	}
	var listed []string
	for o := (cos.ListOptions{Prefix: "f/", MaxKeys: 7}); ; {
		page, err := c.List(ctx, &o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			listed = append(listed, e.Key)
		}
		if o.Marker = page.NextMarker; !page.Truncated {
			break
		}
	}
	if len(listed) != 61 {
		t.Errorf("%d keys listed, want 61", len(listed))
	}
	if refused, err := c.DeleteMany(ctx, listed); err != nil || len(refused) != 0 {
		t.Errorf("delete = %v, %v", refused, err)
	}
}

// TestLateAttempts: the first attempt loses its connection and is applied once the second is done.
func TestLateAttempts(t *testing.T) {
	s, c, _ := serve(t, cosserver.Switches{})
	ctx := context.Background()
	late := func(op string, call func() error) {
		t.Helper()
		before := len(s.Log())
		remove := s.AddRule(cosserver.Rule{Op: op, Attempt: 1, When: cosserver.Late, Delay: time.Hour})
		err := call()
		remove() // now it is applied
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
		for range 1000 { // until the server has ended it
			n := 0
			for _, r := range s.Log()[before:] {
				if r.Op == op {
					n++
				}
			}
			if n >= 2 {
				return
			}
			<-time.After(time.Millisecond)
		}
		t.Errorf("%s: the late attempt never ended", op)
	}
	text := func(s string) *strings.Reader { return strings.NewReader(s) }
	late("AppendObject", func() error { _, err := c.Append(ctx, "log", 0, text("one\n"), 4, nil); return err })
	late("AppendObject", func() error { _, err := c.Append(ctx, "log", 4, text("two\n"), 4, nil); return err })
	if got := content(t, c, "log"); string(got) != "one\ntwo\n" {
		t.Errorf("log = %q", got)
	}
	late("PutObject", func() error {
		res, err := c.Put(ctx, "new", text("x"), 1, &cos.PutOptions{ForbidOverwrite: true})
		if err == nil && !res.Unclear {
			t.Error("a put that may apply late is not reported")
		}
		return err
	})
	id, err := c.InitiateMultipart(ctx, "big", nil)
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.UploadPart(ctx, "big", id, 1, text("part"), 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	late("CompleteMultipart", func() error { _, err := c.CompleteMultipart(ctx, "big", id, []cos.Part{part}, nil); return err })
	if got := content(t, c, "big"); string(got) != "part" {
		t.Errorf("big = %q", got)
	}
}
