package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cosfuse/cos"
	"cosfuse/test/internal/mounttest"
)

// oddNames are hard on one of the ways that a name takes: paths of URLs and their escapes, headers, XML, the
// shell of whoever writes the next tool.
func oddNames() []string {
	odd := []string{
		" ", "  leading", "trailing ", "in  side", "-", "--", "-rf", "~", "...", ".hidden", "trailing.", ". .", "..a", "a..",
		"%", "%%", "%2F", "..%2f", "%2e%2e", "%00", "%zz", "100%", "a%20b", "+", "a+b", "a b", "?", "a?b=c&d=e", "#", "a#b", "&amp;", "<a>", "]]>", `"`, "'",
		"\\", "a\\b", "\\x", "..\\", ";", ":", "a:b", "|", "*", "[a-z]", "{a,b}", "$HOME", "`id`", "!", "@", "=", ",", "(", "^",
		"caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "\u0041\u030a", // the same to the eye, not to the bucket
		"\u65e5\u672c", "\u0434\u0430", "\u05d0\u05d1", "\u200f", "\u200b", "\u00a0", "\u2028", "\u0085", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U0001f4c4", "\U0010ffff",
		"UPPER", "upper", "CON", "nul", "_$folder$", "x_$folder$", "index.html", "xml", "acl", "uploads",
		strings.Repeat("n", 255), strings.Repeat("\u00e9", 127) + "n", strings.Repeat("\U0001f4c4", 63) + "abc",
	}
	for c := range 0x20 {
		if c != 0 && !strings.ContainsRune(cos.RefusedInKeys, rune(c)) {
			odd = append(odd, fmt.Sprintf("ctl%c%02x", c, c))
		}
	}
	odd = append(odd, "\n", "\t", "\r", "\r\n", "\x01", "\x7f", "del\x7f")
	slices.Sort(odd)
	return odd
}

// TestNamesRoundTrip checks that every name that the bucket can hold is kept as it is, as a file's, a directory's
// and a link's, whoever made it, through renames, and through a remount with empty caches.
func TestNamesRoundTrip(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	odd := oddNames()
	for _, dir := range []string{"files", "dirs", "links", "moved"} {
		must(t, os.Mkdir(v.Path(dir), 0o755))
	}
	for _, name := range odd {
		must(t, os.WriteFile(raw(v, "files", name), []byte(name), 0o644))
		must(t, os.Mkdir(raw(v, "dirs", name), 0o755))
		must(t, os.WriteFile(raw(v, "dirs", name, name), []byte(name), 0o644))
		must(t, os.Symlink(name, raw(v, "links", name)))
		put(t, v.Bucket, "theirs/"+name, []byte(name))
	}
	v.Remount(t)
	for _, dir := range []string{"files", "dirs", "links", "theirs"} {
		wantSet(t, dir, names(t, v.Path(dir)), odd)
	}
	for _, name := range odd {
		wantFile(t, raw(v, "files", name), []byte(name))
		wantFile(t, raw(v, "dirs", name, name), []byte(name))
		wantFile(t, raw(v, "theirs", name), []byte(name))
		if target, err := os.Readlink(raw(v, "links", name)); err != nil || target != name {
			t.Errorf("link %q leads to %q, %v", name, target, err)
		}
	}
	for i, name := range odd { // copies name their source in a header, deletions in XML
		must(t, os.Rename(raw(v, "files", name), raw(v, "moved", name)))
		must(t, os.Rename(raw(v, "dirs", name), raw(v, "moved", "d"+fmt.Sprint(i))))
		must(t, os.Remove(raw(v, "theirs", name)))
	}
	must(t, os.RemoveAll(v.Path("links")))
	v.Remount(t)
	for i, name := range odd {
		wantFile(t, raw(v, "moved", name), []byte(name))
		wantFile(t, raw(v, "moved", "d"+fmt.Sprint(i), name), []byte(name))
	}
	v.Stop(t)
	want := []string{"dirs/", "files/", "moved/", "theirs/"}
	for i, name := range odd {
		dir := fmt.Sprintf("moved/d%d/", i)
		want = append(want, "moved/"+name, dir, dir+name)
	}
	slices.Sort(want)
	wantSet(t, "the bucket", keys(t, v.Bucket), want)
}

// raw is a path below the mount whose names nobody cleans.
func raw(v *mounttest.Volume, parts ...string) string {
	return v.Dir + "/" + strings.Join(parts, "/")
}

// wantSet compares names in any order.
func wantSet(t *testing.T, what string, got, want []string) {
	t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names in %s (-want +got):\n%s", what, diff)
	}
}

// TestNamesTheBucketCannotHold checks that a name is refused when it is made, and that no other is made in its
// place.
func TestNamesTheBucketCannotHold(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("f"), []byte("x"))
	// With the names above it, which take 251 bytes each: a key of exactly 850 bytes, and one of 851.
	deep := v.Dir
	for range 3 {
		deep = filepath.Join(deep, strings.Repeat("k", 250))
		must(t, os.Mkdir(deep, 0o755))
	}
	longest := deep + "/" + strings.Repeat("l", cos.MaxKeyBytes-3*251)
	write(t, longest, []byte("850 bytes"))
	tests := []struct {
		name, path string
		want       syscall.Errno
	}{
		{"not UTF-8", raw(v, "\xff"), syscall.EILSEQ},
		{"latin 1", raw(v, "caf\xe9"), syscall.EILSEQ},
		{"half a surrogate pair", raw(v, "\xed\xa0\x80"), syscall.EILSEQ},
		{"overlong", raw(v, "\xc0\xaf"), syscall.EILSEQ},
		{"cut short", raw(v, "\xe6\x97"), syscall.EILSEQ},
		{"refused control character", raw(v, "a\x1bb"), syscall.EILSEQ},
		{"256 bytes", raw(v, strings.Repeat("n", 256)), syscall.ENAMETOOLONG},
		{"256 bytes in 128 letters", raw(v, strings.Repeat("\u00e9", 128)), syscall.ENAMETOOLONG},
		{"851 bytes of key", longest + "l", syscall.ENAMETOOLONG},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := os.Create(tt.path)
			wantErrno(t, "create", err, tt.want)
			wantErrno(t, "mkdir", syscall.Mkdir(tt.path, 0o755), tt.want)
			wantErrno(t, "symlink", syscall.Symlink("f", tt.path), tt.want)
			wantErrno(t, "mknod", syscall.Mknod(tt.path, syscall.S_IFIFO|0o600, 0), tt.want)
			wantErrno(t, "rename", syscall.Rename(v.Path("f"), tt.path), tt.want)
			var st syscall.Stat_t
			if err := syscall.Lstat(tt.path, &st); err == nil {
				t.Error("something is there")
			}
		})
	}
	wantErrno(t, "mkdir of a key of 850 bytes, and a slash", syscall.Mkdir(deep+"/"+strings.Repeat("m", cos.MaxKeyBytes-3*251), 0o755), syscall.ENAMETOOLONG)
	v.Remount(t)
	wantFile(t, longest, []byte("850 bytes"))
	wantNames(t, v.Dir, "f", strings.Repeat("k", 250))
	wantNames(t, deep, strings.Repeat("l", cos.MaxKeyBytes-3*251))
}
