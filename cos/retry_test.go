package cos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func putString(c *Client, key, body string, o *PutOptions) (*PutResult, error) {
	return c.Put(context.Background(), key, strings.NewReader(body), int64(len(body)), o)
}

// stored answers a put of body.
func stored(body string) http.HandlerFunc {
	return reply(200, "", "ETag", `"e"`, "x-cos-hash-crc64ecma", crcOfString(body))
}

func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		first   http.HandlerFunc
		unclear bool
	}{
		{"connection lost", hangUp, true},
		{"500", refusal(500, "InternalError"), true},
		{"502 without a document", reply(502, "<html>bad gateway</html>"), true},
		{"503", refusal(503, "SlowDown"), false},
		{"body too slow", refusal(400, "RequestTimeout"), false},
		{"network too slow", refusal(400, "UserNetworkTooSlow"), false},
		{"body incomplete", refusal(400, "IncompleteBody"), false},
		{"wrong checksum", reply(200, "", "x-cos-hash-crc64ecma", "1"), false},
		{"unreadable checksum", reply(200, "", "x-cos-hash-crc64ecma", "x"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := newScript(t, nil, tt.first, tt.first, stored("body"))
			res, err := putString(c, "k", "body", nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Unclear != tt.unclear {
				t.Errorf("Unclear = %v, want %v", res.Unclear, tt.unclear)
			}
			calls := s.seen()
			if len(calls) != 3 {
				t.Fatalf("%d attempts, want 3", len(calls))
			}
			for i, call := range calls {
				want := ""
				if i > 0 {
					want = "true"
				}
				if got := call.Header.Get("X-Cos-Sdk-Retry"); got != want || call.Body != "body" {
					t.Errorf("attempt %d: retry mark %q, body %q", i+1, got, call.Body)
				}
			}
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	s, c := newScript(t, nil, refusal(500, "InternalError"))
	_, err := putString(c, "k", "body", nil)
	var e *Error
	if !errors.As(err, &e) || e.Attempts != 4 || !errors.Is(err, ErrServer) || !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("error = %v, want ErrServer and ErrUnknownOutcome after 4 attempts", err)
	}
	if n := len(s.seen()); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
	// A read has no outcome to doubt, a throttled write neither.
	_, c = newScript(t, nil, refusal(500, "InternalError"))
	if _, err := c.Head(context.Background(), "k", nil); errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrServer) {
		t.Errorf("HEAD = %v, want ErrServer alone", err)
	}
	_, c = newScript(t, nil, refusal(503, "SlowDown"))
	if _, err := putString(c, "k", "body", nil); errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrThrottled) {
		t.Errorf("throttled put = %v, want ErrThrottled alone", err)
	}
	// A refusal after a lost reply tells both.
	_, c = newScript(t, nil, hangUp, refusal(403, "AccessDenied"))
	if _, err := putString(c, "k", "body", nil); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrAccessDenied) {
		t.Errorf("put = %v, want ErrUnknownOutcome and ErrAccessDenied", err)
	}
}

func TestNoServer(t *testing.T) {
	c, err := New(Options{Endpoint: "http://127.0.0.1:1", Region: testRegion, Bucket: testBucket, Attempts: 2, BaseDelay: 1, MaxDelay: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = putString(c, "k", "body", nil)
	if !errors.Is(err, ErrTransport) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("error = %v, want ErrTransport without doubt: nothing was sent", err)
	}
}

// brokenBody fails after some bytes.
type brokenBody struct{ err error }

func (b brokenBody) ReadAt(p []byte, off int64) (int, error) {
	if off >= 4 {
		return 0, b.err
	}
	return copy(p, "body"[off:]), nil
}

func TestSourceFails(t *testing.T) {
	bad := errors.New("disk on fire")
	for _, tt := range []struct{ err, want error }{{bad, bad}, {io.EOF, io.ErrUnexpectedEOF}} {
		s, c := newScript(t, nil, stored("body"))
		_, err := c.Put(context.Background(), "k", brokenBody{tt.err}, 10, nil)
		if !errors.Is(err, tt.want) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("error = %v, want %v and no doubt", err, tt.want)
		}
		if n := len(s.seen()); n > 1 {
			t.Errorf("%d attempts, want 1", n)
		}
	}
}

func TestContextEndsBackOff(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, c := newScript(t, func(o *Options) { o.BaseDelay, o.MaxDelay = time.Hour, time.Hour },
		func(w http.ResponseWriter, r *http.Request) {
			cancel()
			refusal(503, "SlowDown")(w, r)
		})
	_, err := c.Head(ctx, "k", nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	s.only()
}

func TestCancelledPutIsInDoubt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, c := newScript(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := c.Put(ctx, "k", strings.NewReader("body"), 4, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("error = %v, want context.Canceled and ErrUnknownOutcome", err)
	}
}

func TestForbidOverwrite(t *testing.T) {
	forbid := &PutOptions{ForbidOverwrite: true}
	exists := refusal(409, "FileAlreadyExists")
	head := func(body string, kv ...string) http.HandlerFunc {
		return reply(200, "", append(kv, "Content-Length", fmt.Sprint(len(body)), "ETag", `"h"`)...)
	}
	t.Run("exists", func(t *testing.T) {
		s, c := newScript(t, nil, exists)
		if _, err := putString(c, "k", "body", forbid); !errors.Is(err, ErrExists) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("error = %v, want ErrExists", err)
		}
		s.only()
	})
	t.Run("ours", func(t *testing.T) {
		s, c := newScript(t, nil, hangUp, exists, head("body", "x-cos-hash-crc64ecma", crcOfString("body")))
		res, err := putString(c, "k", "body", forbid)
		if err != nil || !res.Settled || res.Unclear || res.ETag != "h" || res.CRC64 != CRC64([]byte("body")) {
			t.Errorf("result = %+v, %v", res, err)
		}
		if got := lines(s.seen()); !slices.Equal(got, []string{"PUT /k", "PUT /k", "HEAD /k"}) {
			t.Errorf("requests = %v", got)
		}
	})
	for name, answer := range map[string]http.HandlerFunc{
		"another size":    head("bodies", "x-cos-hash-crc64ecma", crcOfString("bodies")),
		"another content": head("doby", "x-cos-hash-crc64ecma", crcOfString("doby")),
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newScript(t, nil, hangUp, exists, answer)
			if _, err := putString(c, "k", "body", forbid); !errors.Is(err, ErrExists) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("error = %v, want ErrExists", err)
			}
		})
	}
	for name, answer := range map[string]http.HandlerFunc{
		"no checksum": head("body"), "no permission": reply(403, ""), "gone": reply(404, ""),
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newScript(t, nil, hangUp, exists, answer)
			if _, err := putString(c, "k", "body", forbid); !errors.Is(err, ErrExists) || !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("error = %v, want ErrExists and ErrUnknownOutcome", err)
			}
		})
	}
	t.Run("stored wrong", func(t *testing.T) {
		s, c := newScript(t, nil, reply(200, "", "x-cos-hash-crc64ecma", "1"))
		if _, err := putString(c, "k", "body", forbid); !errors.Is(err, ErrChecksum) {
			t.Errorf("error = %v, want ErrChecksum", err)
		}
		s.only() // a second attempt would be refused by the first one's object
	})
}

func TestBadDigestIsRetriedIfOurs(t *testing.T) {
	s, c := newScript(t, nil, refusal(400, "BadDigest"), stored("body"))
	if _, err := putString(c, "k", "body", &PutOptions{EnableMD5: true}); err != nil || len(s.seen()) != 2 {
		t.Errorf("own MD5: %v after %d attempts, want success after 2", err, len(s.seen()))
	}
	s, c = newScript(t, nil, refusal(400, "BadDigest"), stored("body"))
	if _, err := putString(c, "k", "body", &PutOptions{ContentMD5: "AAAAAAAAAAAAAAAAAAAAAA=="}); !errors.Is(err, ErrChecksum) {
		t.Errorf("caller's MD5: %v, want ErrChecksum", err)
	}
	s.only()
}

func TestClockSkew(t *testing.T) {
	server := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	local := server.Add(-time.Hour)
	date := server.Format(http.TimeFormat)
	for _, tt := range []struct {
		name  string
		first http.HandlerFunc
		call  func(*Client) error
	}{
		{"told", reply(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "Date", date), func(c *Client) error {
			_, err := putString(c, "k", "body", nil)
			return err
		}},
		{"expired", reply(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", "Date", date), func(c *Client) error {
			_, err := putString(c, "k", "body", nil)
			return err
		}},
		{"head", reply(403, "", "Date", date), func(c *Client) error { _, err := c.Head(context.Background(), "k", nil); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			s, c := newScript(t, func(o *Options) {
				o.Clock = func() time.Time { return local }
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			}, tt.first, reply(200, "", "Date", date, "Content-Length", "0"))
			for range 2 {
				if err := tt.call(c); err != nil {
					t.Fatal(err)
				}
			}
			calls := s.seen()
			if len(calls) != 3 {
				t.Fatalf("%d requests, want 3: the second operation is right at once", len(calls))
			}
			want := fmt.Sprintf("q-sign-time=%d;", server.Add(-signBackdate).Unix())
			if auth := calls[1].Header.Get("Authorization"); !strings.Contains(auth, want) {
				t.Errorf("second attempt signed %s, want %s", auth, want)
			}
			if n := strings.Count(log.String(), "local clock is off"); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, log.String())
			}
		})
	}
	t.Run("still refused", func(t *testing.T) {
		s, c := newScript(t, func(o *Options) { o.Clock = func() time.Time { return local } },
			reply(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "Date", date))
		if _, err := putString(c, "k", "body", nil); !errors.Is(err, ErrClockSkew) {
			t.Errorf("error = %v, want ErrClockSkew", err)
		}
		if n := len(s.seen()); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
	t.Run("plain refusal with a good clock", func(t *testing.T) {
		s, c := newScript(t, func(o *Options) { o.Clock = func() time.Time { return server } }, reply(403, "", "Date", date))
		if _, err := c.Head(context.Background(), "k", nil); !errors.Is(err, ErrAccessDenied) {
			t.Errorf("error = %v, want ErrAccessDenied", err)
		}
		s.only()
	})
}

func TestAnonymous(t *testing.T) {
	s, c := newScript(t, func(o *Options) { o.Credentials = nil }, reply(200, "", "Content-Length", "0"))
	if _, err := c.Head(context.Background(), "k", nil); err != nil {
		t.Fatal(err)
	}
	if auth, ok := s.only().Header["Authorization"]; ok {
		t.Errorf("anonymous request carries %q", auth)
	}
}

func TestTemporaryCredentials(t *testing.T) {
	temp := testCreds
	temp.Token = "tok+/=en"
	s, c := newScript(t, func(o *Options) { o.Credentials = Static{temp} }, reply(200, "", "Content-Length", "0"))
	if _, err := c.Head(context.Background(), "k", nil); err != nil {
		t.Fatal(err)
	}
	h := s.only().Header
	if h.Get("X-Cos-Security-Token") != "tok+/=en" || !strings.Contains(h.Get("Authorization"), "x-cos-security-token") {
		t.Errorf("token %q, %q", h.Get("X-Cos-Security-Token"), h.Get("Authorization"))
	}
}

// rotating hands out another token each time it is asked.
type rotating struct{ asked int }

func (r *rotating) Credentials(context.Context) (Credentials, error) {
	r.asked++
	c := testCreds
	c.Token = fmt.Sprintf("token-%d", r.asked)
	return c, nil
}

func TestRefusedTokenIsReplaced(t *testing.T) {
	now := time.Unix(1700000000, 0)
	src := &rotating{}
	s, c := newScript(t, func(o *Options) { o.Credentials = src; o.Clock = func() time.Time { return now } },
		stored("body"), refusal(400, "ExpiredToken"), stored("body"))
	if _, err := putString(c, "k", "body", nil); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if _, err := putString(c, "k", "body", nil); err != nil {
		t.Fatal(err)
	}
	if got := s.seen()[2].Header.Get("X-Cos-Security-Token"); got != "token-2" {
		t.Errorf("token after the refusal = %q, want token-2", got)
	}
}

func TestNoCredentials(t *testing.T) {
	s, c := newScript(t, func(o *Options) { o.Credentials = Env{Lookup: func(string) string { return "" }} }, reply(200, ""))
	_, err := c.Head(context.Background(), "k", nil)
	if !errors.Is(err, ErrBadCredentials) || !errors.Is(err, ErrNoCredentials) {
		t.Errorf("error = %v, want ErrBadCredentials and ErrNoCredentials", err)
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests without credentials", n)
	}
}
