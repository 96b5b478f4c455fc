package mount

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// long reports whether the long form of a test was asked for.
func long() bool { return os.Getenv("COSFUSE_LONG") != "" }

// latency is that of the distant service that the look-ahead is for.
const latency = 15 * time.Millisecond

// putTree stores files spread over directories that have markers, and returns them by key.
func putTree(t testing.TB, b *mounttest.Bucket, files, size int, dirs []string) map[string][]byte {
	t.Helper()
	tree := make(map[string][]byte)
	for _, dir := range dirs {
		for d := dir; d != "."; d = filepath.Dir(d) {
			tree[d+"/"] = nil
		}
	}
	for i := range files {
		tree[fmt.Sprintf("%s/f%03d", dirs[i%len(dirs)], i/len(dirs))] = noise(uint64(i), size)
	}
	var g errgroup.Group
	g.SetLimit(8)
	for key, content := range tree {
		g.Go(func() error {
			_, err := b.Client.Put(t.Context(), key, bytes.NewReader(content), int64(len(content)), nil)
			return err
		})
	}
	must(t, g.Wait())
	return tree
}

// numbered are n names.
func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return names
}

// nested are n directories in each of n.
func nested(n int) []string {
	var names []string
	for _, top := range numbered("t", n) {
		for _, sub := range numbered("s", n) {
			names = append(names, top+"/"+sub)
		}
	}
	return names
}

// wantTar checks that an archive holds the files of tree.
func wantTar(t testing.TB, path string, tree map[string][]byte) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	r, seen := tar.NewReader(f), 0
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		seen++
		name := strings.TrimPrefix(h.Name, "./")
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, tree[name]) {
			t.Errorf("%s: %d bytes in the archive, error %v, want %d", name, len(got), err, len(tree[name]))
		}
	}
	files := 0
	for key := range tree {
		if !strings.HasSuffix(key, "/") {
			files++
		}
	}
	if seen != files {
		t.Errorf("%d files in the archive, want %d", seen, files)
	}
}

// TestTarOfColdTree counts what reading a tree of small files in order asks for. In the long form, with
// as many files as that takes, it measures that their round trips overlap.
func TestTarOfColdTree(t *testing.T) {
	forms := []struct {
		name  string
		dirs  []string
		files int
	}{
		{"flat", numbered("d", 32), 250},
		{"nested", nested(6), 250},
	}
	if long() {
		forms[0].dirs, forms[0].files = numbered("d", 256), 2000
		forms[1].dirs, forms[1].files = nested(16), 2000
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{})
			tree := putTree(t, v.Bucket, form.files, 30_000, form.dirs)
			v.Server.SetShape(cosserver.Shape{Latency: latency})
			v.Server.ResetStats()
			archive := filepath.Join(t.TempDir(), "tree.tar")
			began := time.Now()
			out, err := exec.CommandContext(t.Context(), "tar", "-cf", archive, "-C", v.Dir, ".").CombinedOutput()
			took := time.Since(began)
			if err != nil {
				t.Fatalf("tar: %v\n%s", err, out)
			}
			dirs := len(tree) - form.files
			gets, heads, lists := v.Count("GetObject"), v.Count("HeadObject"), v.Count("ListObjects")
			t.Logf("%d files in %d directories: %v, %d GET, %d HEAD, %d LIST, %d bytes", form.files, dirs, took,
				gets, heads, lists, v.Server.Stats()["GetObject"].BytesOut)
			if gets > int64(form.files) || heads > int64(form.files+dirs) || lists > int64(dirs)+2 {
				t.Errorf("%d GET, %d HEAD, %d LIST, want at most %d, %d, %d", gets, heads, lists, form.files, form.files+dirs, dirs+2)
			}
			wantTar(t, archive, tree)
			if !long() {
				return
			}
			if serial := time.Duration(form.files) * roundTrip(t, v.Bucket); took > serial/8 {
				t.Errorf("took %v, one round trip after the other for each file %v: want an eighth", took, serial)
			}
		})
	}
}

// roundTrip is how long a request takes by itself.
func roundTrip(t testing.TB, b *mounttest.Bucket) time.Duration {
	t.Helper()
	const n = 30
	began := time.Now()
	for range n {
		_, err := b.Client.HeadBucket(t.Context())
		must(t, err)
	}
	return time.Since(began) / n
}

// TestRandomOpensFetchNothingElse checks that files read in no order are all that is fetched.
func TestRandomOpensFetchNothingElse(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	putTree(t, v.Bucket, 400, 20_000, []string{"d"})
	names(t, v.Path("d"))
	v.Server.ResetStats()
	const opens = 60
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(400)[:opens] {
		name := fmt.Sprintf("d/f%03d", i)
		wantFile(t, v.Path(name), noise(uint64(i), 20_000))
	}
	if gets := v.Count("GetObject"); gets > opens+opens/10 {
		t.Errorf("%d GETs for %d files", gets, opens)
	}
}
