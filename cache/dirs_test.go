package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// bucket answers listings of a set of keys as the service does, perPage entries a page.
type bucket struct {
	keys    []string // sorted
	perPage int
	latency time.Duration
	fault   func(n int) error // for the n-th page asked for, from 1

	mu    sync.Mutex
	pages int
}

func newBucket(perPage int, keys ...string) *bucket {
	return &bucket{keys: slices.Sorted(slices.Values(keys)), perPage: perPage}
}

func (b *bucket) list(ctx context.Context, prefix, marker string) (*Page, error) {
	b.mu.Lock()
	b.pages++
	n := b.pages
	b.mu.Unlock()
	if err := sleep(ctx, b.latency); err != nil {
		return nil, err
	}
	if b.fault != nil {
		if err := b.fault(n); err != nil {
			return nil, err
		}
	}
	p, last := &Page{}, ""
	for _, k := range b.keys {
		name, ok := strings.CutPrefix(k, prefix)
		if !ok || k <= marker || strings.HasSuffix(marker, "/") && marker != prefix && strings.HasPrefix(k, marker) {
			continue
		}
		dir, _, isDir := strings.Cut(name, "/")
		told := k
		if isDir {
			told = prefix + dir + "/"
		}
		if told == last {
			continue
		}
		if len(p.Entries)+len(p.Prefixes) == b.perPage {
			p.Next = last
			return p, nil
		}
		last = told
		if isDir {
			p.Prefixes = append(p.Prefixes, told)
			continue
		}
		p.Entries = append(p.Entries, RawEntry{Key: k, Size: int64(len(k)), ETag: "etag-" + k, StorageClass: "STANDARD"})
	}
	return p, nil
}

func (b *bucket) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages
}

func newTestDirs(t *testing.T, o DirsOptions, list ListFunc) *Dirs {
	t.Helper()
	d := NewDirs(context.Background(), o, list)
	t.Cleanup(d.Close)
	return d
}

func names(entries []Entry) []string {
	out := []string{}
	for _, e := range entries {
		if e.Dir {
			out = append(out, e.Name+"/")
			continue
		}
		out = append(out, e.Name)
	}
	return out
}

func TestListingIsCompleteAndOrderedByName(t *testing.T) {
	keys := []string{
		"d/", "d/a", "d/a-", "d/a.", "d/a/x", "d/a/y", "d/a0", "d/b/", "d//x", "d/./x", "d/..",
		"d/" + strings.Repeat("n", 255), "d/" + strings.Repeat("n", 256), "d/\xff", "d/nul\x00", "e",
	}
	want := []string{"a", "a/", "a-", "a.", "a0", "b/", strings.Repeat("n", 255)}
	for perPage := 1; perPage <= len(keys); perPage++ {
		b := newBucket(perPage, keys...)
		d := newTestDirs(t, DirsOptions{}, b.list)
		l, err := d.Get(context.Background(), "d/", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, names(l.Entries)); diff != "" {
			t.Errorf("%d a page: %s", perPage, diff)
		}
		if l.Hidden != 6 || !l.HasMarker || l.Marker.ETag != "etag-d/" {
			t.Errorf("%d a page: hidden %d, marker %v %+v", perPage, l.Hidden, l.HasMarker, l.Marker)
		}
		file, dir := l.Find("a")
		if file == nil || dir == nil || file.ETag != "etag-d/a" || file.Size != 3 || !dir.Dir {
			t.Errorf("%d a page: Find a: %+v, %+v", perPage, file, dir)
		}
		if file, dir := l.Find("a1"); file != nil || dir != nil {
			t.Errorf("%d a page: Find a1: %+v, %+v", perPage, file, dir)
		}
	}
}

func TestListingMatchesTheKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfDistinct(rapid.StringMatching(`d/[ab./-]{0,5}`), rapid.ID).Draw(t, "keys")
		b := newBucket(rapid.IntRange(1, 5).Draw(t, "perPage"), keys...)
		d := NewDirs(context.Background(), DirsOptions{}, b.list)
		defer d.Close()
		l, err := d.Get(context.Background(), "d/", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		want, hidden := map[string]bool{}, map[string]bool{}
		for _, k := range keys {
			name, rest, isDir := strings.Cut(k[2:], "/")
			if k == "d/" {
				continue
			}
			if name == "" || name == "." || name == ".." {
				hidden[name+rest[:0]+fmt.Sprint(isDir)] = true
				continue
			}
			if isDir {
				name += "/"
			}
			want[name] = true
		}
		got := map[string]bool{}
		for _, n := range names(l.Entries) {
			got[n] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if l.Hidden != len(hidden) || len(l.Entries) != len(want) || l.HasMarker != slices.Contains(keys, "d/") {
			t.Errorf("hidden %d of %d, entries %d of %d", l.Hidden, len(hidden), len(l.Entries), len(want))
		}
	})
}

func TestRootListingHidesTheEmptyName(t *testing.T) {
	b := newBucket(10, "/x", "a")
	d := newTestDirs(t, DirsOptions{}, b.list)
	l, err := d.Get(context.Background(), "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if l.HasMarker || l.Hidden != 1 || len(l.Entries) != 1 || l.Empty() {
		t.Errorf("got %+v", l)
	}
}

func TestErrorOnAnyPageIsAnErrorAndNothingIsKept(t *testing.T) {
	b := newBucket(1, "a", "b", "c")
	b.fault = func(n int) error {
		if n == 3 {
			return errInjected
		}
		return nil
	}
	d := newTestDirs(t, DirsOptions{}, b.list)
	if l, err := d.Get(context.Background(), "", time.Minute); err != errInjected || l != nil {
		t.Errorf("got %v, %v", l, err)
	}
	if _, _, ok := d.Peek(""); ok {
		t.Error("a partial listing was kept")
	}
	if l, err := d.Get(context.Background(), "", time.Minute); err != nil || len(l.Entries) != 3 {
		t.Errorf("again: %v, %v", l, err)
	}
}

func TestPagesThatDoNotAnswerAreRefused(t *testing.T) {
	for name, page := range map[string]*Page{
		"no page":              nil,
		"key outside":          {Entries: []RawEntry{{Key: "e/a"}}},
		"key below":            {Entries: []RawEntry{{Key: "d/a/b"}}},
		"prefix outside":       {Prefixes: []string{"e/"}},
		"prefix itself":        {Prefixes: []string{"d/"}},
		"prefix without slash": {Prefixes: []string{"d/a"}},
		"prefix below":         {Prefixes: []string{"d/a/b/"}},
		"marker stands still":  {Next: "d/a"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestDirs(t, DirsOptions{}, func(context.Context, string, string) (*Page, error) { return page, nil })
			if l, err := d.Get(context.Background(), "d/", 0); !errors.Is(err, ErrBadListing) {
				t.Errorf("got %v, %v", l, err)
			}
		})
	}
}

func TestListingsAgeAndAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(10, "d/a")
		b.latency = time.Second
		d := newTestDirs(t, DirsOptions{}, b.list)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := d.Get(context.Background(), "d/", time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if b.asked() != 1 {
			t.Errorf("%d requests for ten callers at once", b.asked())
		}
		if file, _, absent := d.Lookup("d/", "a"); file == nil || absent {
			t.Error("Lookup does not know a")
		}
		if _, _, absent := d.Lookup("d/", "b"); !absent {
			t.Error("Lookup does not know that b is absent")
		}
		if _, _, absent := d.Lookup("e/", "b"); absent {
			t.Error("Lookup knows of a directory never listed")
		}
		pause(t, 5*time.Second)
		if _, _, absent := d.Lookup("d/", "b"); absent {
			t.Error("absence outlives the negative TTL")
		}
		if file, _, _ := d.Lookup("d/", "a"); file == nil {
			t.Error("presence does not outlive the negative TTL")
		}
		if _, err := d.Get(context.Background(), "d/", time.Second); err != nil || b.asked() != 2 {
			t.Errorf("%v, %d requests: an old listing was accepted", err, b.asked())
		}
		pause(t, time.Minute)
		if _, _, ok := d.Peek("d/"); ok {
			t.Error("the listing outlives the TTL")
		}
		d.Close()
	})
}

func TestDropDuringListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(10, "d/a", "d/e/f")
		b.latency = time.Second
		d := newTestDirs(t, DirsOptions{}, b.list)
		var wg sync.WaitGroup
		get := func() {
			if _, err := d.Get(context.Background(), "d/e/", time.Minute); err != nil {
				t.Error(err)
			}
		}
		wg.Go(get)
		synctest.Wait()
		d.DropTree("d/")
		pause(t, time.Second/2)
		wg.Go(get)
		pause(t, time.Second*3/4)
		if _, _, ok := d.Peek("d/e/"); ok {
			t.Error("a listing that began before the drop was kept")
		}
		wg.Wait()
		if _, _, ok := d.Peek("d/e/"); !ok || b.asked() != 2 {
			t.Errorf("kept %v after %d requests, want the second one's", ok, b.asked())
		}
		d.Drop("d/e/")
		if _, _, ok := d.Peek("d/e/"); ok {
			t.Error("a dropped listing is still there")
		}
		d.Close()
	})
}

func TestListingEndsWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(1, "a", "b", "c", "d")
		b.latency = time.Second
		d := newTestDirs(t, DirsOptions{}, b.list)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.Get(ctx, "", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
		wg.Wait()
		synctest.Wait()
		if b.asked() != 2 {
			t.Errorf("%d requests, want 2", b.asked())
		}
		if l, err := d.Get(context.Background(), "", time.Minute); err != nil || len(l.Entries) != 4 {
			t.Errorf("the next caller got %v, %v", l, err)
		}
		wg.Go(func() {
			if _, err := d.Get(context.Background(), "x", 0); !errors.Is(err, ErrClosed) {
				t.Errorf("a call under way at Close got %v", err)
			}
		})
		synctest.Wait()
		d.Close()
		wg.Wait()
		if _, err := d.Get(context.Background(), "", 0); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after Close got %v", err)
		}
	})
}

func TestNobodyJoinsAListingThatWasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(10, "a")
		release := make(chan struct{})
		d := newTestDirs(t, DirsOptions{}, func(ctx context.Context, prefix, marker string) (*Page, error) {
			if b.asked() == 0 {
				_, err := b.list(ctx, prefix, marker)
				<-release // a request that is slow to notice
				return nil, errors.Join(err, ctx.Err())
			}
			return b.list(ctx, prefix, marker)
		})
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.Get(ctx, "", time.Minute); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		wg.Go(func() {
			if _, err := d.Get(context.Background(), "", time.Minute); err != nil {
				t.Errorf("the next caller got %v", err)
			}
		})
		synctest.Wait()
		close(release)
		wg.Wait()
		d.Close()
	})
}

func TestStreamHandsOutPagesAsTheyArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(2, "a", "b/x", "c", "d", "e")
		b.latency = time.Second
		d := newTestDirs(t, DirsOptions{}, b.list)
		start := time.Now()
		s, err := d.Stream(context.Background(), "", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := 1; ; i++ {
			page, err := s.Next(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, names(page)...)
			if since := time.Since(start); since != time.Duration(i)*time.Second {
				t.Errorf("page %d came after %v", i, since)
			}
		}
		if diff := cmp.Diff([]string{"a", "b/", "c", "d", "e"}, got); diff != "" {
			t.Error(diff)
		}
		s.Close()
		if _, _, ok := d.Peek(""); !ok {
			t.Error("the streamed listing was not kept")
		}
		s, err = d.Stream(context.Background(), "", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if page, err := s.Next(context.Background()); err != nil || len(page) != 5 || b.asked() != 3 {
			t.Errorf("from memory: %d entries, %v, %d requests", len(page), err, b.asked())
		}
		if _, err := s.Next(context.Background()); err != io.EOF {
			t.Errorf("after the last page: %v", err)
		}
		d.Close()
	})
}

func TestStreamFailsOnABrokenPage(t *testing.T) {
	b := newBucket(1, "a/x", "b")
	b.fault = func(n int) error {
		if n == 2 {
			return errInjected
		}
		return nil
	}
	d := newTestDirs(t, DirsOptions{}, b.list)
	s, err := d.Stream(context.Background(), "", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if page, err := s.Next(context.Background()); err != nil || len(page) != 1 {
		t.Errorf("first page: %v, %v", page, err)
	}
	if page, err := s.Next(context.Background()); err != errInjected {
		t.Errorf("second page: %v, %v", page, err)
	}
}

func TestDirsForgetLeastRecentlyUsed(t *testing.T) {
	b := newBucket(100, "a/1", "b/1", "c/1", "big/1", "big/2", "big/3", "big/4", "big/5",
		"big/6", "big/7", "big/8", "big/9", "big/10", "big/11", "big/12")
	d := newTestDirs(t, DirsOptions{MaxEntries: 2 * (1 + listingOverhead)}, b.list)
	for _, prefix := range []string{"a/", "b/", "a/", "c/", "big/"} {
		if _, err := d.Get(context.Background(), prefix, time.Hour); err != nil && (prefix != "big/" || !errors.Is(err, ErrLongListing)) {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]bool{"a/": true, "b/": false, "c/": true, "big/": false} {
		if _, _, got := d.Peek(prefix); got != want {
			t.Errorf("%s kept: %v, want %v", prefix, got, want)
		}
	}
}

// pause lets d pass by the bubble's clock.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	if err := sleep(context.Background(), d); err != nil {
		t.Fatal(err)
	}
}

// TestLargeListingIsCompact bounds what a kept entry costs with names and ETags of usual length.
func TestLargeListingIsCompact(t *testing.T) {
	const pages, perPage = 100, 1000
	list := func(_ context.Context, prefix, marker string) (*Page, error) {
		var n int
		fmt.Sscanf(marker, prefix+"file-%d.parquet", &n)
		p := &Page{}
		for i := range perPage {
			key := fmt.Sprintf("%sfile-%08d.parquet", prefix, n+i+1)
			p.Entries = append(p.Entries, RawEntry{Key: key, ETag: fmt.Sprintf("%032x", n+i), StorageClass: "STANDARD"})
			p.Next = key
		}
		if n+perPage == pages*perPage {
			p.Next = ""
		}
		return p, nil
	}
	d := newTestDirs(t, DirsOptions{}, list)
	before := heap()
	l, err := d.Get(context.Background(), "d/", time.Minute)
	if err != nil || len(l.Entries) != pages*perPage {
		t.Fatalf("%d entries, %v", len(l.Entries), err)
	}
	per := (heap() - before) / (pages * perPage)
	runtime.KeepAlive(l)
	if per > 150 {
		t.Errorf("%d bytes an entry, want at most 150", per)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
