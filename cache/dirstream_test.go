package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parts reads a stream to its end.
func parts(t *testing.T, s *ListingStream) [][]Entry {
	t.Helper()
	var out [][]Entry
	for {
		part, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, part)
	}
}

func openStream(t *testing.T, d *Dirs, prefix string) *ListingStream {
	t.Helper()
	s, err := d.Stream(t.Context(), prefix, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestPartsTellAllOfAName cuts pages at every place where a file and the directory of the same name, or one
// prefix told twice, are on two sides of the cut.
func TestPartsTellAllOfAName(t *testing.T) {
	keys := []string{"a", "a-", "a.", "a./x", "a/x", "a/y", "a0", "b", "b!", "b!!", "b!!/x", "b!/x", "b/x", "c"}
	want := []string{"a", "a/", "a-", "a.", "a./", "a0", "b", "b/", "b!", "b!/", "b!!", "b!!/", "c"}
	for perPage := 1; perPage <= len(keys); perPage++ {
		b := newBucket(perPage, keys...)
		d := newTestDirs(t, DirsOptions{}, b.list)
		s := openStream(t, d, "")
		where := make(map[string]int) // part of each name
		var all []Entry
		for i, part := range parts(t, s) {
			for j, e := range part {
				if j > 0 && compareEntries(part[j-1], e) >= 0 {
					t.Errorf("%d a page: %v before %v", perPage, part[j-1], e)
				}
				if at, ok := where[e.Name]; ok && at != i {
					t.Errorf("%d a page: %q is told by parts %d and %d", perPage, e.Name, at, i)
				}
				where[e.Name] = i
			}
			all = append(all, part...)
		}
		l, err := s.Listing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, names(l.Entries)); diff != "" || len(all) != len(want) {
			t.Errorf("%d a page: %d entries in parts: %s", perPage, len(all), diff)
		}
	}
}

// TestPrefixToldTwice has a service tell a common prefix again because the marker was a key below it.
func TestPrefixToldTwice(t *testing.T) {
	pages := map[string]*Page{
		"":      {Prefixes: []string{"a/"}, Next: "a/zzz"},
		"a/zzz": {Prefixes: []string{"a/"}, Entries: []RawEntry{{Key: "b", ETag: "e"}}},
	}
	d := newTestDirs(t, DirsOptions{}, func(_ context.Context, _, marker string) (*Page, error) { return pages[marker], nil })
	s := openStream(t, d, "")
	var got []string
	for _, part := range parts(t, s) {
		got = append(got, names(part)...)
	}
	if diff := cmp.Diff([]string{"a/", "b"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestPagesAreAskedForOnDemand checks that who looks at the first page pays for one.
func TestPagesAreAskedForOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(1, "", "d/a", "d/b", "d/c", "d/d", "d/e")
		d := NewDirs(context.Background(), DirsOptions{}, b.list)
		defer d.Close()
		s, err := d.Stream(context.Background(), "d/", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantAsked := func(want int) {
			t.Helper()
			synctest.Wait()
			if b.asked() != want {
				t.Errorf("%d pages asked for, want %d", b.asked(), want)
			}
		}
		wantAsked(1)
		if !s.Ready() {
			t.Error("the first part is not ready")
		}
		for i := range 2 {
			if _, err := s.Next(context.Background()); err != nil || !s.More() {
				t.Fatal(err)
			}
			wantAsked(i + 1)
		}
		if s.Ready() {
			t.Error("a part that nobody has asked for is ready")
		}
		s.Ahead(2)
		wantAsked(4)
		if l, err := s.Listing(context.Background()); err != nil || len(l.Entries) != 5 {
			t.Fatal(err)
		}
		if s.Close(); b.asked() != 5 {
			t.Errorf("%d pages asked for", b.asked())
		}
	})
}

// TestLongListingIsNotHeld streams a million entries, of which only those that wait to be read are in memory.
func TestLongListingIsNotHeld(t *testing.T) {
	const pages, perPage = 1000, 1000
	list := func(_ context.Context, prefix, marker string) (*Page, error) {
		var n int
		_, _ = fmt.Sscanf(strings.TrimPrefix(marker, prefix), "file-%d", &n) // none of the first page
		p := &Page{Entries: make([]RawEntry, 0, perPage)}
		for i := range perPage {
			p.Entries = append(p.Entries, RawEntry{Key: fmt.Sprintf("%sfile-%08d", prefix, n+i+1), ETag: fmt.Sprintf("%032x", n+i)})
		}
		if n+perPage < pages*perPage {
			p.Next = p.Entries[perPage-1].Key
		}
		return p, nil
	}
	d := newTestDirs(t, DirsOptions{MaxEntries: 20_000}, list)
	before := heap()
	s, other := openStream(t, d, "d/"), openStream(t, d, "d/")
	s.Ahead(2)
	other.Close()
	var count int
	var most int64
	for i := 0; ; i++ {
		part, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		count += len(part)
		if i%100 == 99 {
			most = max(most, heap()-before)
		}
	}
	if count != pages*perPage {
		t.Errorf("%d entries, want %d", count, pages*perPage)
	}
	if most > 8<<20 {
		t.Errorf("%d bytes held while streaming", most)
	}
	if _, err := s.Listing(t.Context()); !errors.Is(err, ErrLongListing) {
		t.Errorf("the whole of it: %v", err)
	}
	if _, err := d.Get(t.Context(), "d/", time.Minute); !errors.Is(err, ErrLongListing) {
		t.Errorf("Get: %v", err)
	}
	if _, _, ok := d.Peek("d/"); ok {
		t.Error("something of it was kept")
	}
}
