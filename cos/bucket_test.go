package cos

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"cosfuse/cos/internal/sign"
)

func TestHeadBucket(t *testing.T) {
	const versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
	s, c := newScript(t, nil, reply(200, "", "x-cos-bucket-region", "ap-beijing", "x-cos-bucket-az-type", "MAZ", "x-cos-bucket-arch", "OFS"), reply(200, versioning))
	info, err := c.HeadBucket(context.Background())
	if err != nil || info.Region != "ap-beijing" || !info.MAZ || !info.OFS || info.Versioning != "Enabled" || info.ServerTime.IsZero() {
		t.Errorf("info = %+v, %v", info, err)
	}
	if got := lines(s.seen()); !slices.Equal(got, []string{"HEAD /", "GET /?versioning"}) {
		t.Errorf("requests = %v", got)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"never":      {reply(200, "<VersioningConfiguration/>"), ""},
		"suspended":  {reply(200, "<VersioningConfiguration xmlns='x'><Status>Suspended</Status></VersioningConfiguration>"), "Suspended"},
		"may not":    {refusal(403, "AccessDenied"), VersioningUnknown},
		"cannot say": {refusal(501, "NotImplemented"), VersioningUnknown},
	} {
		_, c := newScript(t, nil, reply(200, ""), tt.answer)
		if info, err := c.HeadBucket(context.Background()); err != nil || info.Versioning != tt.want || info.Region != testRegion {
			t.Errorf("%s: info = %+v, %v", name, info, err)
		}
	}
	_, c = newScript(t, nil, reply(200, ""), reply(200, ""))
	if _, err := c.HeadBucket(context.Background()); !errors.Is(err, ErrBadResponse) {
		t.Errorf("empty versioning answer: %v, want ErrBadResponse", err)
	}
}

func TestDelete(t *testing.T) {
	s, c := newScript(t, nil, hangUp, reply(204, ""))
	if err := c.Delete(context.Background(), "k", &DeleteOptions{VersionID: "v"}); err != nil {
		t.Fatal(err)
	}
	if got := lines(s.seen()); !slices.Equal(got, []string{"DELETE /k?versionId=v", "DELETE /k?versionId=v"}) {
		t.Errorf("requests = %v", got)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchKey"))
	if err := c.Delete(context.Background(), "k", nil); err != nil {
		t.Errorf("missing object: %v, want success", err)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchBucket"))
	if err := c.Delete(context.Background(), "k", nil); !errors.Is(err, ErrNoSuchBucket) {
		t.Errorf("missing bucket: %v, want ErrNoSuchBucket", err)
	}
}

// deleter is the server's side of DeleteMany.
type deleter struct {
	batches [][]string
	single  []string
	refuse  string // a key
}

func (d *deleter) answer(w http.ResponseWriter, r *http.Request, body string) {
	if r.Method == http.MethodDelete {
		d.single = append(d.single, r.URL.Path[1:])
		w.WriteHeader(204)
		return
	}
	var doc struct {
		Quiet   bool
		Objects []struct{ Key string } `xml:"Object"`
	}
	sum := md5.Sum([]byte(body))
	if xml.Unmarshal([]byte(body), &doc) != nil || !doc.Quiet || r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) || r.URL.RawQuery != "delete" {
		w.WriteHeader(400)
		return
	}
	var keys []string
	out := "<DeleteResult>"
	for _, o := range doc.Objects {
		keys = append(keys, o.Key)
		if o.Key == d.refuse {
			out += "<Error><Key>" + escapeXML(o.Key) + "</Key><Code>AccessDenied</Code><Message>no</Message></Error><Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
		}
	}
	d.batches = append(d.batches, keys)
	_, _ = io.WriteString(w, out+"</DeleteResult>")
}

func TestDeleteMany(t *testing.T) {
	d := &deleter{refuse: "a&b<c>"}
	var s *script
	s, c := newScript(t, nil, func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, s.seen()[len(s.seen())-1].Body) })
	var keys []string
	for i := range 2500 {
		keys = append(keys, fmt.Sprintf("dir/%04d", i))
	}
	odd := []string{"a\x01", "b\r", " lead", "trail ", "/slash", "x\ufffe"}
	keys = append(keys, d.refuse, "..")
	keys = append(keys, odd...)
	refused, err := c.DeleteMany(context.Background(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.batches) != 3 || len(d.batches[0]) != 1000 || len(d.batches[2]) != 501 || d.batches[2][500] != d.refuse {
		t.Errorf("%d batches", len(d.batches))
	}
	if !slices.Equal(d.single, odd) {
		t.Errorf("one by one: %q, want %q", d.single, odd)
	}
	if len(refused) != 2 || refused[0].Key != ".." || !errors.Is(refused[0].Err, ErrKeyInvalid) || refused[1].Key != d.refuse || !errors.Is(refused[1].Err, ErrAccessDenied) {
		t.Errorf("refused = %+v", refused)
	}
}

func TestDeleteManyFails(t *testing.T) {
	s, c := newScript(t, nil, reply(200, "<DeleteResult>"), hangUp, reply(200, "<DeleteResult/>"))
	if refused, err := c.DeleteMany(context.Background(), []string{"a"}); err != nil || len(refused) != 0 || len(s.seen()) != 3 {
		t.Errorf("after two lost answers: %v, %v, %d attempts", refused, err, len(s.seen()))
	}
	s, c = newScript(t, nil, refusal(403, "AccessDenied"))
	if _, err := c.DeleteMany(context.Background(), []string{"a", "b\x01"}); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("error = %v, want ErrAccessDenied", err)
	}
	s.only()
	s, c = newScript(t, nil, reply(200, ""))
	if refused, err := c.DeleteMany(context.Background(), nil); err != nil || refused != nil || len(s.seen()) != 0 {
		t.Errorf("no keys: %v, %v, %d requests", refused, err, len(s.seen()))
	}
}

func TestACL(t *testing.T) {
	const doc = `<AccessControlPolicy><Owner><ID>qcs::cam::uin/1:uin/1</ID></Owner><AccessControlList>
<Grant><Grantee><ID>qcs::cam::uin/1:uin/2</ID></Grantee><Permission>READ</Permission></Grant>
<Grant><Grantee><URI>http://cam.qcloud.com/groups/global/AllUsers</URI></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`
	s, c := newScript(t, nil, reply(200, doc, "x-cos-acl", "default"))
	acl, err := c.ObjectACL(context.Background(), "k")
	if err != nil || acl.Canned != "default" || acl.Owner != "qcs::cam::uin/1:uin/1" ||
		!slices.Equal(acl.Grants, []Grant{{"qcs::cam::uin/1:uin/2", "READ"}, {"http://cam.qcloud.com/groups/global/AllUsers", "FULL_CONTROL"}}) {
		t.Errorf("ACL = %+v, %v", acl, err)
	}
	if got := lines(s.seen()); !slices.Equal(got, []string{"GET /k?acl"}) {
		t.Errorf("requests = %v", got)
	}
	s, c = newScript(t, nil, reply(200, ""))
	if err := c.PutObjectACL(context.Background(), "k", "private", Headers{GrantRead: `id="2"`, ContentType: "ignored"}); err != nil {
		t.Fatal(err)
	}
	got := s.only()
	if got.Method != "PUT" || got.URI != "/k?acl" || got.Header.Get("X-Cos-Acl") != "private" || got.Header.Get("X-Cos-Grant-Read") != `id="2"` || got.Header.Get("Content-Type") != "" {
		t.Errorf("request = %+v", got)
	}
}

func TestTagging(t *testing.T) {
	s, c := newScript(t, nil, reply(200, "<Tagging><TagSet><Tag><Key>a b</Key>"), reply(200, "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag><Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>"))
	got, err := c.ObjectTagging(context.Background(), "k")
	if err != nil || got != "a%20b=1%262&c=" {
		t.Errorf("tags = %q, %v", got, err)
	}
	if u := s.seen()[1].URI; u != "/k?tagging" {
		t.Errorf("request = %s", u)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchTagSet"))
	if got, err := c.ObjectTagging(context.Background(), "k"); got != "" || err != nil {
		t.Errorf("no tags: %q, %v", got, err)
	}
	_, c = newScript(t, nil, refusal(404, "NoSuchKey"))
	if _, err := c.ObjectTagging(context.Background(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no object: %v, want ErrNotFound", err)
	}
}

func TestPresign(t *testing.T) {
	now := time.Unix(1700000000, 0)
	creds := testCreds
	creds.Token = "tok+/=en"
	c, err := New(Options{Region: testRegion, Bucket: testBucket, Credentials: Static{creds}, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Presign(context.Background(), "GET", "dir/a b.txt", url.Values{"response-content-type": {"text/plain"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := sign.ParseQuery(u.Query())
	if err != nil {
		t.Fatal(err)
	}
	want := sign.Signature(creds.SecretKey, f.KeyTime, f.SignTime, "GET", "/dir/a b.txt", sign.Select(u.Query(), f.Params), map[string][]string{"host": {testHost}})
	if f.Signature != want || !slices.Equal(f.Params, []string{"response-content-type", "x-cos-security-token"}) {
		t.Errorf("signature = %s, want %s over %v", f.Signature, want, f.Params)
	}
	if u.Scheme != "https" || u.Host != testHost || u.EscapedPath() != "/dir/a%20b.txt" || !strings.HasSuffix(f.SignTime, ";1700003600") || u.Query().Get("x-cos-security-token") != creds.Token {
		t.Errorf("URL = %s", text)
	}
	anonymous, err := New(Options{Endpoint: "http://127.0.0.1:9", Region: testRegion, Bucket: testBucket})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := anonymous.Presign(context.Background(), "GET", "k", nil, time.Hour); err != nil || text != "http://"+testHost+"/k" {
		t.Errorf("anonymous URL = %s, %v", text, err)
	}
	if _, err := c.Presign(context.Background(), "GET", "k", nil, 0); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("no time at all: %v, want ErrInvalidArgument", err)
	}
}
