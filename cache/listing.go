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

// ErrLongListing is the error of asking for the whole of a listing that is too long to be kept. Its parts can
// be had one after the other.
var ErrLongListing = errors.New("listing is too long to be kept in memory")

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
	listing Listing             // without Entries until finish
	parts   [][]Entry           // as they were handed out, never changed once added; nil if they are too many
	count   int                 // of entries, kept or not
	carry   []Entry             // files whose directory of the same name may be on a later page
	told    map[string]struct{} // keys of the page before, to know those that are told again
	classes map[string]string   // storage classes seen, so that each is kept once
}

func newListingBuilder(prefix string, started time.Time) *listingBuilder {
	return &listingBuilder{
		listing: Listing{Prefix: prefix, Started: started},
		classes: make(map[string]string),
	}
}

// add takes in a page, which came as the answer to marker, and returns a part of the listing: everything told
// about the names in it, which no other part has, ordered by name. That is less or more than the page: file
// "a" waits until "a/" would have been told, and keys such as "a-" and "a." come before that.
func (b *listingBuilder) add(marker string, p *Page) ([]Entry, error) {
	if p.Next != "" && p.Next <= marker {
		return nil, fmt.Errorf("list %q: marker %q after %q: %w", b.listing.Prefix, p.Next, marker, ErrBadListing)
	}
	if err := b.check(p); err != nil {
		return nil, err
	}
	part := make([]Entry, 0, len(p.Entries)+len(p.Prefixes)+len(b.carry))
	part = append(part, b.carry...)
	pack := packStrings(b.listing.Prefix, p)
	told := make(map[string]struct{}, len(p.Entries)+len(p.Prefixes))
	for i := range p.Entries {
		if e, ok := b.file(&p.Entries[i], pack); ok {
			part = b.appendNew(part, e, e.Name, told)
		}
	}
	for _, prefix := range p.Prefixes {
		if e, ok := b.dir(prefix, pack); ok {
			part = b.appendNew(part, e, prefix[len(b.listing.Prefix):], told)
		}
	}
	b.told, b.carry = told, nil
	slices.SortStableFunc(part, compareEntries)
	part = slices.CompactFunc(part, func(a, b Entry) bool { return compareEntries(a, b) == 0 })
	if p.Next != "" {
		part = b.holdBack(part, p.Next)
	}
	b.parts, b.count = append(b.parts, part), b.count+len(part)
	return part, nil
}

// appendNew adds an entry unless the page before told it.
func (b *listingBuilder) appendNew(part []Entry, e Entry, key string, told map[string]struct{}) []Entry {
	told[key] = struct{}{}
	if _, again := b.told[key]; again {
		return part
	}
	return append(part, e)
}

// holdBack keeps the files of part for the next one whose directory, if there is one, is told after the marker
// next. What is left never grows: the parts are in others' hands.
func (b *listingBuilder) holdBack(part []Entry, next string) []Entry {
	next, _ = strings.CutPrefix(next, b.listing.Prefix)
	kept := part[:0]
	for _, e := range part {
		if !e.Dir && e.Name+"/" > next {
			b.carry = append(b.carry, e)
			continue
		}
		kept = append(kept, e)
	}
	clear(part[len(kept):])
	return slices.Clip(kept)
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

// file returns the entry of an object; ok is false if it is none that has a name.
func (b *listingBuilder) file(r *RawEntry, pack *packed) (e Entry, ok bool) {
	e = Entry{
		Name:         pack.take(len(r.Key) - len(b.listing.Prefix)),
		Size:         r.Size,
		ETag:         pack.take(len(r.ETag)),
		LastModified: r.LastModified.Round(0).UTC(),
		StorageClass: b.class(r.StorageClass),
	}
	switch {
	case e.Name == "" && b.listing.Prefix != "":
		b.listing.HasMarker, b.listing.Marker = true, e
		return e, false
	case !nameable(e.Name):
		b.listing.Hidden++
		return e, false
	}
	return e, true
}

// dir returns the entry of a common prefix; ok is false if no path can name it.
func (b *listingBuilder) dir(prefix string, pack *packed) (e Entry, ok bool) {
	name := pack.take(len(prefix) - len(b.listing.Prefix) - 1)
	if !nameable(name) {
		b.listing.Hidden++
		return e, false
	}
	return Entry{Name: name, Dir: true}, true
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

// finish orders the entries and returns the listing. Sorting is needed even though keys come in
// order: directory "a" is told as "a/", which the service sorts after "a-" and "a.". An entry told by two
// pages counts once.
func (b *listingBuilder) finish() *Listing {
	l := b.listing
	l.Entries = make([]Entry, 0, b.count)
	for _, p := range b.parts {
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
