package writeback

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cosfuse/cos"
)

// TestAttrRoundTrip stores attributes in metadata and reads them back.
func TestAttrRoundTrip(t *testing.T) {
	tests := []struct {
		name, key string
		a         Attr
	}{
		{"file", "a", Attr{Mode: syscall.S_IFREG | 0o4755, UID: 1, GID: 4294967294, Mtime: time.Unix(1700000000, 0)}},
		{"nanoseconds", "a", Attr{Mode: syscall.S_IFREG | 0o600, Mtime: time.Unix(1700000000, 123)}},
		{"before 1970", "a", Attr{Mode: syscall.S_IFREG | 0o600, Mtime: time.Unix(-5, 0)}},
		{"symlink", "a", Attr{Mode: syscall.S_IFLNK | 0o777, Mtime: time.Unix(1, 0)}},
		{"fifo", "a", Attr{Mode: syscall.S_IFIFO | 0o644, Mtime: time.Unix(1, 0)}},
		{"directory", "a/", Attr{Mode: syscall.S_IFDIR | 0o1777, Mtime: time.Unix(1, 0), Headers: cos.Headers{ContentType: dirContentType}}},
		{"xattrs", "a", Attr{Mode: syscall.S_IFREG, Xattrs: map[string][]byte{"user.x": {0, 255, '+'}, "user.ü": []byte("")}}},
		{"others' headers", "a", Attr{Mode: syscall.S_IFREG, Headers: cos.Headers{CacheControl: "no-store", Meta: map[string]string{"theirs": "1"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.Known = true
			h, err := tt.a.encode(tt.key, true)
			if err != nil {
				t.Fatal(err)
			}
			got := DecodeAttr(&cos.ObjectInfo{Key: tt.key, Headers: h}, AttrDefaults{UID: 7})
			tt.a.Headers.ContentType = defaultType(tt.key, tt.a.Mode) // nobody chose one
			if d := cmp.Diff(tt.a, got); d != "" {
				t.Fatalf("-want +got\n%s", d)
			}
		})
	}
}

// TestAttrForeign reads what other tools write, and survives what nobody should.
func TestAttrForeign(t *testing.T) {
	def := AttrDefaults{FileMode: 0o640, DirMode: 0o750, UID: 7, GID: 8}
	tests := []struct {
		name, key string
		meta      map[string]string
		mode      uint32
		mtime     time.Time
	}{
		{"nothing", "a", nil, syscall.S_IFREG | 0o640, time.Time{}},
		{"nothing, directory", "a/", nil, syscall.S_IFDIR | 0o750, time.Time{}},
		{"mode without type", "a", map[string]string{"mode": "420"}, syscall.S_IFREG | 0o644, time.Time{}},
		{"marker with a file's mode", "a/", map[string]string{"mode": "33188"}, syscall.S_IFDIR | 0o644, time.Time{}},
		{"device", "a", map[string]string{"mode": "24996"}, syscall.S_IFREG | 0o644, time.Time{}},
		{"fraction", "a", map[string]string{"mtime": "5.25"}, syscall.S_IFREG | 0o640, time.Unix(5, 250000000)},
		{"stale nanoseconds", "a", map[string]string{"mtime": "6", "mtime-ns": "5.000000001"}, syscall.S_IFREG | 0o640, time.Unix(6, 0)},
		{"garbage", "a", map[string]string{"mode": "rw", "mtime": "5.x", "uid": "-1", "xattr": "%zz"}, syscall.S_IFREG | 0o640, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := DecodeAttr(&cos.ObjectInfo{Key: tt.key, Headers: cos.Headers{Meta: tt.meta}}, def)
			if got.Mode != tt.mode || !got.Mtime.Equal(tt.mtime) || got.UID != 7 {
				t.Fatalf("got mode %o mtime %v uid %d, want %o %v 7", got.Mode, got.Mtime, got.UID, tt.mode, tt.mtime)
			}
		})
	}
}

// TestAttrXattrFormat pins the form that COSFS and s3fs read.
func TestAttrXattrFormat(t *testing.T) {
	a := Attr{Mode: syscall.S_IFREG, Xattrs: map[string][]byte{"user.k": []byte("v")}}
	h, err := a.encode("a", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.Meta["xattr"], "%7B%22user.k%22%3A%22dg%3D%3D%22%7D"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// TestAttrTooLarge refuses what the service would refuse later.
func TestAttrTooLarge(t *testing.T) {
	a := Attr{Mode: syscall.S_IFREG, Xattrs: map[string][]byte{"user.k": []byte(strings.Repeat("x", 2000))}}
	if err := a.checkFit("a"); !errors.Is(err, ErrMetaTooLarge) {
		t.Fatalf("got %v, want ErrMetaTooLarge", err)
	}
}
