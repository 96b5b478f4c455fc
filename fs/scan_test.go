package fs

import (
	"fmt"
	"testing"

	"cosfuse/cache"
)

// listingOf is a listing of n files.
func listingOf(n int) *cache.Listing {
	l := &cache.Listing{}
	for i := range n {
		l.Entries = append(l.Entries, cache.Entry{Name: fmt.Sprintf("%06d", i)})
	}
	return l
}

func TestScanWindow(t *testing.T) {
	l := listingOf(1000)
	var s scan
	asked := make(map[int]bool)
	for i := range 300 {
		from, to := s.next(l, i)
		if to-from > statFanOut {
			t.Fatalf("entry %d: %d names at once", i, to-from)
		}
		for ; from < to; from++ {
			if asked[from] {
				t.Fatalf("entry %d is asked for twice", from)
			}
			asked[from] = true
		}
		s.ahead = max(s.ahead, to)
	}
	if !asked[299+statFanOut-1] || asked[299+statFanOut+1] {
		t.Errorf("a walk of 300 names asked for %d", len(asked))
	}
	if from, to := s.next(l, 900); from != to {
		t.Errorf("a jump asks for entries %d to %d", from, to)
	}
	if from, to := s.next(listingOf(10), 9); from != to {
		t.Errorf("the last entry of another listing asks for entries %d to %d", from, to)
	}
}

func TestReadWindow(t *testing.T) {
	l := listingOf(1000)
	var s scan
	wide := 0
	for i := range 200 {
		from, to := s.nextRead(l, i, readsFirst, aheadFiles)
		if i+1 < readsFirst && from != to {
			t.Errorf("file %d: %d others at once", i, to-from)
		}
		if to > i+1+aheadFiles {
			t.Errorf("file %d asks as far as %d", i, to)
		}
		wide = max(wide, to-i-1)
		s.reached(l, to)
	}
	if wide != aheadFiles {
		t.Errorf("200 files in order are read ahead by %d, want %d", wide, aheadFiles)
	}
	for _, i := range []int{900, 100, 500, 300, 700} {
		if from, to := s.nextRead(l, i, readsFirst, aheadFiles); from != to {
			t.Errorf("file %d after a jump asks for %d to %d", i, from, to)
		}
	}
}

func TestReadWindowOfWorkers(t *testing.T) {
	l := listingOf(100)
	var s scan
	for _, i := range []int{1, 0, 3, 2, 6, 4, 5, 7, 9, 8} { // four workers
		_, to := s.nextRead(l, i, readsFirst, aheadFiles)
		s.reached(l, to)
	}
	if s.ahead < 20 {
		t.Errorf("ten files by several workers read ahead up to %d", s.ahead)
	}
}
