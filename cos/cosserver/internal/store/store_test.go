package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cosfuse/cos/internal/crc64ecma"
)

const bucket = "b-1"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDir(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{NoSync: true})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := s.CreateBucket(Bucket{Name: bucket}); err != nil && !errors.Is(err, ErrBucketExists) {
		t.Fatalf("CreateBucket: %v", err)
	}
	return s
}

func shut(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func stage(t *testing.T, s *Store, body string) *Staged {
	t.Helper()
	st, err := s.Stage(strings.NewReader(body))
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	return st
}

func put(t *testing.T, s *Store, key, body string) {
	t.Helper()
	if _, err := s.Put(bucket, key, stage(t, s, body), Attrs{}, nil); err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
}

func whole(o *Object) (int64, int64, error) { return 0, o.Size, nil }

func get(t *testing.T, s *Store, key string) string {
	t.Helper()
	_, r, err := s.Open(bucket, key, "", whole)
	if err != nil {
		t.Fatalf("Open %q: %v", key, err)
	}
	if r == nil {
		return ""
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	return string(b)
}

// dataFiles lists the files under data/.
func dataFiles(t *testing.T, s *Store) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "data", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func inlineValues(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.scan([]byte{spaceInline}, func(_, _ []byte) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCombineCRC(t *testing.T) {
	if got := crc64ecma.Combine(6748440630437108969, 10278880121275185425, 4); got != 11051210869376104954 {
		t.Errorf("got %d", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		a, b := make([]byte, rng.IntN(1000)), make([]byte, rng.IntN(70000))
		for i := range a {
			a[i] = byte(rng.Uint32())
		}
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		want := crc64ecma.Update(0, append(slices.Clone(a), b...))
		got := crc64ecma.Combine(crc64ecma.Update(0, a), crc64ecma.Update(0, b), int64(len(b)))
		if got != want {
			t.Fatalf("%d+%d bytes: got %d, want %d", len(a), len(b), got, want)
		}
	}
}

func TestEscapedKeysSort(t *testing.T) {
	keys := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "a\x01", "a/", "aa", "b"}
	if !slices.IsSorted(keys) {
		t.Fatal("the test's keys are not in order")
	}
	var encoded [][]byte
	for _, k := range keys {
		e := keyPrefix(spaceUpload, bucket, k)
		encoded = append(encoded, e)
		got, rest, ok := unescape(append(e, "rest"...)[len(bucketPrefix(spaceUpload, bucket)):])
		if got != k || string(rest) != "rest" || !ok {
			t.Errorf("%q comes back as %q, %q, %v", k, got, rest, ok)
		}
	}
	if !slices.IsSortedFunc(encoded, bytes.Compare) {
		t.Errorf("encoded keys are not in order: %q", encoded)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	want := &Object{
		Attrs: Attrs{
			Headers:      []Pair{{"Content-Type", "text/plain"}},
			Meta:         []Pair{{"mode", "33188"}, {"mtime", "1"}},
			StorageClass: "ARCHIVE",
			ACL:          ACL{Canned: "private", Grants: []Grant{{"1", "READ"}}},
			Tags:         []Pair{{"k", "v"}},
			SSE:          SSE{"AES256", "id", "ctx", "sum"},
		},
		Key: "k", Size: 1 << 40, ETag: "e", CRC64: 1<<64 - 1, Modified: time.UnixMilli(1234567).UTC(),
		Appendable: true, DeleteMarker: true, VersionID: "v",
		RestoreReady: time.UnixMilli(5).UTC(), RestoreUntil: time.UnixMilli(6).UTC(),
		id: newID(), seq: 7, extents: []extent{{newFileID(), 0, 5}, {newInlineID(), 6, 7}},
	}
	got, err := unmarshalObject("k", want.marshal())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func FuzzUnmarshalObject(f *testing.F) {
	o := &Object{ETag: "e", extents: []extent{{newFileID(), 0, 5}}}
	f.Add(o.marshal())
	f.Add([]byte{objectVersion, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := unmarshalObject("k", b)
		if err == nil && len(o.extents) > len(b) {
			t.Errorf("%d extents out of %d bytes", len(o.extents), len(b))
		}
	})
}

func TestBodiesGoWithTheirObjects(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer shut(t, s)
	large := strings.Repeat("large ", 10000)
	put(t, s, "a", large)
	put(t, s, "b", "small")
	src := CopySource{Bucket: bucket, Key: "a"}
	keep := func(o *Object) (Attrs, error) { return o.Attrs, nil }
	if _, _, err := s.Copy(src, bucket, "c", keep, nil); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "replaced")
	if n := len(dataFiles(t, s)); n != 1 {
		t.Errorf("%d files while a copy needs 1", n)
	}
	if got := get(t, s, "c"); got != large {
		t.Errorf("copy has %d bytes", len(got))
	}
	for _, k := range []string{"a", "b", "c"} {
		if _, err := s.Delete(bucket, k, "", true); err != nil {
			t.Fatal(err)
		}
	}
	if n, m := len(dataFiles(t, s)), inlineValues(t, s); n+m > 0 {
		t.Errorf("%d files and %d values left of nothing", n, m)
	}
}

func TestReaderOutlivesItsObject(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		s := openDir(t, t.TempDir())
		body := strings.Repeat("x", size)
		put(t, s, "k", body)
		_, r, err := s.Open(bucket, "k", "", whole)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, "k", "")
		got, err := io.ReadAll(r)
		if string(got) != body || err != nil {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		r.Close()
		if n, m := len(dataFiles(t, s)), inlineValues(t, s); n+m > 0 {
			t.Errorf("%d files and %d values left", n, m)
		}
		shut(t, s)
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	large := strings.Repeat("large ", 10000)
	put(t, s, "kept", large)
	put(t, s, "dropped", large)
	// Died while receiving a body: the file is there and nothing names it.
	orphan := stage(t, s, large)
	orphan.done()
	// Died after a delete's commit and before the file went.
	b := s.newBatch()
	if err := s.deleteObject(b, bucket, "dropped"); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(s.sync); err != nil {
		t.Fatal(err)
	}
	if n := len(dataFiles(t, s)); n != 3 {
		t.Fatalf("%d files before the restart, want 3", n)
	}
	shut(t, s)

	s = openDir(t, dir)
	defer shut(t, s)
	if n := len(dataFiles(t, s)); n != 1 {
		t.Errorf("%d files after the restart, want 1", n)
	}
	if got := get(t, s, "kept"); got != large {
		t.Errorf("kept object has %d bytes", len(got))
	}
}

func TestAppendOverwritesATornTail(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer shut(t, s)
	appendTo := func(pos int64, body string) {
		t.Helper()
		if _, err := s.Append(bucket, "log", pos, stage(t, s, body), Attrs{}, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(0, "first ")
	// Died between writing the tail and committing the length.
	f, err := os.OpenFile(dataFiles(t, s)[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "garbage of an append that never was")
	f.Close()
	if got := get(t, s, "log"); got != "first " {
		t.Errorf("got %q", got)
	}
	appendTo(6, "second")
	if got := get(t, s, "log"); got != "first second" {
		t.Errorf("got %q", got)
	}
}

func TestManyAppendsStayOneExtent(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer shut(t, s)
	for i := range int64(2000) {
		if _, err := s.Append(bucket, "log", i*5, stage(t, s, "12345"), Attrs{}, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Head(bucket, "log", "")
	if err != nil || len(o.extents) != 1 || o.Size != 10000 {
		t.Errorf("%d extents, %d bytes, %v", len(o.extents), o.Size, err)
	}
}

func TestSecondProcessIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	s := openDir(t, dir)
	defer shut(t, s)
	if second, err := Open(dir, Options{}); err == nil {
		second.Close()
		t.Error("opened twice")
	}
}

func TestShortBodyLeavesNothing(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer shut(t, s)
	for _, n := range []int{10, 100_000} {
		cut := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), failing{})
		if _, err := s.Stage(cut); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if n := len(dataFiles(t, s)); n != 0 {
		t.Errorf("%d files left", n)
	}
}

// failing is the end of a body that was cut off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestListPagesThroughEverything(t *testing.T) {
	s := openDir(t, t.TempDir())
	defer shut(t, s)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	alphabet := []string{"a", "b", "/", "-", ".", "0", "\x00", "é"}
	keys := map[string]bool{}
	for range 150 {
		k := ""
		for range 1 + rng.IntN(5) {
			k += alphabet[rng.IntN(len(alphabet))]
		}
		keys[k] = true
		put(t, s, k, "")
	}
	for _, prefix := range []string{"", "a", "a/", "zz", "/"} {
		for _, delimiter := range []string{"", "/", "-"} {
			want := expected(keys, prefix, delimiter)
			for _, limit := range []int{1, 2, 7, 1000} {
				var got []string
				q := ListQuery{Prefix: prefix, Delimiter: delimiter, Max: limit}
				for {
					page, err := s.List(bucket, q)
					if err != nil {
						t.Fatal(err)
					}
					if page.len() > limit {
						t.Fatalf("page of %d, asked for %d", page.len(), limit)
					}
					for _, o := range page.Entries {
						got = append(got, o.Key)
					}
					got = append(got, page.CommonPrefixes...)
					if !page.Truncated {
						break
					}
					if page.Next <= q.Marker {
						t.Fatalf("marker goes from %q to %q", q.Marker, page.Next)
					}
					q.Marker = page.Next
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d prefix %q delimiter %q max %d:\n got %q\nwant %q", seed, prefix, delimiter, limit, got, want)
				}
			}
		}
	}
}

// expected lists by looking at every key.
func expected(keys map[string]bool, prefix, delimiter string) []string {
	found := map[string]bool{}
	for k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			k = prefix + rest[:i+len(delimiter)]
		}
		found[k] = true
	}
	out := []string{}
	for k := range found {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
