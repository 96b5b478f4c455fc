package cosserver

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOneOfManyAppendsWins(t *testing.T) {
	c := start(t, Options{})
	const writers, rounds = 6, 5
	for round := range rounds {
		won := make(chan string, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				body := itoa(w)
				if r, err := c.try("POST", "/log?append&position="+itoa(round), body, nil); err == nil && r.status == 200 {
					won <- body
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d appends at one position succeeded", round, len(won))
		}
		if got := c.get("log"); len(got) != round+1 || got[round:] != <-won {
			t.Fatalf("round %d: %q", round, got)
		}
	}
}

func TestReadersSeeWholeVersions(t *testing.T) {
	c := start(t, Options{})
	bodies := []string{strings.Repeat("a", 300_000), strings.Repeat("b", 200_000), strings.Repeat("c", 100)}
	c.put("k", bodies[0])
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 15 {
				if _, err := c.try("PUT", "/k", bodies[(i+w)%3], nil); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 30 {
				r, err := c.try("GET", "/k", "", nil)
				if err != nil || r.err != nil {
					t.Errorf("get: %v, %+v", err, r)
					return
				}
				if r.header.Get("x-cos-hash-crc64ecma") != crcOf(r.body) {
					t.Errorf("%d bytes do not match their checksum", len(r.body))
				}
			}
		})
	}
	wg.Wait()
}

func TestForbidOverwriteLetsOneIn(t *testing.T) {
	c := start(t, Options{})
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := c.try("PUT", "/k", "x", h("x-cos-forbid-overwrite", "true"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[r.status]++
		})
	}
	wg.Wait()
	if statuses[200] != 1 || statuses[409] != 7 {
		t.Errorf("statuses %v", statuses)
	}
}

func TestStatsAndLog(t *testing.T) {
	c := start(t, Options{LogSize: 4})
	c.put("a", "0123456789")
	c.get("a")
	c.want(404, "", "GET", "/none", "", nil)
	c.want(200, "", "POST", "/log?append&position=0", "abc", nil)
	s := c.srv.Stats()
	if got, want := s["PutObject"], (OpStats{Requests: 1, BytesIn: 10, MaxInFlight: 1}); got != want {
		t.Errorf("PutObject %+v, want %+v", got, want)
	}
	if got := s["GetObject"]; got.Requests != 2 || got.Errors != 1 || got.BytesOut < 10 {
		t.Errorf("GetObject %+v", got)
	}
	if got := s.Requests(); got != 4 {
		t.Errorf("%d requests", got)
	}
	log := c.srv.Log()
	if len(log) != 4 || log[0].Op != "PutObject" || log[0].Size != 10 || log[0].Position != -1 || log[3].Position != 0 || log[2].Status != 404 {
		t.Errorf("log %+v", log)
	}
	c.get("a")
	if log := c.srv.Log(); len(log) != 4 || log[0].Op != "GetObject" || log[3].Key != "a" || log[3].End.Before(log[3].Start) {
		t.Errorf("log after it wrapped: %+v", log)
	}
	c.srv.ResetStats()
	if s, l := c.srv.Stats(), c.srv.Log(); len(s) != 0 || len(l) != 0 {
		t.Errorf("after a reset: %+v, %+v", s, l)
	}
}

func TestInFlightPeak(t *testing.T) {
	c := start(t, Options{})
	id := c.initiate("m", nil)
	remove := c.srv.AddRule(Rule{Op: "UploadPart", Action: Stall})
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() { c.try("PUT", "/m?partNumber="+itoa(n+1)+"&uploadId="+id, "x", nil) })
	}
	waitFor(t, func() bool { return c.srv.Stats()["UploadPart"].MaxInFlight == 3 })
	remove()
	wg.Wait()
	parts := map[int]bool{}
	for _, r := range c.srv.Log() {
		if r.Op == "UploadPart" && r.Status == 200 {
			parts[r.Part] = true
		}
	}
	if len(parts) != 3 {
		t.Errorf("log shows parts %v", parts)
	}
}

func TestAdmin(t *testing.T) {
	c := start(t, Options{})
	admin := httptest.NewServer(c.srv.AdminHandler())
	defer admin.Close()
	call := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, admin.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := admin.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b strings.Builder
		if _, err := io.Copy(&b, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.String()
	}
	rules := `[{"op":"Put*","key":"x/*","action":"fail","status":500,"limit":1},{"op":"GetObject","action":"delay","delay":"1ms"}]`
	if status, body := call("PUT", "/faults", rules); status != 204 {
		t.Fatalf("rules: %d %s", status, body)
	}
	c.want(500, "InternalError", "PUT", "/x/y", "", nil)
	c.put("x/y", "abc")
	if _, body := call("GET", "/faults", ""); !strings.Contains(body, `"delay":"1ms"`) || !strings.Contains(body, `"key":"x/*"`) {
		t.Errorf("rules read back: %s", body)
	}
	for _, bad := range []string{`[{"action":"explode"}]`, `[{"action":"fail","when":"never"}]`, `{}`, `[] []`} {
		if status, _ := call("PUT", "/faults", bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
	_, body := call("GET", "/stats", "")
	var stats Stats
	if err := json.Unmarshal([]byte(body), &stats); err != nil || stats["PutObject"].Requests != 2 || stats["PutObject"].BytesIn != 3 {
		t.Errorf("stats %s, %v", body, err)
	}
	if _, body := call("GET", "/log", ""); strings.Count(body, `"op":"PutObject"`) != 2 {
		t.Errorf("log %s", body)
	}
	if status, _ := call("POST", "/stats/reset", ""); status != 204 || c.srv.Stats().Requests() != 0 {
		t.Errorf("reset: %d, %+v", status, c.srv.Stats())
	}
	if status, _ := call("PUT", "/shape", `{"latency":"2ms","bytes_per_second":1000000}`); status != 204 {
		t.Errorf("shape: %d", status)
	}
	if got, want := c.srv.Shape(), (Shape{2 * time.Millisecond, 1_000_000}); got != want {
		t.Errorf("shape %+v, want %+v", got, want)
	}
	if _, body := call("GET", "/shape", ""); !strings.Contains(body, `"latency":"2ms"`) {
		t.Errorf("shape read back: %s", body)
	}
}

func TestShape(t *testing.T) {
	c := start(t, Options{})
	const rate, size = 1 << 20, 200 << 10
	c.srv.SetShape(Shape{Latency: 20 * time.Millisecond, BytesPerSecond: rate})
	body := bulk(size)
	least := 20*time.Millisecond + size*time.Second/rate
	for _, f := range []func(){func() { c.put("k", body) }, func() { c.get("k") }} {
		begin := time.Now()
		f()
		if took := time.Since(begin); took < least {
			t.Errorf("%d bytes took %v, want at least %v", size, took, least)
		}
	}
	c.srv.SetShape(Shape{})
	begin := time.Now()
	c.want(200, "", "PUT", "/k", bulk(30<<10), h("x-cos-traffic-limit", "819200")) // 100 KiB/s
	if took := time.Since(begin); took < 290*time.Millisecond {
		t.Errorf("limited put took %v", took)
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c, stop := open(t, Options{Dir: dir}) // synced, as users run it
	large := bulk(100_000)
	c.want(200, "", "PUT", "/small", "small", h("x-cos-meta-mode", "1"))
	c.put("large", large)
	c.want(200, "", "POST", "/log?append&position=0", "one ", nil)
	id := c.initiate("m", h("x-cos-meta-mode", "2"))
	first := c.part("m", id, 1, bulk(1<<20))
	stop()

	c = start(t, Options{Dir: dir})
	if got := c.get("large"); got != large {
		t.Errorf("large object has %d bytes", len(got))
	}
	if r := c.want(200, "", "GET", "/small", "", nil); r.body != "small" || r.header.Get("x-cos-meta-mode") != "1" {
		t.Errorf("small object %+v", r)
	}
	c.want(200, "", "POST", "/log?append&position=4", "two", nil)
	if got := c.get("log"); got != "one two" {
		t.Errorf("appended object is %q", got)
	}
	second := c.part("m", id, 2, "end")
	c.want(200, "", "POST", "/m?uploadId="+id, completeXML(first, second), nil)
	if r := c.want(200, "", "GET", "/m", "", nil); r.body != bulk(1<<20)+"end" || r.header.Get("x-cos-meta-mode") != "2" {
		t.Errorf("completed object has %d bytes, header %v", len(r.body), r.header)
	}
	if _, err := Open(Options{Dir: dir}); err == nil {
		t.Error("a second server opened the directory")
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory":    {},
		"no account":      {Dir: t.TempDir(), Buckets: []Bucket{{Name: "photos"}}},
		"a capital":       {Dir: t.TempDir(), Buckets: []Bucket{{Name: "Photos-1"}}},
		"a trailing dash": {Dir: t.TempDir(), Buckets: []Bucket{{Name: "photos--1"}}},
	} {
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestListenerCloseCutsAfterItsContext(t *testing.T) {
	srv, err := Open(Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv.AddRule(Rule{Action: Stall})
	done := make(chan error)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	go func() {
		_, err := client.Get(l.URL + "/k")
		done <- err
	}()
	waitFor(t, func() bool { return srv.Stats().Requests() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("cut a request off and said nothing")
	}
	if err := <-done; err == nil {
		t.Error("the request was answered")
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}
