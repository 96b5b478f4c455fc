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
