package cos

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cosfuse/cos/internal/sign"
)

// request is one operation, as often as it has to be sent.
type request struct {
	op     string
	method string
	key    string     // "" = the bucket itself
	query  url.Values // a name with no value travels bare: ?uploads
	header http.Header
	body   io.ReaderAt // nil = none
	size   int64

	mutates bool // whether an attempt without a reply leaves a doubt
	slow    bool // the service may think for minutes before it answers
	stream  bool // read keeps the answer's body beyond the attempt
	ownMD5  bool // Content-MD5 was computed here, so a BadDigest is the network's fault

	// read takes the result out of an answer of 2xx. It may run once per attempt.
	read func(a *answer) error
	// settle, if set, is asked before the operation is sent again after an attempt whose outcome is
	// unclear, and when a later attempt was refused in a way that an earlier one may explain.
	settle func(ctx context.Context, f *failure) (verdict, error)
}

// verdict is what settle found out.
type verdict int

const (
	applied   verdict = iota // the operation has been applied: done
	resend                   // it has not: send it again
	refused                  // the error stands
	cannotSay                // the object does not tell
)

// answer is the reply to one attempt.
type answer struct {
	*http.Response
	ctx   context.Context // of the attempt; its cause tells a stall from a broken connection
	sent  *sentBody       // what has been sent; nil without a body
	guard *watchdog
	done  func() // ends the attempt; a stream calls it at close
}

// setHeader sets a header unless the value is empty.
func (r *request) setHeader(name, value string) {
	if value == "" {
		return
	}
	if r.header == nil {
		r.header = make(http.Header)
	}
	r.header.Set(name, value)
}

// statesLength tells whether the request carries a Content-Length.
func (r *request) statesLength() bool {
	return r.body != nil || r.method == http.MethodPut || r.method == http.MethodPost
}

// rawQuery writes parameters sorted, with %20 for a space: "+" would depend on the reader.
func rawQuery(q url.Values) string {
	names := make([]string, 0, len(q))
	for n := range q {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		if len(q[n]) == 0 {
			writeParam(&b, sign.Escape(n))
		}
		for _, v := range q[n] {
			writeParam(&b, sign.Escape(n)+"="+sign.Escape(v))
		}
	}
	return b.String()
}

func writeParam(b *strings.Builder, p string) {
	if b.Len() > 0 {
		b.WriteByte('&')
	}
	b.WriteString(p)
}

// url is where the request goes. Its path is written by escapedPath and stays untouched.
func (c *Client) url(key string, query url.Values) *url.URL {
	u := &url.URL{Scheme: c.ep.scheme, Host: c.ep.dial, Path: "/", RawQuery: rawQuery(query)}
	if key != "" {
		u.Path, u.RawPath = "/"+key, escapedPath(key)
	}
	return u
}

// build makes the HTTP request of one attempt, signed unless the client is anonymous.
func (c *Client) build(ctx context.Context, r *request, n int, sent *sentBody, s signer) *http.Request {
	h := r.header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	if n > 1 {
		h.Set("X-Cos-Sdk-Retry", "true")
	}
	req := (&http.Request{
		Method:     r.method,
		URL:        c.url(r.key, r.query),
		Host:       c.ep.host,
		Header:     h,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}).WithContext(ctx)
	if sent != nil {
		req.Body = sent.open()
		req.ContentLength = r.size
		req.GetBody = func() (io.ReadCloser, error) { return sent.open(), nil }
	}
	s.sign(r, req)
	h.Set("User-Agent", c.o.UserAgent) // after signing: proxies may rewrite it
	return req
}

// Validity of a signature. It is checked when the request arrives, so a long transfer needs no more.
const (
	signBackdate = time.Minute
	signLifetime = time.Hour
)

// signer is what one attempt is signed with.
type signer struct {
	anonymous bool
	creds     Credentials
	now       time.Time
	offset    time.Duration // the correction of the clock in now
}

// newSigner asks the provider; that may block while credentials are fetched for the first time.
func (c *Client) newSigner(ctx context.Context) (signer, error) {
	s := signer{anonymous: c.creds == nil}
	if !s.anonymous {
		var err error
		if s.creds, err = c.creds.Credentials(ctx); err != nil {
			return s, err
		}
	}
	s.now, s.offset = c.clock.now()
	return s, nil
}

// signedHeader tells headers that the signature covers: those that change what the request does.
func signedHeader(name string) bool {
	switch name {
	case "Range", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language",
		"Content-Type", "Content-Md5", "Expires", "If-Match", "If-None-Match", "If-Modified-Since",
		"If-Unmodified-Since":
		return true
	}
	return strings.HasPrefix(name, "X-Cos-")
}

func (s signer) sign(r *request, req *http.Request) {
	if s.anonymous {
		return
	}
	if s.creds.Token != "" {
		req.Header.Set("X-Cos-Security-Token", s.creds.Token)
	}
	headers := map[string][]string{"Host": {req.Host}}
	for name, vs := range req.Header {
		if signedHeader(name) {
			headers[name] = vs
		}
	}
	if r.statesLength() {
		headers["Content-Length"] = []string{strconv.FormatInt(r.size, 10)}
	}
	keyTime := sign.KeyTime(s.now.Add(-signBackdate), s.now.Add(signLifetime))
	f := sign.New(s.creds.SecretID, s.creds.SecretKey, keyTime, r.method, req.URL.Path, r.query, headers)
	req.Header.Set("Authorization", f.Authorization())
}
