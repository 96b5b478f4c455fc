package cos

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestTrafficLimitOfAClient goes with each transfer that states none of its own.
func TestTrafficLimitOfAClient(t *testing.T) {
	limits := map[string]string{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limits[r.Method+" "+r.URL.RequestURI()] = r.Header.Get("X-Cos-Traffic-Limit")
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Content-Length", "0")
	}))
	defer srv.Close()
	o := Options{Endpoint: srv.URL, Region: testRegion, Bucket: testBucket, TrafficLimit: 1 << 20}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader([]byte("x"))
	_, putErr := c.Put(t.Context(), "k", body, 1, nil)
	_, ownErr := c.Put(t.Context(), "own", body, 1, &PutOptions{TrafficLimit: 2 << 20})
	_, partErr := c.UploadPart(t.Context(), "k", "id", 1, body, 1, nil)
	g, getErr := c.Get(t.Context(), "k", nil)
	_, headErr := c.Head(t.Context(), "k", nil)
	if err := errors.Join(putErr, ownErr, partErr, getErr, headErr, g.Body.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PUT /k": "1048576", "PUT /own": "2097152", "PUT /k?partNumber=1&uploadId=id": "1048576", "GET /k": "1048576", "HEAD /k": ""}
	for request, limit := range want {
		if got, ok := limits[request]; !ok || got != limit {
			t.Errorf("%s (sent: %v) has the limit %q, want %q; all: %v", request, ok, got, limit, limits)
		}
	}
	o.TrafficLimit = 1000
	if _, err := New(o); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("a limit that the service does not take: %v", err)
	}
}
