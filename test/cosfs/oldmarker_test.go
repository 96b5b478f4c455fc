package cosfs

import (
	"os"
	"path/filepath"
	"slices"
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

// oldMarkers are directories as early versions made them: keys without a slash.
func oldMarkers(t *testing.T, b *mounttest.Bucket) {
	t.Helper()
	mode := map[string]string{"mode": "16872", "uid": "5", "gid": "6", "mtime": "1000000000"} // 040750
	for _, o := range []struct {
		key, contentType, body string
		meta                   map[string]string
	}{
		{"empty", octets, "", mode},
		{"full", directory, "", mode},
		{"full/x", octets, "x", nil},
		{"renewed", directory, "", mode},
		{"renewed/", directory, "", map[string]string{"mode": "16832"}}, // 040700: COSFS made a new one beside it
		{"bare", directory, "", nil},
		{"permissions", directory, "", map[string]string{"mode": "448"}},
		// No directories: an empty file of another type, one with content, one beside a directory.
		{"file", directory, "", map[string]string{"mode": "33188"}},
		{"content", directory, "content", nil},
		{"beside", octets, "", nil},
		{"beside/x", octets, "x", nil},
	} {
		_, err := b.Client.Put(t.Context(), o.key, strings.NewReader(o.body), int64(len(o.body)), &cos.PutOptions{
			Headers: cos.Headers{ContentType: o.contentType, Meta: o.meta},
		})
		must(t, err)
	}
}

// list is the names that a directory shows, each with its type looked up: "/" behind a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		name := e.Name()
		if info.IsDir() {
			name += "/"
		}
		out = append(out, name)
	}
	return out
}

// keys are those of the bucket.
func keys(t *testing.T, b *mounttest.Bucket) []string {
	t.Helper()
	p, err := b.Client.List(t.Context(), &cos.ListOptions{})
	must(t, err)
	var out []string
	for _, e := range p.Entries {
		out = append(out, e.Key)
	}
	return out
}

// TestOldMarkers checks that old markers show as directories, whether they are listed first or looked up first.
func TestOldMarkers(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	oldMarkers(t, b)
	before := keys(t, b)
	then := time.Unix(1e9, 0).UTC()
	want := []shown{
		{Path: "empty", Mode: 0o40750, UID: 5, GID: 6, Mtime: then},
		{Path: "full", Mode: 0o40750, UID: 5, GID: 6, Mtime: then},
		{Path: "full/x", Mode: 0o100644, Text: "x"},
		{Path: "renewed", Mode: 0o40700},
		{Path: "bare", Mode: 0o40755},
		{Path: "permissions", Mode: 0o40700},
		{Path: "file", Mode: 0o100644},
		{Path: "content", Mode: 0o100644, Text: "content"},
		{Path: "beside", Mode: 0o40755},
		{Path: "beside.~object", Mode: 0o100644},
	}
	names := []string{"bare/", "beside/", "beside.~object", "content", "empty/", "file", "full/", "permissions/", "renewed/"}
	for _, first := range []string{"listed", "looked up"} {
		t.Run(first, func(t *testing.T) {
			v := b.Mount(t, mounttest.Options{Log: true})
			check := []func(){
				func() {
					if diff := cmp.Diff(names, list(t, v.Dir)); diff != "" {
						t.Errorf("the directory (-want +got):\n%s", diff)
					}
					for _, dir := range []string{"empty", "bare"} {
						if got := list(t, v.Path(dir)); len(got) != 0 {
							t.Errorf("%s shows %q", dir, got)
						}
					}
				},
				func() {
					for _, s := range want {
						expect(t, v.Dir, s)
					}
				},
			}
			if first == "looked up" {
				slices.Reverse(check)
			}
			for _, f := range append(check, check...) {
				f()
			}
			var st syscall.Stat_t
			if err := syscall.Lstat(v.Path("full.~object"), &st); err == nil {
				t.Error("an old marker has a name of its own")
			}
		})
	}
	if diff := cmp.Diff(before, keys(t, b)); diff != "" {
		t.Errorf("looking changed the bucket (-want +got):\n%s", diff)
	}
}

// TestChangesOfOldMarkers checks that what changes a directory with an old marker leaves one of today, or none.
func TestChangesOfOldMarkers(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	oldMarkers(t, b)
	v := b.Mount(t, mounttest.Options{Log: true})
	must(t, os.Mkdir(v.Path("new"), 0o755))
	if err := os.Remove(v.Path("full")); !os.IsExist(err) { // ENOTEMPTY is one of those
		t.Errorf("rmdir of a directory with a file: %v", err)
	}
	must(t, os.Chmod(v.Path("full"), 0o700))
	must(t, os.Remove(v.Path("empty")))
	must(t, os.Remove(v.Path("renewed")))
	must(t, unix.Setxattr(v.Path("permissions"), "user.k", []byte("v"), 0))
	must(t, os.Rename(v.Path("full"), v.Path("moved")))
	must(t, os.WriteFile(v.Path("bare", "f"), []byte("f"), 0o644))
	must(t, os.Rename(v.Path("beside"), v.Path("new", "beside")))
	must(t, os.Mkdir(v.Path("empty"), 0o711)) // anew
	v.Remount(t)
	want := []string{"bare/", "beside", "content", "empty/", "file", "moved/", "new/", "permissions/"}
	if diff := cmp.Diff(want, list(t, v.Dir)); diff != "" {
		t.Errorf("the directory (-want +got):\n%s", diff)
	}
	expect(t, v.Dir, shown{Path: "moved", Mode: 0o40700, UID: 5, GID: 6, Mtime: time.Unix(1e9, 0).UTC()})
	expect(t, v.Dir, shown{Path: "empty", Mode: 0o40711})
	expect(t, v.Dir, shown{Path: filepath.Join("bare", "f"), Mode: 0o100644, Text: "f"})
	expect(t, v.Dir, shown{Path: "permissions", Mode: 0o40700, Xattrs: map[string]string{"user.k": "v"}})
	v.Stop(t)
	wantKeys := []string{"bare", "bare/f", "beside", "content", "empty/", "file", "moved/", "moved/x", "new/", "new/beside/x", "permissions/"}
	if diff := cmp.Diff(wantKeys, keys(t, b)); diff != "" {
		t.Errorf("the bucket (-want +got):\n%s", diff)
	}
}
