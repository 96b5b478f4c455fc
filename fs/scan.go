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

// nextRead is next for entries that are read, or listed. It takes least of them in order to begin, so that
// who looks at a few costs nothing more, and twice as many are asked for ahead with each that follows.
func (s *scan) nextRead(l *cache.Listing, i, least, most int) (from, to int) {
	s.step(l, i, readSlack)
	if s.run < least {
		return 0, 0
	}
	return s.rest(i, min(4<<min(s.run-least, 10), most))
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
