package cosserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cosfuse/cos/internal/sign"
)

const (
	testID     = "AKIDEXAMPLE0000000000000000000000000"
	testSecret = "EXAMPLEKEY0000000000000000000000"
)

// signed sends a request signed over the given query and header.
type signing struct {
	id, secret, token string
	host              string        // what is signed as host; "" = what is sent
	begin, length     time.Duration // from the server's now
}

func (c *client) signed(s signing, now time.Time, method, path string, q url.Values, body string, header http.Header) *reply {
	c.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	if s.token != "" {
		header["X-Cos-Security-Token"] = []string{s.token}
	}
	covered := header.Clone()
	covered["host"] = []string{c.host}
	if s.host != "" {
		covered["host"] = []string{s.host}
	}
	window := sign.KeyTime(now.Add(s.begin), now.Add(s.begin+s.length))
	f := sign.New(s.id, s.secret, window, method, path, q, covered)
	header["Authorization"] = []string{f.Authorization()}
	return c.do(method, (&url.URL{Path: path, RawQuery: q.Encode()}).String(), body, header)
}

func TestSignatures(t *testing.T) {
	clock := newClock()
	c := start(t, Options{Clock: clock.Now, Credentials: map[string]Credential{
		testID:  {SecretKey: testSecret},
		"TEMP":  {SecretKey: "s", Token: "tok+/=en"},
		"STALE": {SecretKey: "s", Token: "t", Expires: clock.Now()},
	}})
	good := signing{id: testID, secret: testSecret, length: time.Hour}
	with := func(change func(*signing)) signing { s := good; change(&s); return s }
	tests := []struct {
		name   string
		s      signing
		status int
		code   string
	}{
		{"good", good, 200, ""},
		{"wrong secret", with(func(s *signing) { s.secret = "x" }), 403, "SignatureDoesNotMatch"},
		{"unknown ID", with(func(s *signing) { s.id = "x" }), 403, "InvalidAccessKeyId"},
		{"other host", with(func(s *signing) { s.host = "x" }), 403, "SignatureDoesNotMatch"},
		{"expired", with(func(s *signing) { s.begin = -2 * time.Hour }), 403, "AccessDenied"},
		{"clock ahead", with(func(s *signing) { s.begin = 16 * time.Minute }), 403, "RequestTimeTooSkewed"},
		{"clock a little ahead", with(func(s *signing) { s.begin = 14 * time.Minute }), 200, ""},
		{"token", signing{id: "TEMP", secret: "s", token: "tok+/=en", length: time.Hour}, 200, ""},
		{"wrong token", signing{id: "TEMP", secret: "s", token: "x", length: time.Hour}, 403, "AccessDenied"},
		{"no token", signing{id: "TEMP", secret: "s", length: time.Hour}, 403, "AccessDenied"},
		{"expired token", signing{id: "STALE", secret: "s", token: "t", length: time.Hour}, 400, "ExpiredToken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := url.Values{"x-extra": {"a b+c/d"}}
			r := c.signed(tt.s, clock.Now(), "PUT", "/dir/a b+c%d~e*'()!/腾讯云.txt", q, "x", h("Content-Length", "1", "Content-Type", "text/plain; charset=utf-8"))
			if r.status != tt.status || r.code() != tt.code {
				t.Errorf("got %d %q, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			if got, want := r.header.Get("Date"), clock.Now().UTC().Format(http.TimeFormat); got != want {
				t.Errorf("Date %q, want the server's %q", got, want)
			}
		})
	}
	r := c.do("PUT", "/k", "x", nil)
	if r.status != 403 || r.code() != "AccessDenied" {
		t.Errorf("unsigned: %d %s", r.status, r.code())
	}
	if r := c.do("GET", "/k", "", h("Authorization", "AWS4-HMAC-SHA256 Credential=x")); r.status != 403 {
		t.Errorf("another kind of signature: %d", r.status)
	}
	if r := c.do("GET", "/k", "", h("Authorization", "q-sign-algorithm=sha1&q-ak=x")); r.status != 403 {
		t.Errorf("a torn signature: %d", r.status)
	}
}

// TestSignedVector replays a request that another implementation signed.
func TestSignedVector(t *testing.T) {
	clock := newClock()
	c := start(t, Options{
		Clock:       clock.Now,
		Buckets:     []Bucket{{Name: "examplebucket-1250000000"}},
		Credentials: map[string]Credential{testID: {SecretKey: testSecret}},
	})
	c.host = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
	const prefix = "q-sign-algorithm=sha1&q-ak=" + testID + "&q-sign-time=1700000000;1700003600&q-key-time=1700000000;1700003600"
	get := func(target, auth string) *reply { return c.do("GET", target, "", h("Authorization", auth)) }
	auth := prefix + "&q-header-list=host&q-url-param-list=&q-signature=2f718abe4f4a0321bd6ed4be08b554c2640e4a54"
	if r := get("/exampleobject", auth); r.code() != "NoSuchKey" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	// The same with its fields in another order.
	fields := strings.Split(auth, "&")
	fields[0], fields[4], fields[5] = fields[5], fields[0], fields[4]
	if r := get("/exampleobject", strings.Join(fields, "&")); r.code() != "NoSuchKey" {
		t.Errorf("other order: got %d %s", r.status, r.body)
	}
	list := "/?prefix=dir%2Fa+b%2B%E8%85%BE%2F&delimiter=%2F&encoding-type=url&max-keys=1000&marker=dir%2F~x*%281%29%27%21"
	if r := get(list, prefix+"&q-header-list=host&q-url-param-list=delimiter;encoding-type;marker;max-keys;prefix&q-signature=dc4db8d174512f38780eab5f39a603bec2da1dd2"); r.status != 200 {
		t.Errorf("list: got %d %s", r.status, r.body)
	}
	presigned := "/dir/a%20b%2Bc%25d~e*'()!/%E8%85%BE%E8%AE%AF%E4%BA%91.txt?response-content-type=text%2Fplain&q-sign-algorithm=sha1&q-ak=" + testID +
		"&q-sign-time=1700000000%3B1700003600&q-key-time=1700000000%3B1700003600&q-header-list=host&q-url-param-list=response-content-type&q-signature=78a2218aa4777a11e701398cb7c87d7930b378b5"
	if r := c.do("GET", presigned, "", nil); r.code() != "NoSuchKey" {
		t.Errorf("presigned: got %d %s", r.status, r.body)
	}
	if r := c.do("GET", strings.Replace(presigned, "text", "html", 1), "", nil); r.code() != "SignatureDoesNotMatch" {
		t.Errorf("changed presigned: got %d %s", r.status, r.body)
	}
	merged := "/exampleobject?sign=" + url.QueryEscape(auth)
	if r := c.do("GET", merged, "", nil); r.code() != "NoSuchKey" {
		t.Errorf("sign=: got %d %s", r.status, r.body)
	}
}

func TestHostWithoutPort(t *testing.T) {
	clock := newClock()
	c := start(t, Options{Clock: clock.Now, Credentials: map[string]Credential{testID: {SecretKey: testSecret}}})
	s := signing{id: testID, secret: testSecret, length: time.Hour, host: c.host}
	c.host += ":8080"
	if r := c.signed(s, clock.Now(), "PUT", "/k", nil, "x", nil); r.status != 200 {
		t.Errorf("signed without the port: %d %s", r.status, r.body)
	}
	s.host = c.host
	if r := c.signed(s, clock.Now(), "PUT", "/k", nil, "x", nil); r.status != 200 {
		t.Errorf("signed with the port: %d %s", r.status, r.body)
	}
}

func TestStrangers(t *testing.T) {
	clock := newClock()
	o := Options{Clock: clock.Now, Credentials: map[string]Credential{testID: {SecretKey: testSecret}}, Buckets: []Bucket{
		{Name: "closed-1"}, {Name: "read-1", ACL: "public-read"}, {Name: "open-1", ACL: "public-read-write"},
	}}
	c := start(t, o)
	owner := signing{id: testID, secret: testSecret, length: time.Hour}
	for _, b := range []string{"closed-1", "read-1", "open-1"} {
		c.host = c.srv.Host(b)
		for key, acl := range map[string]string{"/plain": "default", "/shown": "public-read", "/hidden": "private"} {
			if r := c.signed(owner, clock.Now(), "PUT", key, nil, "x", h("x-cos-acl", acl)); r.status != 200 {
				t.Fatalf("put: %d %s", r.status, r.body)
			}
		}
	}
	for _, tt := range []struct {
		bucket, method, target string
		status                 int
	}{
		{"closed-1", "GET", "/plain", 403}, {"closed-1", "GET", "/shown", 200}, {"closed-1", "GET", "/none", 403},
		{"closed-1", "GET", "/", 403}, {"closed-1", "PUT", "/new", 403}, {"closed-1", "HEAD", "/", 403},
		{"read-1", "GET", "/plain", 200}, {"read-1", "GET", "/hidden", 403}, {"read-1", "GET", "/", 200},
		{"read-1", "PUT", "/new", 403}, {"read-1", "GET", "/plain?acl", 403}, {"read-1", "GET", "/plain?response-expires=1", 400},
		{"open-1", "PUT", "/new", 200}, {"open-1", "DELETE", "/new", 204}, {"open-1", "DELETE", "/", 403},
	} {
		c.host = c.srv.Host(tt.bucket)
		if r := c.do(tt.method, tt.target, "", nil); r.status != tt.status {
			t.Errorf("%s %s %s: got %d, want %d", tt.bucket, tt.method, tt.target, r.status, tt.status)
		}
	}
	c.host = c.srv.Host("open-1")
	c.want(403, "AccessDenied", "PUT", "/stolen", "", h("x-cos-copy-source", "/closed-1/plain"))
	c.want(200, "", "PUT", "/given", "", h("x-cos-copy-source", "/closed-1/shown"))
	o.Dir, o.NoSync, o.Anonymous = t.TempDir(), true, true
	anonymous := start(t, o)
	anonymous.put("k", "x")
	if r := anonymous.do("GET", "/k", "", h("Authorization", "AWS4-HMAC-SHA256 Credential=x")); r.body != "x" {
		t.Errorf("signed another way: %d", r.status)
	}
	bad := owner
	bad.secret = "x"
	if r := anonymous.signed(bad, clock.Now(), "GET", "/k", nil, "", nil); r.status != 403 {
		t.Errorf("a wrong signature passes where none is needed: %d", r.status)
	}
}
