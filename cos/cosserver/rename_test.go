package cosserver

import (
	"slices"
	"testing"
)

func TestRename(t *testing.T) {
	c := start(t, Options{Buckets: []Bucket{{Name: "ofs-1", OFS: true}, {Name: "plain-1"}}})
	for _, k := range []string{"d/", "d/a b", "d/sub/b", "d2", "e/x", "f"} {
		c.put(escape(k), k)
	}
	move := func(from, to string, more ...string) *reply {
		t.Helper()
		return c.do("PUT", "/"+to+"?rename", "", h(append([]string{"x-cos-rename-source", "/" + from}, more...)...))
	}
	for _, tt := range []struct {
		from, to string
		status   int
	}{
		{"none", "x", 404},
		{"d", "e", 409},     // a directory in use
		{"d", "f", 409},     // a file
		{"d", "d/sub", 409}, // below itself
		{"f", "e", 409},     // a file onto a directory
		{"d/", "new", 200},
		{"new/a%20b", "new/c%2Bd", 200},
	} {
		if r := move(tt.from, tt.to); r.status != tt.status {
			t.Errorf("%s to %s: got %d %s, want %d", tt.from, tt.to, r.status, r.body, tt.status)
		}
	}
	want := []string{"d2", "e/x", "f", "new/", "new/c+d", "new/sub/b"}
	if got := c.list().names(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r := move("f", "d2", "x-cos-forbid-overwrite", "true"); r.status != 409 {
		t.Errorf("forbidden: %d", r.status)
	}
	if r := move("f", "d2"); r.status != 200 || c.get("d2") != "f" {
		t.Errorf("replaced: %d, %q", r.status, c.get("d2"))
	}
	c.host = c.srv.Host("plain-1")
	if r := move("a", "b"); r.status != 405 {
		t.Errorf("an ordinary bucket renames: %d", r.status)
	}
}
