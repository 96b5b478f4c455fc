package mount

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// setProperties sets extended attributes below user.cos.
func setProperties(t testing.TB, path string, props map[string]string) {
	t.Helper()
	for name, value := range props {
		if err := unix.Setxattr(path, "user.cos."+name, []byte(value), 0); err != nil {
			t.Fatalf("set %s of %s: %v", name, path, err)
		}
	}
}

// property reads an extended attribute below user.cos.
func property(path, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, "user.cos."+name, buf)
	return string(buf[:max(n, 0)]), err
}

// wantProperties reads extended attributes below user.cos.
func wantProperties(t testing.TB, path string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got, err := property(path, name); got != value || err != nil {
			t.Errorf("%s of %s is %q, %v, want %q", name, path, got, err, value)
		}
	}
}

// xattrs lists the names of extended attributes.
func xattrs(t testing.TB, path string) []string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Listxattr(path, buf)
	must(t, err)
	return strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
}

// someProperties is one value of each that can be set.
var someProperties = map[string]string{
	"content-type": "text/x-made-up", "cache-control": "max-age=60", "content-disposition": "inline",
	"content-encoding": "identity", "content-language": "zh-CN", "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
	"storage-class": "STANDARD_IA", "acl": "public-read", "meta.author": "somebody",
}

// TestProperties sets each before the first commit, or on an object that exists, and finds it in COS, after a
// remount, and after the object was overwritten, changed and renamed.
func TestProperties(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	put(t, v.Bucket, "old", []byte("old"))
	v.Server.ResetStats()
	f, err := os.Create(v.Path("new"))
	must(t, err)
	setProperties(t, v.Path("new"), someProperties)
	_, err = f.WriteString("new")
	must(t, err)
	must(t, f.Close())
	if v.Mutations() != 1 || v.Count("PutObject") != 1 {
		t.Errorf("%v, want one put", v.Server.Stats())
	}
	v.Server.ResetStats()
	setProperties(t, v.Path("old"), someProperties)
	must(t, os.Chmod(v.Path("old"), 0o600))
	must(t, v.Store.Sync(t.Context(), ""))
	if v.Mutations() != 1 || v.Count("CopyObject") != 1 {
		t.Errorf("%v, want one copy", v.Server.Stats())
	}
	steps := []struct {
		name string
		do   func(path string)
	}{
		{"set", func(string) {}},
		{"overwritten", func(path string) { write(t, path, []byte("overwritten")) }},
		{"cut", func(path string) { must(t, os.Truncate(path, 3)) }},
		{"touched", func(path string) { must(t, os.Chmod(path, 0o640)) }},
		{"renamed", func(path string) { must(t, os.Rename(path, path+".txt")); must(t, os.Rename(path+".txt", path)) }},
	}
	for _, step := range steps {
		for _, key := range []string{"new", "old"} {
			step.do(v.Path(key))
			wantProperties(t, v.Path(key), someProperties)
		}
		v.Remount(t)
		for _, key := range []string{"new", "old"} {
			wantProperties(t, v.Path(key), someProperties)
			_, i := object(t, v.Bucket, key)
			acl, err := v.Client.ObjectACL(context.Background(), key)
			must(t, err)
			if h := i.Headers; h.ContentType != "text/x-made-up" || h.StorageClass != "STANDARD_IA" || h.Meta["author"] != "somebody" || acl.Canned != "public-read" {
				t.Errorf("%s, %s: the object has %+v, ACL %q", key, step.name, h, acl.Canned)
			}
		}
	}
	must(t, unix.Removexattr(v.Path("old"), "user.cos.cache-control"))
	must(t, unix.Removexattr(v.Path("old"), "user.cos.storage-class"))
	must(t, unix.Removexattr(v.Path("old"), "user.cos.meta.author"))
	v.Remount(t)
	wantProperties(t, v.Path("old"), map[string]string{"storage-class": "STANDARD"})
	for _, name := range []string{"cache-control", "meta.author"} {
		_, err := property(v.Path("old"), name)
		wantErrno(t, "get the removed "+name, err, syscall.ENODATA)
	}
}

// TestPropertiesOfTheService can be read and not be set.
func TestPropertiesOfTheService(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	_, err := v.Client.Put(t.Context(), "f", bytes.NewReader([]byte("hello")), 5, nil)
	must(t, err)
	log, err := os.OpenFile(v.Path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(t, err)
	_, err = log.WriteString("line")
	must(t, err)
	must(t, log.Close())
	_, i := object(t, v.Bucket, "f")
	wantProperties(t, v.Path("f"), map[string]string{"etag": i.ETag, "crc64": "11177612005948864433", "object-type": "normal", "acl": "default"})
	wantProperties(t, v.Path("log"), map[string]string{"object-type": "appendable"})
	for _, name := range []string{"etag", "crc64", "object-type", "version-id", "meta.mode", "meta.uid"} {
		wantErrno(t, "set "+name, unix.Setxattr(v.Path("f"), "user.cos."+name, []byte("1"), 0), syscall.EPERM)
	}
	_, err = property(v.Path("f"), "version-id")
	wantErrno(t, "version in a bucket without", err, syscall.ENODATA)
	f, err := os.OpenFile(v.Path("f"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString("H")
	must(t, err)
	_, err = property(v.Path("f"), "etag")
	wantErrno(t, "ETag of what is being written", err, syscall.ENODATA)
	must(t, f.Close())
}

// TestPropertyErrors are those of COS's rules, at setxattr.
func TestPropertyErrors(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), []byte("x"))
	tests := []struct {
		name, value string
		flags       int
		want        syscall.Errno
	}{
		{"storage-class", "GOLD", 0, syscall.EINVAL},
		{"acl", "everybody", 0, syscall.EINVAL},
		{"expires", "soon", 0, syscall.EINVAL},
		{"cache-control", "", 0, syscall.EINVAL},
		{"cache-control", "a\nb", 0, syscall.EINVAL},
		{"cache-control", strings.Repeat("x", 3000), 0, syscall.E2BIG},
		{"cache-control", "no-store", unix.XATTR_REPLACE, syscall.ENODATA},
		{"content-type", "text/x", unix.XATTR_CREATE, syscall.EEXIST},
		{"meta.under_score", "x", 0, syscall.EINVAL},
		{"meta.UPPER", "x", 0, syscall.EINVAL},
		{"meta.ascii", "é", 0, syscall.EINVAL},
		{"meta.large", strings.Repeat("x", 2000), 0, syscall.ENOSPC},
		{"colour", "red", 0, syscall.EINVAL},
	}
	for _, tt := range tests {
		err := unix.Setxattr(v.Path("f"), "user.cos."+tt.name, []byte(tt.value), tt.flags)
		wantErrno(t, tt.name, err, tt.want)
	}
	wantErrno(t, "remove what is not there", unix.Removexattr(v.Path("f"), "user.cos.expires"), syscall.ENODATA)
	if got := xattrs(t, v.Path("f")); len(got) != 0 {
		t.Errorf("attributes %q after refusals", got)
	}
}

// TestPropertiesAreCopied lists what says something, so that cp -a takes it along, in the copy's one request.
func TestPropertiesAreCopied(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("a.txt"), noise(1, 1000))
	if got := xattrs(t, v.Path("a.txt")); len(got) != 0 {
		t.Errorf("a plain file lists %q", got)
	}
	setProperties(t, v.Path("a.txt"), someProperties)
	must(t, unix.Setxattr(v.Path("a.txt"), "user.own", []byte("1"), 0))
	want := []string{"user.cos.cache-control", "user.cos.content-disposition", "user.cos.content-encoding", "user.cos.content-language",
		"user.cos.content-type", "user.cos.expires", "user.cos.storage-class", "user.cos.meta.author", "user.own"}
	if got := xattrs(t, v.Path("a.txt")); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	must(t, v.Store.Sync(t.Context(), ""))
	v.Server.ResetStats()
	out, err := exec.CommandContext(t.Context(), "cp", "-a", v.Path("a.txt"), v.Path("b.txt")).CombinedOutput()
	if err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}
	must(t, v.Store.Sync(t.Context(), ""))
	if v.Mutations() > 2 { // cp -a sets attributes before it writes, and times after: at most one copy more
		t.Errorf("%v, want one copy, and perhaps one for the attributes", v.Server.Stats())
	}
	v.Remount(t)
	if got := xattrs(t, v.Path("b.txt")); !slices.Equal(got, want) {
		t.Errorf("the copy lists %q, want %q", got, want)
	}
	wantProperties(t, v.Path("b.txt"), map[string]string{"meta.author": "somebody", "content-type": "text/x-made-up", "acl": "default"})
}

// TestContentTypeFollowsTheName of a file, also if it was written under another one, unless somebody chose it.
func TestContentTypeFollowsTheName(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("page.html"), []byte("<p>"))
	write(t, v.Path(".photo.jpg.Ab12"), []byte("jpeg"))
	must(t, os.Rename(v.Path(".photo.jpg.Ab12"), v.Path("photo.jpg")))
	write(t, v.Path("chosen.html"), []byte("x"))
	setProperties(t, v.Path("chosen.html"), map[string]string{"content-type": "text/plain"})
	must(t, os.Rename(v.Path("chosen.html"), v.Path("chosen.png")))
	write(t, v.Path("none"), []byte("x"))
	put(t, v.Bucket, "theirs.css", []byte("theirs"))
	write(t, v.Path("theirs.css"), []byte("ours"))
	must(t, os.Symlink("page.html", v.Path("link.html")))
	must(t, v.Store.Sync(t.Context(), ""))
	for key, want := range map[string]string{
		"page.html": "text/html; charset=utf-8", "photo.jpg": "image/jpeg", "chosen.png": "text/plain", "none": "application/octet-stream",
		"theirs.css": "application/octet-stream", // as it was: kept
		"link.html":  "application/octet-stream",
	} {
		_, i := object(t, v.Bucket, key)
		if i.Headers.ContentType != want {
			t.Errorf("%s has type %q, want %q", key, i.Headers.ContentType, want)
		}
	}
}

// TestDefaultsOfNewObjects come with the mount.
func TestDefaultsOfNewObjects(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Store: writeback.Options{NewObjects: writeback.NewObjects{
		CacheControl: "no-cache", ACL: "private", SSE: cos.SSE{Algorithm: "AES256"},
		Classes: []writeback.ClassRule{{Pattern: "*.log", Class: "STANDARD_IA"}},
	}}})
	must(t, os.Mkdir(v.Path("d"), 0o755))
	f, err := os.Create(v.Path("d/a.log"))
	must(t, err)
	wantProperties(t, f.Name(), map[string]string{"storage-class": "STANDARD_IA", "acl": "private", "cache-control": "no-cache"})
	must(t, f.Close())
	must(t, v.Store.Sync(t.Context(), ""))
	for _, key := range []string{"d/", "d/a.log"} {
		_, i := object(t, v.Bucket, key)
		acl, err := v.Client.ObjectACL(context.Background(), key)
		must(t, err)
		if i.Headers.SSE.Algorithm != "AES256" || acl.Canned != "private" || (i.Headers.StorageClass == "STANDARD_IA") != (key == "d/a.log") {
			t.Errorf("%s: %+v, ACL %q", key, i.Headers, acl.Canned)
		}
	}
}

// TestPropertyRefusedByTheService shows at fsync; what was asked for is kept.
func TestPropertyRefusedByTheService(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), []byte("x"))
	f, err := os.OpenFile(v.Path("f"), os.O_RDWR, 0)
	must(t, err)
	lift := v.Server.AddRule(cosserver.Rule{Op: "CopyObject", Action: cosserver.Fail, Status: 403})
	setProperties(t, f.Name(), map[string]string{"acl": "public-read"})
	wantErrno(t, "fsync", f.Sync(), syscall.EACCES)
	lift()
	wantProperties(t, f.Name(), map[string]string{"acl": "public-read"})
	must(t, f.Sync())
	must(t, f.Close())
	acl, err := v.Client.ObjectACL(context.Background(), "f")
	must(t, err)
	if acl.Canned != "public-read" {
		t.Errorf("ACL %q", acl.Canned)
	}
}
