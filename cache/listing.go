package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxNameBytes is NAME_MAX: a longer component cannot be named by any path.
const maxNameBytes = 255

// ErrBadListing is the error of a page that cannot be an answer to the question asked: a key
// outside the prefix, or a marker that does not advance.
var ErrBadListing = errors.New("listing does not answer the request")

// RawEntry is one object of a page as the service tells it.
type RawEntry struct {
	Key          string
	Size         int64 // bytes
	ETag         string
	LastModified time.Time
	StorageClass string
}

// Page is one page of a listing with the delimiter "/".
type Page struct {
	Entries  []RawEntry
	Prefixes []string // common prefixes, each ending in "/"
	Next     string   // the marker of the next page; "" means this is the last
}

// ListFunc returns the page of the keys below prefix that come after marker ("" is the first page).
// It blocks for one request, and it must fail rather than return an incomplete page.
type ListFunc func(ctx context.Context, prefix, marker string) (*Page, error)

// Entry is one name in a directory as a listing tells it.
type Entry struct {
	Name         string // one path component, without the trailing slash
	Dir          bool   // a common prefix; the fields below are then zero
	Size         int64  // bytes
	ETag         string
	LastModified time.Time // UTC
	StorageClass string
}

// Listing is a directory's content: complete, without errors, and ordered by name. A file and a
// directory of one name may both be there; the file comes first. A Listing is shared and must not
// be changed.
type Listing struct {
	Prefix    string
	Entries   []Entry
	Hidden    int       // entries that no path can name: "", ".", "..", over 255 bytes, invalid UTF-8, NUL
	HasMarker bool      // the key equal to Prefix exists
	Marker    Entry     // that object, with an empty name; zero without HasMarker
	Started   time.Time // when the first page was asked for: what happened later may be missing
}

// Find returns the file and the directory called name, each nil if there is none. They point into
// Entries.
func (l *Listing) Find(name string) (file, dir *Entry) {
	i, _ := slices.BinarySearchFunc(l.Entries, name, func(e Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	for ; i < len(l.Entries) && l.Entries[i].Name == name; i++ {
		if l.Entries[i].Dir {
			dir = &l.Entries[i]
			continue
		}
		file = &l.Entries[i]
	}
	return file, dir
}

// Empty reports whether the bucket has nothing at all below the prefix, not even a marker or an
// entry that is hidden.
func (l *Listing) Empty() bool {
	return len(l.Entries) == 0 && l.Hidden == 0 && !l.HasMarker
}

// listingBuilder collects pages. The strings of a page are copied into one allocation, because the
// decoder's strings may pin a whole response, and because a separate allocation for each name and
// ETag would double what a large directory costs.
type listingBuilder struct {
	listing Listing           // without Entries until finish
	pages   [][]Entry         // as they came, never changed once added
	classes map[string]string // storage classes seen, so that each is kept once
}

func newListingBuilder(prefix string, started time.Time) *listingBuilder {
	return &listingBuilder{
		listing: Listing{Prefix: prefix, Started: started},
		classes: make(map[string]string),
	}
}

// add takes in a page, which came as the answer to marker, and returns its entries: the files, then
// the directories, each in key order.
func (b *listingBuilder) add(marker string, p *Page) ([]Entry, error) {
	if p.Next != "" && p.Next <= marker {
		return nil, fmt.Errorf("list %q: marker %q after %q: %w", b.listing.Prefix, p.Next, marker, ErrBadListing)
	}
	if err := b.check(p); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(p.Entries)+len(p.Prefixes))
	pack := packStrings(b.listing.Prefix, p)
	for i := range p.Entries {
		entries = b.appendFile(entries, &p.Entries[i], pack)
	}
	for _, prefix := range p.Prefixes {
		entries = b.appendDir(entries, prefix, pack)
	}
	b.pages = append(b.pages, entries)
	return entries, nil
}

// check refuses a page with a key that the request cannot have produced.
func (b *listingBuilder) check(p *Page) error {
	for i := range p.Entries {
		name, ok := strings.CutPrefix(p.Entries[i].Key, b.listing.Prefix)
		if !ok || strings.Contains(name, "/") {
			return fmt.Errorf("list %q: key %q: %w", b.listing.Prefix, p.Entries[i].Key, ErrBadListing)
		}
	}
	for _, prefix := range p.Prefixes {
		name, ok := strings.CutPrefix(prefix, b.listing.Prefix)
		if !ok || name == "" || strings.Index(name, "/") != len(name)-1 {
			return fmt.Errorf("list %q: prefix %q: %w", b.listing.Prefix, prefix, ErrBadListing)
		}
	}
	return nil
}

func (b *listingBuilder) appendFile(entries []Entry, r *RawEntry, pack *packed) []Entry {
	e := Entry{
		Name:         pack.take(len(r.Key) - len(b.listing.Prefix)),
		Size:         r.Size,
		ETag:         pack.take(len(r.ETag)),
		LastModified: r.LastModified.Round(0).UTC(),
		StorageClass: b.class(r.StorageClass),
	}
	switch {
	case e.Name == "" && b.listing.Prefix != "":
		b.listing.HasMarker, b.listing.Marker = true, e
	case !nameable(e.Name):
		b.listing.Hidden++
	default:
		entries = append(entries, e)
	}
	return entries
}

func (b *listingBuilder) appendDir(entries []Entry, prefix string, pack *packed) []Entry {
	name := pack.take(len(prefix) - len(b.listing.Prefix) - 1)
	if !nameable(name) {
		b.listing.Hidden++
		return entries
	}
	return append(entries, Entry{Name: name, Dir: true})
}

// class returns the one kept copy of a storage class.
func (b *listingBuilder) class(s string) string {
	if kept, ok := b.classes[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	b.classes[s] = s
	return s
}

// finish orders the entries and returns the listing. Sorting is needed even though pages come in
// key order: directory "a" is told as "a/", which the service sorts after "a-" and "a.". An entry
// told by two pages counts once.
func (b *listingBuilder) finish() *Listing {
	l := b.listing
	var n int
	for _, p := range b.pages {
		n += len(p)
	}
	l.Entries = make([]Entry, 0, n)
	for _, p := range b.pages {
		l.Entries = append(l.Entries, p...)
	}
	slices.SortStableFunc(l.Entries, compareEntries)
	l.Entries = slices.CompactFunc(l.Entries, func(a, b Entry) bool { return compareEntries(a, b) == 0 })
	return &l
}

func compareEntries(a, b Entry) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return cmp.Compare(dirRank(a), dirRank(b))
}

func dirRank(e Entry) int {
	if e.Dir {
		return 1
	}
	return 0
}

// nameable reports whether a path can have the component name.
func nameable(name string) bool {
	switch {
	case name == "", name == ".", name == "..", len(name) > maxNameBytes:
		return false
	}
	return utf8.ValidString(name) && !strings.Contains(name, "\x00")
}

// packed hands out consecutive pieces of one string.
type packed struct{ rest string }

// packStrings joins the names and ETags of a page in the order in which the builder takes them.
func packStrings(prefix string, p *Page) *packed {
	var size int
	for i := range p.Entries {
		size += len(p.Entries[i].Key) - len(prefix) + len(p.Entries[i].ETag)
	}
	for _, d := range p.Prefixes {
		size += len(d) - len(prefix) - 1
	}
	var s strings.Builder
	s.Grow(size)
	for i := range p.Entries {
		s.WriteString(p.Entries[i].Key[len(prefix):])
		s.WriteString(p.Entries[i].ETag)
	}
	for _, d := range p.Prefixes {
		s.WriteString(d[len(prefix) : len(d)-1])
	}
	return &packed{rest: s.String()}
}

func (p *packed) take(n int) string {
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}
