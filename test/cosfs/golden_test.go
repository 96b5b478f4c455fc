package cosfs

import (
	"bytes"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// must stops the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// golden is an object as another program writes it, and what a mount has to show of it.
type golden struct {
	key, contentType, body string
	meta                   map[string]string
	want                   shown
}

// shown is what a path shows.
type shown struct {
	Path     string
	Mode     uint32 // type bits included
	UID, GID uint32
	Mtime    time.Time // zero: not looked at
	Text     string    // content of a file, target of a link
	Xattrs   map[string]string
}

// look reads what a path shows.
func look(t *testing.T, root, name string) shown {
	t.Helper()
	p := path.Join(root, name)
	var st syscall.Stat_t
	if err := syscall.Lstat(p, &st); err != nil {
		t.Errorf("lstat %q: %v", name, err)
		return shown{Path: name}
	}
	s := shown{Path: name, Mode: st.Mode, UID: st.Uid, GID: st.Gid, Mtime: time.Unix(st.Mtim.Unix()).UTC()}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		target, err := os.Readlink(p)
		must(t, err)
		s.Text = target
		return s
	case syscall.S_IFREG:
		b, err := os.ReadFile(p)
		must(t, err)
		s.Text = string(b)
	}
	s.Xattrs = xattrs(t, p)
	return s
}

// xattrs reads those of users; nil is none.
func xattrs(t *testing.T, p string) map[string]string {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Listxattr(p, list)
	if err != nil {
		t.Errorf("listxattr %s: %v", p, err)
		return nil
	}
	var out map[string]string
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.cos.") {
			continue
		}
		value := make([]byte, 4096)
		n, err := unix.Getxattr(p, name, value)
		must(t, err)
		if out == nil {
			out = map[string]string{}
		}
		out[name] = string(value[:n])
	}
	return out
}

// expect compares what a path shows with what it should.
func expect(t *testing.T, root string, want shown) {
	t.Helper()
	got := look(t, root, want.Path)
	if want.Mtime.IsZero() {
		got.Mtime = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-want +got):\n%s", want.Path, diff)
	}
}

// perm is the metadata of COSFS for an object.
func perm(mode uint32, uid, gid int, mtime string, more ...string) map[string]string {
	m := map[string]string{
		"mode": strconv.FormatUint(uint64(mode), 10), "uid": strconv.Itoa(uid), "gid": strconv.Itoa(gid), "mtime": mtime,
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

const (
	octets    = "application/octet-stream"
	directory = "application/x-directory"
)

// goldenObjects are as COSFS 1.0.25 and s3fs 1.90 wrote them, and as the console makes directories.
var goldenObjects = []golden{
	{"a.txt", "text/plain", "hello\n", perm(0o100640, 1000, 100, "981173106", "xattr", "%7B%22user.bin%22%3A%22AP8K%22%2C%22user.k%22%3A%22dmFs%22%7D"),
		shown{Path: "a.txt", Mode: 0o100640, UID: 1000, GID: 100, Mtime: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Text: "hello\n",
			Xattrs: map[string]string{"user.bin": "\x00\xff\n", "user.k": "val"}}},
	// COSFS makes a directory without type bits, and gives it some when its mode is changed.
	{"made/", octets, "", perm(0o755, 0, 0, "1012709106"), shown{Path: "made", Mode: 0o40755, Mtime: time.Date(2002, 2, 3, 4, 5, 6, 0, time.UTC)}},
	{"changed/", octets, "", perm(0o40750, 12, 34, "1012709106"), shown{Path: "changed", Mode: 0o40750, UID: 12, GID: 34}},
	{"changed/x", octets, "x", perm(0o100644, 0, 0, "1012709106"), shown{Path: "changed/x", Mode: 0o100644, Text: "x"}},
	{"link", octets, "changed/x", perm(0o120777, 0, 0, "1012709106"), shown{Path: "link", Mode: 0o120777, Text: "changed/x"}},
	{"dangling", octets, "nowhere/\u65e5\u672c", perm(0o120777, 0, 0, "1012709106"), shown{Path: "dangling", Mode: 0o120777, Text: "nowhere/\u65e5\u672c"}},
	{"setuid", octets, "", perm(0o104755, 0, 0, "1012709106"), shown{Path: "setuid", Mode: 0o104755}},
	{"fifo", octets, "", perm(0o10644, 0, 0, "1012709106"), shown{Path: "fifo", Mode: 0o10644}},
	// A device's number is not kept by COSFS either: what is left is a file.
	{"device", octets, "", perm(0o20644, 0, 0, "1012709106"), shown{Path: "device", Mode: 0o100644}},
	{"sp ace+plus%25 \u00e9 \u817e\u8baf.txt", "text/plain", "sp\n", perm(0o100644, 0, 0, "1012709106"),
		shown{Path: "sp ace+plus%25 \u00e9 \u817e\u8baf.txt", Mode: 0o100644, Text: "sp\n"}},
	{"new\nline", octets, "", perm(0o100644, 0, 0, "1012709106"), shown{Path: "new\nline", Mode: 0o100644}},
	// s3fs, whose x-amz-meta-* are x-cos-meta-* to COS.
	{"s3fs.txt", "text/plain", "s3", perm(0o100600, 7, 8, "1700000000.123456789", "ctime", "1700000001.5", "atime", "1700000002.000000001"),
		shown{Path: "s3fs.txt", Mode: 0o100600, UID: 7, GID: 8, Mtime: time.Date(2023, 11, 14, 22, 13, 20, 123456789, time.UTC), Text: "s3"}},
	{"s3fs/", directory, "", perm(0o40711, 7, 8, "1700000000.5"), shown{Path: "s3fs", Mode: 0o40711, UID: 7, GID: 8}},
	// Uploaded by others, without a word about permissions.
	{"console/", directory, "", nil, shown{Path: "console", Mode: 0o40755}},
	{"implicit/deep/plain", octets, "p", nil, shown{Path: "implicit/deep/plain", Mode: 0o100644, Text: "p"}},
}

func putGolden(t *testing.T, b *mounttest.Bucket) {
	t.Helper()
	for _, g := range goldenObjects {
		_, err := b.Client.Put(t.Context(), g.key, strings.NewReader(g.body), int64(len(g.body)), &cos.PutOptions{
			Headers: cos.Headers{ContentType: g.contentType, Meta: g.meta},
		})
		must(t, err)
	}
}

// TestWhatOthersWrote checks that each object shows as the program that wrote it shows it.
func TestWhatOthersWrote(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	putGolden(t, b)
	v := b.Mount(t, mounttest.Options{Log: true})
	for _, g := range goldenObjects {
		expect(t, v.Dir, g.want)
	}
	expect(t, v.Dir, shown{Path: "implicit", Mode: 0o40755})
	expect(t, v.Dir, shown{Path: "implicit/deep", Mode: 0o40755})
	entries, err := os.ReadDir(v.Dir)
	must(t, err)
	want := map[string]bool{}
	for _, g := range goldenObjects {
		first, _, _ := strings.Cut(g.key, "/")
		want[first] = true
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Errorf("the directory (-want +got):\n%s", diff)
	}
}

// TestChangesKeepWhatOthersWrote checks that a change of one attribute leaves others', and metadata that is
// not ours, as they were.
func TestChangesKeepWhatOthersWrote(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	putGolden(t, b)
	v := b.Mount(t, mounttest.Options{Log: true})
	must(t, os.Chmod(v.Path("a.txt"), 0o600))
	must(t, os.Chmod(v.Path("s3fs.txt"), 0o644))
	must(t, os.Chown(v.Path("made"), 5, 6))
	must(t, os.Rename(v.Path("link"), v.Path("moved")))
	v.Stop(t)
	tests := []struct {
		key  string
		want map[string]string
	}{
		{"a.txt", perm(0o100600, 1000, 100, "981173106", "xattr", "%7B%22user.bin%22%3A%22AP8K%22%2C%22user.k%22%3A%22dmFs%22%7D")},
		{"s3fs.txt", perm(0o100644, 7, 8, "1700000000", "mtime-ns", "1700000000.123456789", "ctime", "1700000001.5", "atime", "1700000002.000000001")},
		{"made/", perm(0o40755, 5, 6, "1012709106")},
		{"moved", perm(0o120777, 0, 0, "1012709106")},
	}
	for _, tt := range tests {
		info, err := b.Client.Head(t.Context(), tt.key, nil)
		must(t, err)
		if diff := cmp.Diff(tt.want, info.Headers.Meta); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.key, diff)
		}
	}
}

// TestWhatIsWrittenHere checks that objects carry what COSFS reads: decimal modes with the type, whole seconds,
// values in base64 in JSON in URL encoding; links in their body, directories as keys that end in a slash.
func TestWhatIsWrittenHere(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	must(t, os.WriteFile(v.Path("a.txt"), []byte("hello\n"), 0o640))
	must(t, os.Chown(v.Path("a.txt"), 1000, 100))
	must(t, unix.Setxattr(v.Path("a.txt"), "user.bin", []byte("\x00\xff\n"), 0))
	must(t, unix.Setxattr(v.Path("a.txt"), "user.k", []byte("val"), 0))
	must(t, os.Chtimes(v.Path("a.txt"), then, then))
	must(t, os.Mkdir(v.Path("d"), 0o711))
	must(t, os.Chtimes(v.Path("d"), then, then))
	must(t, os.Symlink("a.txt", v.Path("link")))
	must(t, unix.Mkfifo(v.Path("fifo"), 0o600))
	must(t, os.Chtimes(v.Path("fifo"), then, then))
	v.Stop(t)
	tests := []struct {
		key, body string
		want      map[string]string // some of it
	}{
		{"a.txt", "hello\n", perm(0o100640, 1000, 100, "981173106", "xattr", "%7B%22user.bin%22%3A%22AP8K%22%2C%22user.k%22%3A%22dmFs%22%7D")},
		{"d/", "", perm(0o40711, 0, 0, "981173106")},
		{"link", "a.txt", map[string]string{"mode": "41471", "uid": "0", "gid": "0"}},
		{"fifo", "", perm(0o10600, 0, 0, "981173106")},
	}
	for _, tt := range tests {
		r, err := v.Client.Get(t.Context(), tt.key, nil)
		must(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(r.Body)
		must(t, err)
		must(t, r.Body.Close())
		got := maps.Clone(r.Headers.Meta)
		maps.DeleteFunc(got, func(k, _ string) bool { return tt.want[k] == "" })
		if body.String() != tt.body {
			t.Errorf("%s: body %q, want %q", tt.key, &body, tt.body)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.key, diff)
		}
	}
}
