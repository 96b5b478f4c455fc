package fs

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
		from, to, step := s.nextFile(l, i, false)
		if i+1 < readsFirst && from != to {
			t.Errorf("file %d: %d others at once", i, to-from)
		}
		if to > i+1+aheadFiles || step != 1 {
			t.Errorf("file %d asks as far as %d in steps of %d", i, to, step)
		}
		wide = max(wide, to-i-1)
		s.reached(l, to)
	}
	if wide != aheadFiles {
		t.Errorf("200 files in order are read ahead by %d, want %d", wide, aheadFiles)
	}
	for _, i := range []int{900, 100, 500, 300, 700} {
		if from, to, _ := s.nextFile(l, i, false); from != to {
			t.Errorf("file %d after a jump asks for %d to %d", i, from, to)
		}
	}
}

// TestReadOrders reads files in several orders and counts those that are fetched and never read.
func TestReadOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dense := func(n int) []int {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		return order
	}
	shuffled := func(n, window int) []int {
		order := dense(n)
		for ; n > 0; n -= window {
			part := order[max(n-window, 0):n]
			rng.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
		return order
	}
	some := func(n int, keep func(i int) bool) []int {
		return slices.DeleteFunc(dense(n), func(i int) bool { return !keep(i) })
	}
	tests := []struct {
		name  string
		order []int
		ahead int // files fetched before they are read, at least, of 100
		waste int // files fetched and never read, at most, of 100
	}{
		{"in order", dense(1000), 95, 0},
		{"four workers", []int{1, 0, 3, 2, 6, 4, 5, 7, 9, 8, 10, 12, 11, 13, 15, 14, 17, 16, 18, 19}, 75, 320},
		{"shuffled by 8", shuffled(1000, 8), 80, 1},
		{"shuffled by 24", shuffled(1000, 24), 60, 1},
		{"each fourth", some(1000, func(i int) bool { return i%4 == 3 }), 95, 0},
		{"each second", some(1000, func(i int) bool { return i%2 == 0 }), 95, 0},
		{"nine of ten", some(1000, func(int) bool { return rng.IntN(10) > 0 }), 80, 15},
		{"each third or so", some(1000, func(int) bool { return rng.IntN(3) == 0 }), 0, 10},
		{"in no order", rng.Perm(1000)[:300], 0, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, s := listingOf(1000), scan{}
			fetched, read, ahead := map[int]bool{}, map[int]bool{}, 0
			for _, i := range tt.order {
				read[i] = true
				if fetched[i] {
					ahead++
				}
				from, to, step := s.nextFile(l, i, false)
				for ; from < to; from += step {
					fetched[from] = true
				}
				s.reached(l, from)
			}
			waste := 0
			for i := range fetched {
				if !read[i] {
					waste++
				}
			}
			n := len(tt.order)
			t.Logf("of %d files %d were fetched ahead, and %d others", n, ahead, waste)
			if ahead*100 < tt.ahead*n || waste*100 > tt.waste*n {
				t.Errorf("want at least %d%% and at most %d%%", tt.ahead, tt.waste)
			}
		})
	}
}

func TestDirectoriesBetweenFilesAreNoGaps(t *testing.T) {
	l, s := listingOf(100), scan{}
	for i := range l.Entries {
		l.Entries[i].Dir = i%2 == 1
	}
	to := 0
	for _, i := range []int{0, 2, 4, 10, 8, 6, 12} {
		_, to, _ = s.nextFile(l, i, false)
	}
	if to < 20 {
		t.Errorf("seven files with directories between them are read ahead up to %d", to)
	}
}
