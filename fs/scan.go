package fs

import (
	"slices"
	"strings"

	"cosfuse/cache"
)

// scan watches in which order the entries of a directory are asked for: by name, to be read, or to be
// listed. Who takes them in the order of the listing ("ls -l", tar, rsync, find) then waits for many
// requests at once instead of one after the other.
type scan struct {
	listing *cache.Listing // the last one used
	last    int            // index of the entry asked for last
	run     int            // how many came in order
	ahead   int            // entries before this index were asked for

	// of files that are read
	low, high int // of the run: the first and the last entry asked for
	dirs      int // directories between them
	seen      int // how many were asked for
	stride    int // from the entry before to the last one
	strides   int // how often it has been the same
}

// Entries may be asked for a little out of order, by several threads, and some not at all. Bytes ahead
// are dearer than attributes.
const (
	scanSlack = 16
	readSlack = 8
)

// step notes that entry i of l was asked for.
func (s *scan) step(l *cache.Listing, i, slack int) {
	if s.listing != l {
		n := scan{listing: l, last: -1}
		if old := s.listing; old != nil && s.last >= 0 && len(old.Entries)-s.last <= slack && old.Started.Equal(l.Started) && i <= slack {
			n.run = s.run // the next part of one listing
		}
		*s = n
	}
	if d := i - s.last; d > 0 && d <= slack {
		s.run++
	} else if d > slack || d < -slack {
		s.run, s.ahead = 0, 0
	}
	s.last = i
}

// next notes that entry i of l was asked for and returns the range of entries to ask for ahead.
func (s *scan) next(l *cache.Listing, i int) (from, to int) {
	s.step(l, i, scanSlack)
	if s.run == 0 {
		return 0, 0
	}
	return s.rest(i, min(8<<min(s.run, 4), statFanOut))
}

// nextRead is next for directories that are listed. It takes least of them in order to begin, so that
// who looks at a few costs nothing more, and twice as many are asked for ahead with each that follows.
func (s *scan) nextRead(l *cache.Listing, i, least, most int) (from, to int) {
	s.step(l, i, readSlack)
	if s.run < least {
		return 0, 0
	}
	return s.rest(i, min(4<<min(s.run-least, 10), most))
}

const (
	maxSlack     = 64 // by which files may be read out of order, in a directory of many
	stridesFirst = 4  // steps of the same length before it is believed
)

// nextFile notes that file i of l is read and returns the range of entries to fetch ahead, and the step
// from one to the next: who takes each n-th file is given those. Files of which some are left out in no order
// are not fetched ahead: bytes that nobody wants cost as much as others. If sure, they are known to be read
// in order, from the first one on.
func (s *scan) nextFile(l *cache.Listing, i int, sure bool) (from, to, step int) {
	slack := min(max(readSlack, len(l.Entries)/32), maxSlack)
	same, last := s.listing == l, s.last
	s.step(l, i, slack)
	if i != last || !same {
		s.span(i, same && s.run > 0)
	}
	if d := i - last; same && d == s.stride && d > 1 {
		s.strides++
	} else {
		s.stride, s.strides = d, 0
	}
	least := readsFirst
	if sure {
		least = 1
	}
	n := aheadFiles
	if !sure {
		n = min(4<<min(max(s.run-least, 0), 10), aheadFiles)
	}
	switch {
	case s.strides >= stridesFirst:
		n = min(4<<min(s.strides-stridesFirst, 10), aheadFiles)
		from = max(i+s.stride, s.ahead)
		from += (s.stride - (from-i)%s.stride) % s.stride
		return from, max(from, min(i+1+n*s.stride, len(l.Entries))), s.stride
	case s.run >= least && s.seen*4 >= (s.high-s.low+1-s.dirs)*3:
		from, to = s.rest(i, n)
		return from, to, 1
	}
	return 0, 0, 1
}

// span widens what the run covers to entry i, or begins anew.
func (s *scan) span(i int, goesOn bool) {
	if !goesOn {
		s.low, s.high, s.dirs, s.seen = i, i, 0, 1
		return
	}
	s.seen++
	for ; s.high < i; s.high++ {
		if s.listing.Entries[s.high+1].Dir {
			s.dirs++
		}
	}
	for ; s.low > i; s.low-- {
		if s.listing.Entries[s.low-1].Dir {
			s.dirs++
		}
	}
}

// rest is the part that was not asked for of the n entries after entry i.
func (s *scan) rest(i, n int) (from, to int) {
	from = max(i+1, s.ahead)
	to = min(i+1+n, len(s.listing.Entries))
	return from, max(from, to)
}

// reached notes that the entries of l before index i were asked for.
func (s *scan) reached(l *cache.Listing, i int) {
	if s.listing == l {
		s.ahead = max(s.ahead, i)
	}
}

// indexOf finds the file, or the directory, called seg.
func indexOf(l *cache.Listing, seg string, dir bool) (i int, ok bool) {
	i, ok = slices.BinarySearchFunc(l.Entries, seg, func(e cache.Entry, seg string) int {
		return strings.Compare(e.Name, seg)
	})
	for ; ok && i < len(l.Entries) && l.Entries[i].Name == seg; i++ {
		if l.Entries[i].Dir == dir {
			return i, true
		}
	}
	return 0, false
}
