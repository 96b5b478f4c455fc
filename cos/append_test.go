package cos

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func appendString(c *Client, position int64, body string) (*AppendResult, error) {
	return c.Append(context.Background(), "k", position, strings.NewReader(body), int64(len(body)), nil)
}

func appended(next int, body string) http.HandlerFunc {
	return reply(200, "", "ETag", "e", "x-cos-next-append-position", fmt.Sprint(next), "x-cos-content-sha1", fmt.Sprintf("%x", md5.Sum([]byte(body))))
}

func TestAppendWire(t *testing.T) {
	s, c := newScript(t, nil, appended(1029, "hello"))
	res, err := c.Append(context.Background(), "a/b", 1024, strings.NewReader("hello"), 5, &AppendOptions{
		Headers: Headers{ContentType: "text/plain", Meta: map[string]string{"mode": "33188"}}, EnableMD5: true, TrafficLimit: 819200,
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.ETag != "e" || res.Next != 1029 || res.RequestID != "req-1" || res.Settled {
		t.Errorf("result = %+v", res)
	}
	got := s.only()
	if got.Method != "POST" || got.URI != "/a/b?append&position=1024" || got.Body != "hello" || got.Length != 5 {
		t.Errorf("request = %+v", got)
	}
	if m, d, l := got.Header.Get("X-Cos-Meta-Mode"), got.Header.Get("Content-Md5"), got.Header.Get("X-Cos-Traffic-Limit"); m != "33188" || d != "XUFAKrxLKna5cZ2REBfFkg==" || l != "819200" {
		t.Errorf("headers = %q %q %q", m, d, l)
	}
}

func TestAppendChecksAnswer(t *testing.T) {
	wrong := appended(5, "other")
	_, c := newScript(t, nil, wrong)
	if _, err := appendString(c, 0, "hello"); !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong MD5: %v, want ErrChecksum", err)
	}
	_, c = newScript(t, func(o *Options) { o.SkipAppendMD5 = true }, wrong)
	if _, err := appendString(c, 0, "hello"); err != nil {
		t.Errorf("wrong MD5 that nobody looks at: %v", err)
	}
	_, c = newScript(t, nil, reply(200, "", "x-cos-content-sha1", strings.Repeat("0", 40)))
	if _, err := appendString(c, 0, "hello"); err != nil {
		t.Errorf("a real SHA1 in the header: %v", err)
	}
}

func TestAppendReconciles(t *testing.T) {
	head := func(size int) http.HandlerFunc {
		return reply(200, "", "Content-Length", fmt.Sprint(size), "ETag", `"h"`)
	}
	back := func(s string, total int) http.HandlerFunc {
		return reply(206, s, "Content-Range", fmt.Sprintf("bytes 4-%d/%d", 3+len(s), total))
	}
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.Header().Set("Content-Range", "bytes 4-8/9")
		w.WriteHeader(206)
		fmt.Fprint(w, "he")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	const post, look, read = "POST /k?append&position=4", "HEAD /k", "GET /k"
	conflict := refusal(409, "AppendPositionErr")
	for _, tt := range []struct {
		name    string
		answers []http.HandlerFunc
		calls   []string
		settled bool
		errs    []error
		doubt   bool
	}{
		{name: "conflict at once", answers: []http.HandlerFunc{conflict}, calls: []string{post}, errs: []error{ErrAppendPosition}},
		{name: "applied", answers: []http.HandlerFunc{hangUp, head(9), back("hello", 9)}, calls: []string{post, look, read}, settled: true},
		{name: "applied, server error", answers: []http.HandlerFunc{refusal(500, "InternalError"), head(9), back("hello", 9)}, calls: []string{post, look, read}, settled: true},
		{name: "applied and grown since", answers: []http.HandlerFunc{hangUp, head(20), back("hello", 20)}, calls: []string{post, look, read}, settled: true},
		{name: "not applied", answers: []http.HandlerFunc{hangUp, head(4), appended(9, "hello")}, calls: []string{post, look, post}},
		{name: "applied late", answers: []http.HandlerFunc{hangUp, head(4), conflict, head(9), back("hello", 9)}, calls: []string{post, look, post, look, read}, settled: true},
		{name: "throttled is not applied", answers: []http.HandlerFunc{refusal(503, "SlowDown"), appended(9, "hello")}, calls: []string{post, post}},
		{name: "somebody else's bytes", answers: []http.HandlerFunc{hangUp, head(9), back("world", 9)}, calls: []string{post, look, read}, errs: []error{ErrAppendPosition}},
		{name: "read back in two goes", answers: []http.HandlerFunc{hangUp, head(9), broken, back("hello", 9)}, calls: []string{post, look, read, read}, settled: true},
		{name: "read back in two goes, not ours", answers: []http.HandlerFunc{hangUp, head(9), broken, back("help!", 9)}, calls: []string{post, look, read, read}, errs: []error{ErrAppendPosition}},
		{name: "shrunk before it is read back", answers: []http.HandlerFunc{hangUp, head(9), back("hel", 7)}, calls: []string{post, look, read}, errs: []error{ErrAppendPosition}},
		{name: "somebody else's, fewer", answers: []http.HandlerFunc{hangUp, head(6)}, calls: []string{post, look}, errs: []error{ErrAppendPosition}},
		{name: "truncated by another", answers: []http.HandlerFunc{hangUp, head(2)}, calls: []string{post, look}, errs: []error{ErrAppendPosition}},
		{name: "conflict although the length fits", answers: []http.HandlerFunc{hangUp, head(4), conflict, head(4)}, calls: []string{post, look, post, look}, errs: []error{ErrAppendPosition}},
		{name: "nobody says", answers: []http.HandlerFunc{hangUp, reply(403, "")}, calls: []string{post, look}, errs: []error{ErrUnknownOutcome, ErrTransport, ErrAccessDenied}, doubt: true},
		{name: "cannot be read back", answers: []http.HandlerFunc{hangUp, head(9), refusal(403, "AccessDenied")}, calls: []string{post, look, read}, errs: []error{ErrUnknownOutcome}, doubt: true},
		{name: "other refusal after doubt", answers: []http.HandlerFunc{hangUp, head(4), refusal(403, "AccessDenied")}, calls: []string{post, look, post}, errs: []error{ErrUnknownOutcome, ErrAccessDenied}, doubt: true},
		{name: "gone", answers: []http.HandlerFunc{hangUp, reply(404, ""), refusal(409, "AppendPositionErr"), reply(404, "")}, calls: []string{post, look, post, look}, errs: []error{ErrAppendPosition}, doubt: true},
		{name: "lying position", answers: []http.HandlerFunc{reply(200, "", "x-cos-next-append-position", "7"), head(9), back("hello", 9)}, calls: []string{post, look, read}, settled: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := newScript(t, nil, tt.answers...)
			res, err := appendString(c, 4, "hello")
			for _, want := range tt.errs {
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want %v", err, want)
				}
			}
			if len(tt.errs) == 0 && (err != nil || res.Settled != tt.settled || res.Next != 9) {
				t.Errorf("result = %+v, %v, want settled %v", res, err, tt.settled)
			}
			if errors.Is(err, ErrUnknownOutcome) != tt.doubt {
				t.Errorf("error = %v, doubt %v", err, tt.doubt)
			}
			if got := lines(s.seen()); !slices.Equal(got, tt.calls) {
				t.Errorf("requests = %q\nwant %q", got, tt.calls)
			}
		})
	}
}

func TestAppendNothing(t *testing.T) {
	s, c := newScript(t, nil, hangUp, reply(200, "", "Content-Length", "4"))
	res, err := appendString(c, 4, "")
	if err != nil || !res.Settled || res.Next != 4 {
		t.Errorf("result = %+v, %v", res, err)
	}
	if got := s.seen()[0]; got.Header.Get("Content-Length") != "0" && got.Length != 0 {
		t.Errorf("an empty append travelled with length %d", got.Length)
	}
}
