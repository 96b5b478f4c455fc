package cosserver

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestFaultsOnPut(t *testing.T) {
	tests := []struct {
		name    string
		rule    Rule
		status  int // 0: no answer
		code    string
		applied bool
	}{
		{"fail before", Rule{Action: Fail}, 503, "SlowDown", false},
		{"fail with a code", Rule{Action: Fail, Status: 400, Code: "UserNetworkTooSlow"}, 400, "UserNetworkTooSlow", false},
		{"fail in the body", Rule{When: Middle, Action: Fail, Status: 500}, 500, "InternalError", false},
		{"fail after", Rule{When: After, Action: Fail, Status: 500}, 500, "InternalError", true},
		{"reset before", Rule{Action: Reset}, 0, "", false},
		{"reset in the body", Rule{When: Middle, Action: Reset}, 0, "", false},
		{"lost reply", Rule{When: After, Action: Reset}, 0, "", true},
		{"delay", Rule{Action: Delay, Delay: time.Millisecond}, 200, "", true},
		{"error in 200", Rule{Action: ErrorInOK, Code: "InternalError"}, 200, "InternalError", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, Options{})
			tt.rule.Op, tt.rule.Key = "PutObject", "dir/*"
			c.srv.AddRule(tt.rule)
			r, err := c.try("PUT", "/dir/k", bulk(100_000), nil)
			switch {
			case tt.status == 0 && err == nil:
				t.Errorf("got %d, want no answer", r.status)
			case tt.status != 0 && (err != nil || r.status != tt.status || r.code() != tt.code):
				t.Errorf("got %+v, %v; want %d %s", r, err, tt.status, tt.code)
			}
			head := c.do("HEAD", "/dir/k", "", nil)
			if applied := head.status == 200; applied != tt.applied {
				t.Errorf("applied %v, want %v", applied, tt.applied)
			}
			if got := c.put("other", ""); got.status != 200 {
				t.Errorf("another key got %d", got.status)
			}
		})
	}
}

func TestFaultsOnAnswers(t *testing.T) {
	body := bulk(100_000)
	sound := func(r *reply) bool {
		return r.err == nil && r.body == body && r.header.Get("x-cos-hash-crc64ecma") == crcOf(body) && r.header.Get("ETag") == `"`+md5Hex(body)+`"`
	}
	tests := []struct {
		name string
		rule Rule
		ok   func(*reply) bool
	}{
		{"truncate", Rule{Action: Truncate, Bytes: 1000}, func(r *reply) bool {
			return errors.Is(r.err, io.ErrUnexpectedEOF) && r.body == body[:1000]
		}},
		{"corrupt", Rule{Action: Corrupt, Bytes: 77}, func(r *reply) bool {
			return len(r.body) == len(body) && r.body != body && r.body[:77] == body[:77] && r.body[78:] == body[78:]
		}},
		{"wrong crc", Rule{Action: WrongCRC}, func(r *reply) bool {
			return r.body == body && r.header.Get("x-cos-hash-crc64ecma") != crcOf(body)
		}},
		{"wrong etag", Rule{Action: WrongETag}, func(r *reply) bool {
			return r.body == body && r.header.Get("ETag") != `"`+md5Hex(body)+`"`
		}},
		{"empty", Rule{Action: Empty}, func(r *reply) bool { return r.status == 200 && r.body == "" }},
		{"reset in the middle", Rule{When: Middle, Action: Reset}, func(r *reply) bool {
			return r.err != nil && len(r.body) < len(body)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, Options{})
			c.put("k", body)
			tt.rule.Op = "GetObject"
			remove := c.srv.AddRule(tt.rule)
			r, err := c.try("GET", "/k", "", nil)
			if err != nil {
				r = &reply{err: err}
			}
			if !tt.ok(r) {
				t.Errorf("status %d, %d bytes, %v, %v", r.status, len(r.body), r.err, r.header)
			}
			remove()
			if r := c.do("GET", "/k", "", nil); !sound(r) {
				t.Errorf("still broken without the rule: %d, %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
	}
}

func TestFaultsOnDocuments(t *testing.T) {
	c := start(t, Options{})
	c.put("src", "[Object Content]")
	copyOf := h("x-cos-copy-source", c.host+"/src")
	for _, tt := range []struct {
		action Action
		ok     func(body string) bool
	}{
		{Pad, func(b string) bool { return strings.HasPrefix(b, strings.Repeat(" ", 64)+"<?xml") }},
		{WrongCRC, func(b string) bool { return strings.Contains(b, "<CRC64>16749565679157681891<") }},
		{WrongETag, func(b string) bool { return strings.Contains(b, "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;<") }},
		{Empty, func(b string) bool { return b == "" }},
		{ErrorInOK, func(b string) bool { return strings.Contains(b, "<Code>SlowDown</Code>") }},
	} {
		remove := c.srv.AddRule(Rule{Op: "CopyObject", Action: tt.action})
		if r := c.want(200, "", "PUT", "/dst", "", copyOf); !tt.ok(r.body) {
			t.Errorf("%s: %q", tt.action, r.body)
		}
		remove()
	}
}

func TestStallUntilRemoved(t *testing.T) {
	c := start(t, Options{})
	remove := c.srv.AddRule(Rule{Key: "slow", Action: Stall})
	done := make(chan *reply)
	go func() {
		r, _ := c.try("PUT", "/slow", "x", nil)
		done <- r
	}()
	c.put("fast", "y") // others are not held up
	select {
	case r := <-done:
		t.Fatalf("got %+v while stalled", r)
	default:
	}
	remove()
	if r := <-done; r == nil || r.status != 200 {
		t.Errorf("got %+v after the stall", r)
	}
}

func TestLateAppliesAfterTheClientGaveUp(t *testing.T) {
	c := start(t, Options{})
	c.put("k", "old")
	remove := c.srv.AddRule(Rule{Op: "PutObject", Key: "k", When: Late, Limit: 1})
	if r, err := c.try("PUT", "/k", "late", nil); err == nil {
		t.Fatalf("got %+v, want no answer", r)
	}
	if got := c.get("k"); got != "old" {
		t.Errorf("applied at once: %q", got)
	}
	c.put("k", "newer")
	remove()
	waitFor(t, func() bool { return c.get("k") == "late" })
}

// waitFor polls until ok; the server does what is awaited on its own.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
		runtime.Gosched()
	}
}

func TestRulesGoByMeaning(t *testing.T) {
	c := start(t, Options{})
	c.srv.AddRule(Rule{Op: "PutObject", Attempt: 1, Action: Fail})
	for range 2 { // the third put is a new logical request: its first try fails again
		c.want(503, "SlowDown", "PUT", "/k", "x", nil)
		c.want(200, "", "PUT", "/k", "x", nil)
	}
	c.srv.SetRules([]Rule{{Op: "UploadPart", Part: 2, Action: Fail, Limit: 1}})
	id := c.initiate("m", nil)
	c.part("m", id, 1, "x")
	c.want(503, "", "PUT", "/m?partNumber=2&uploadId="+id, "x", nil)
	c.part("m", id, 2, "x")
	at := int64(1)
	c.srv.SetRules([]Rule{{Op: "AppendObject", Position: &at, Action: Fail, Status: 500}})
	c.want(200, "", "POST", "/log?append&position=0", "x", nil)
	c.want(500, "InternalError", "POST", "/log?append&position=1", "x", nil)
}

func TestChanceDependsOnMeaningOnly(t *testing.T) {
	failures := func(reversed bool) map[string]bool {
		c := start(t, Options{})
		c.srv.AddRule(Rule{Op: "PutObject", Action: Fail, Probability: 0.3, Seed: 42})
		failed := map[string]bool{}
		for i := range 100 {
			if reversed {
				i = 99 - i
			}
			if c.do("PUT", "/"+itoa(i), "", nil).status == 503 {
				failed[itoa(i)] = true
			}
		}
		return failed
	}
	a, b := failures(false), failures(true)
	if len(a) < 15 || len(a) > 45 || len(a) != len(b) {
		t.Errorf("%d and %d of 100 failed at 30 %%", len(a), len(b))
	}
	for k := range a {
		if !b[k] {
			t.Errorf("%s failed in one order only", k)
		}
	}
}

func TestCloseEndsStalledRequests(t *testing.T) {
	c, stop := open(t, Options{})
	c.srv.AddRule(Rule{Action: Stall})
	done := make(chan error)
	go func() {
		_, err := c.try("PUT", "/k", "x", nil)
		done <- err
	}()
	waitFor(t, func() bool { return c.srv.Stats()["PutObject"].Requests == 1 })
	if err := c.srv.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-done; err == nil {
		t.Error("the stalled request was answered")
	}
	if r := c.do("GET", "/k", "", nil); r.status != http.StatusServiceUnavailable {
		t.Errorf("a closed server answers %d", r.status)
	}
	stop()
}
