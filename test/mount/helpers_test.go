package mount

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"cosfuse/cos"
	"cosfuse/test/internal/mounttest"
)

// must stops the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErrno checks that err is errno; 0 is no error.
func wantErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	var got syscall.Errno
	if err != nil && !errors.As(err, &got) {
		t.Errorf("%s: %v has no number", what, err)
		return
	}
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// write makes or replaces a file.
func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o644))
}

// wantFile checks the content of a file.
func wantFile(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

// put stores an object behind the mounts' back.
func put(t testing.TB, b *mounttest.Bucket, key string, content []byte) {
	t.Helper()
	_, err := b.Client.Put(context.Background(), key, bytes.NewReader(content), int64(len(content)), nil)
	must(t, err)
}

// object returns an object's content and properties as they are in the bucket.
func object(t testing.TB, b *mounttest.Bucket, key string) ([]byte, *cos.ObjectInfo) {
	t.Helper()
	r, err := b.Client.Get(context.Background(), key, nil)
	must(t, err)
	defer func() { must(t, r.Body.Close()) }()
	var buf bytes.Buffer
	_, err = buf.ReadFrom(r.Body)
	must(t, err)
	return buf.Bytes(), &r.ObjectInfo
}

// keys lists the bucket.
func keys(t testing.TB, b *mounttest.Bucket) []string {
	t.Helper()
	var out []string
	o := cos.ListOptions{}
	for {
		p, err := b.Client.List(context.Background(), &o)
		must(t, err)
		for _, e := range p.Entries {
			out = append(out, e.Key)
		}
		if !p.Truncated {
			return out
		}
		o.Marker = p.NextMarker
	}
}

// wantKeys checks what the bucket holds.
func wantKeys(t testing.TB, b *mounttest.Bucket, want ...string) {
	t.Helper()
	if got := keys(t, b); !slices.Equal(got, want) {
		t.Errorf("bucket holds %q, want %q", got, want)
	}
}

// names lists a directory.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out
}

// wantNames checks what a directory shows.
func wantNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s shows %q, want %q", filepath.Base(dir), got, want)
	}
}

// noise is n bytes that do not compress; the same seed gives the same.
func noise(seed uint64, n int) []byte {
	rng, p := rand.NewPCG(seed, 1), make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint64())
	}
	return p
}

// stat is lstat(2).
func stat(t testing.TB, path string) syscall.Stat_t {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}
