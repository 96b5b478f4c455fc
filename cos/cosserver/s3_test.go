package cosserver

import "testing"

// TestS3Headers talks to the server as programs made for S3 do.
func TestS3Headers(t *testing.T) {
	c := start(t, Options{Switches: Switches{S3Headers: true, PathStyle: true}})
	c.host = "127.0.0.1"
	at := "/" + DefaultBucket + "/"
	c.want(200, "", "PUT", at+"a", "text", h("x-amz-meta-mode", "33188", "x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
	c.want(200, "", "PUT", at+"b", "", h("x-amz-copy-source", at+"a"))
	c.want(200, "", "PUT", at+"c", "", h("x-amz-copy-source", at+"a", "x-amz-metadata-directive", "REPLACE", "x-amz-meta-mode", "1"))
	for key, mode := range map[string]string{"a": "33188", "b": "33188", "c": "1"} {
		r := c.want(200, "", "GET", at+key, "", nil)
		if r.body != "text" || r.header.Get("x-amz-meta-mode") != mode || r.header.Get("x-cos-meta-mode") != mode {
			t.Errorf("%s: got %q with %v, want mode %s", key, r.body, r.header, mode)
		}
	}
	if r := c.want(404, "NoSuchKey", "GET", at+"none", "", nil); r.header.Get("x-amz-request-id") == "" {
		t.Errorf("an error without a request's ID: %v", r.header)
	}

	strict := start(t, Options{})
	strict.want(200, "", "PUT", "/a", "text", h("x-amz-meta-mode", "33188"))
	if r := strict.want(200, "", "HEAD", "/a", "", nil); r.header.Get("x-amz-meta-mode") != "" || r.header.Get("x-cos-meta-mode") != "" {
		t.Errorf("without the switch: %v", r.header)
	}
}
