package writeback

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos"
)

// TestSetProperty states what can be set, and what comes back otherwise.
func TestSetProperty(t *testing.T) {
	tests := []struct {
		name, value string
		want        error
	}{
		{"content-type", "text/x-made-up", nil},
		{"cache-control", "max-age=60, public", nil},
		{"content-disposition", `attachment; filename="a b.txt"`, nil},
		{"content-encoding", "gzip", nil},
		{"content-language", "zh-CN", nil},
		{"expires", "Wed, 21 Oct 2026 07:28:00 GMT", nil},
		{"expires", "tomorrow", ErrProperty},
		{"storage-class", "STANDARD_IA", nil},
		{"storage-class", "standard_ia", ErrProperty},
		{"acl", "public-read", nil},
		{"acl", "public", ErrProperty},
		{"meta.author", "somebody", nil},
		{"meta.with.dots-9", "x", nil},
		{"meta.", "x", ErrProperty},
		{"meta.under_score", "x", ErrProperty},
		{"meta.Upper", "x", ErrProperty},
		{"meta.author", "腾讯", ErrProperty},
		{"meta.author", " spaces ", ErrProperty},
		{"meta.mode", "33188", ErrPropertyReadOnly},
		{"meta.mtime-ns", "1.5", ErrPropertyReadOnly},
		{"cache-control", "line\nbreak", ErrProperty},
		{"cache-control", strings.Repeat("x", maxProperty+1), ErrPropertyTooLong},
		{"etag", "x", ErrPropertyReadOnly},
		{"crc64", "1", ErrPropertyReadOnly},
		{"object-type", "normal", ErrPropertyReadOnly},
		{"version-id", "x", ErrPropertyReadOnly},
		{"color", "red", ErrProperty},
	}
	for _, tt := range tests {
		a := Attr{Known: true, Mode: syscall.S_IFREG}
		if err := a.SetProperty(tt.name, tt.value); !errors.Is(err, tt.want) {
			t.Errorf("%s = %q: %v, want %v", tt.name, tt.value, err, tt.want)
		}
		got, ok := a.Property("k", tt.name)
		if set := tt.want == nil; set != (ok && got == tt.value) {
			t.Errorf("%s = %q reads %q, %v", tt.name, tt.value, got, ok)
		}
	}
}

// TestPropertiesListed leaves out what goes without saying, and never changes what it was copied from.
func TestPropertiesListed(t *testing.T) {
	a := Attr{Known: true, Mode: syscall.S_IFREG, Headers: cos.Headers{ContentType: "text/plain; charset=utf-8", ACL: "private",
		Meta: map[string]string{"b": "1"}}}
	c := a
	for name, value := range map[string]string{"meta.a": "2", "meta.b": "", "expires": "Wed, 21 Oct 2026 07:28:00 GMT", "storage-class": "COLD"} {
		if err := c.SetProperty(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.Properties("f.txt"), []string{"expires", "storage-class", "meta.a"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if got, want := a.Properties("f.html"), []string{"content-type", "meta.b"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if err := c.SetProperty("storage-class", ""); err != nil || slices.Contains(c.Properties("f.txt"), "storage-class") {
		t.Errorf("the standard class is listed: %q, %v", c.Properties("f.txt"), err)
	}
}

// TestContentTypeOfName is what files, links and directories get.
func TestContentTypeOfName(t *testing.T) {
	tests := []struct {
		key  string
		mode uint32
		want string
	}{
		{"a/b.TXT", syscall.S_IFREG, "text/plain; charset=utf-8"},
		{"a.tar.gz", syscall.S_IFREG, "application/gzip"},
		{"Makefile", syscall.S_IFREG, octetStream},
		{"a.txt/Makefile", syscall.S_IFREG, octetStream},
		{"page.html", syscall.S_IFLNK, octetStream},
		{"d.html/", syscall.S_IFDIR, dirContentType},
	}
	for _, tt := range tests {
		h, err := Attr{Mode: tt.mode}.encode(tt.key, false)
		if err != nil || h.ContentType != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.key, h.ContentType, err, tt.want)
		}
	}
}

// TestNewObjects gives new objects what the mount chose, and leaves others as they are.
func TestNewObjects(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Prefix = "p/"
		o.NewObjects = NewObjects{ContentType: "text/x-unknown", CacheControl: "no-cache", ACL: "public-read",
			SSE:     cos.SSE{Algorithm: "cos/kms", KMSKeyID: "key"},
			Classes: []ClassRule{{"*.log", "COLD"}, {"deep/*/x", "ARCHIVE"}, {"", "STANDARD_IA"}}}
	})
	r.put("p/theirs", []byte("x"))
	want := map[string]string{"p/a.log": "COLD", "p/deep/1/x": "ARCHIVE", "p/x": "STANDARD_IA", "p/theirs": "", "p/chosen": ""}
	for key := range want {
		h, appends := (*Handle)(nil), key == "p/x"
		if key == "p/theirs" {
			h = r.open(r.store, key, false)
		} else {
			h = r.create(r.store, key, appends)
		}
		if key == "p/chosen" {
			r.must(h.f.SetAttr(func(a *Attr) error { return a.SetProperty("storage-class", "STANDARD") }))
		}
		r.write(h, []byte("new"), 0)
		r.close(h)
	}
	if n := r.requests()["AppendObject"]; n != 0 {
		t.Errorf("%d appends, want none to what is encrypted", n)
	}
	for key, class := range want {
		i, err := r.client.Head(t.Context(), key, nil)
		r.must(err)
		if i.Headers.StorageClass != class {
			t.Errorf("%s has class %q, want %q", key, i.Headers.StorageClass, class)
		}
		acl, err := r.client.ObjectACL(t.Context(), key)
		r.must(err)
		made := key != "p/theirs"
		if (i.Headers.SSE.KMSKeyID == "key") != made || (acl.Canned == "public-read") != made || (i.Headers.CacheControl != "") != made {
			t.Errorf("%s: %+v, ACL %q", key, i.Headers, acl.Canned)
		}
		if ct := i.Headers.ContentType; key == "p/x" && ct != "text/x-unknown" || key == "p/a.log" && !strings.HasPrefix(ct, "text/plain") {
			t.Errorf("%s has type %q", key, ct)
		}
	}
}

// TestPropertiesAreCommitted lets properties ride with the bytes, sends later ones by one copy, keeps them over
// changes, renames and kills, and lets the content type follow the name.
func TestPropertiesAreCommitted(t *testing.T) {
	r := newRig(t)
	h := r.create(r.store, "tmp.123", false)
	set := func(name, value string) {
		t.Helper()
		r.must(h.f.SetAttr(func(a *Attr) error { return a.SetProperty(name, value) }))
	}
	set("cache-control", "no-store")
	set("meta.note", "first")
	r.write(h, []byte("bytes"), 0)
	r.must(h.Flush())
	r.wantRequests(map[string]int64{"PutObject": 1})
	set("meta.note", "second")
	set("content-language", "de")
	set("acl", "public-read")
	s := r.killed(r.store)
	r.must(h.Fsync(t.Context()))
	r.wantRequests(map[string]int64{"CopyObject": 1})
	r.must(r.store.Rename(h.f, "page.html", false))
	r.write(h, []byte("BYTES"), 0)
	r.close(h)
	check := func(key, contentType string) {
		t.Helper()
		i, err := r.client.Head(t.Context(), key, nil)
		r.must(err)
		acl, err := r.client.ObjectACL(t.Context(), key)
		r.must(err)
		if i.Headers.CacheControl != "no-store" || i.Headers.Meta["note"] != "second" || i.Headers.ContentLanguage != "de" ||
			acl.Canned != "public-read" || i.Headers.ContentType != contentType {
			t.Errorf("%s: %+v, ACL %q", key, i.Headers, acl.Canned)
		}
	}
	check("page.html", "text/html; charset=utf-8")
	r.put("tmp.123", []byte("bytes")) // as it was when the mount was killed
	r.must(s.Sync(t.Context(), ""))
	check("tmp.123", octetStream)
}

// TestPropertySetDuringEarlyUpload is not lost to the upload that began before it.
func TestPropertySetDuringEarlyUpload(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MultipartThreshold = 8 * mib })
	h := r.create(r.store, "big", false)
	for i := range 20 {
		r.write(h, random(mib), int64(i)*mib)
	}
	r.must(h.f.SetAttr(func(a *Attr) error {
		return errors.Join(a.SetProperty("storage-class", "STANDARD_IA"), a.SetProperty("acl", "private"))
	}))
	r.close(h)
	r.must(h.f.Fsync(t.Context()))
	i, err := r.client.Head(t.Context(), "big", nil)
	r.must(err)
	acl, err := r.client.ObjectACL(t.Context(), "big")
	r.must(err)
	if i.Headers.StorageClass != "STANDARD_IA" || acl.Canned != "private" {
		t.Errorf("class %q, ACL %q", i.Headers.StorageClass, acl.Canned)
	}
}

// TestPropertiesByName gives new files what rules say about the ends of their names, the first rule first, unless
// somebody chose otherwise.
func TestPropertiesByName(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.NewObjects = NewObjects{CacheControl: "no-cache", Properties: []PropertyRule{
			{".tar.gz", "content-encoding", "x-tar"}, {".gz", "content-encoding", "gzip"}, {".gz", "cache-control", "max-age=1"}, {"", "meta.team", "blue"},
		}}
	})
	tests := []struct{ key, encoding, cache, team string }{
		{"a.tar.gz", "x-tar", "max-age=1", "blue"},
		{"a.gz", "gzip", "max-age=1", "blue"},
		{"a", "", "no-cache", "blue"},
		{"chosen.gz", "br", "max-age=1", "red"},
	}
	for _, tt := range tests {
		h := r.create(r.store, tt.key, false)
		if tt.key == "chosen.gz" {
			r.must(h.f.SetAttr(func(a *Attr) error {
				return errors.Join(a.SetProperty("content-encoding", "br"), a.SetProperty("meta.team", "red"))
			}))
		}
		r.write(h, []byte("x"), 0)
		r.close(h)
		i, err := r.client.Head(t.Context(), tt.key, nil)
		r.must(err)
		if i.Headers.ContentEncoding != tt.encoding || i.Headers.CacheControl != tt.cache || i.Headers.Meta["team"] != tt.team {
			t.Errorf("%s: %+v, want %+v", tt.key, i.Headers, tt)
		}
	}
	if err := (PropertyRule{Name: "content-md5", Value: "x"}).Check(); !errors.Is(err, ErrProperty) {
		t.Errorf("a rule about no property: %v", err)
	}
}
