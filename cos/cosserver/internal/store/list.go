package store

import (
	"bytes"
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// ListQuery asks for a page of objects or uploads.
type ListQuery struct {
	Prefix, Delimiter string
	Marker            string // entries after it, in byte order
	IDMarker          string // uploads and versions: after this ID of the key Marker
	Max               int    // entries and common prefixes together; at least 1
}

// Page is a page of a listing.
type Page[T any] struct {
	Entries        []T
	CommonPrefixes []string
	Truncated      bool
	Next, NextID   string // what to pass as Marker and IDMarker, if Truncated
}

func (p *Page[T]) len() int { return len(p.Entries) + len(p.CommonPrefixes) }

// group returns the common prefix that a key falls under, or "".
func (q *ListQuery) group(key string) string {
	if q.Delimiter == "" {
		return ""
	}
	i := strings.Index(key[len(q.Prefix):], q.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(q.Prefix)+i+len(q.Delimiter)]
}

// isGroup reports whether a marker is a common prefix.
func (q *ListQuery) isGroup(marker string) bool {
	return marker != "" && strings.HasPrefix(marker, q.Prefix) && q.group(marker) == marker
}

// start returns the first key a listing looks at: after the marker, and after all that a marker that
// is a common prefix stands for.
func (q *ListQuery) start() string {
	if q.Marker < q.Prefix {
		return q.Prefix
	}
	if q.Marker == "" {
		return ""
	}
	if q.isGroup(q.Marker) {
		return string(after([]byte(q.Marker)))
	}
	return q.Marker + "\x00"
}

// List returns a page of a bucket's objects. It jumps over what a common prefix hides, so a page
// costs a seek or a step for each of its entries, however many keys there are.
func (s *Store) List(bucket string, q ListQuery) (page Page[*Object], err error) {
	r, done := s.past.view()
	defer done()
	space := bucketPrefix(spaceObject, bucket)
	lower := append(bytes.Clone(space), q.Prefix...)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(lower)})
	if err != nil {
		return page, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()

	ok := it.SeekGE(append(bytes.Clone(space), q.start()...))
	for ok {
		key := string(it.Key()[len(space):])
		group := q.group(key)
		hidden := group != "" && group <= q.Marker // shown by an earlier page
		if !hidden && page.len() >= q.Max {
			page.Truncated = true
			break
		}
		if group == "" {
			v, err := it.ValueAndErr()
			if err != nil {
				return page, err
			}
			o, err := unmarshalObject(key, v)
			if err != nil {
				return page, err
			}
			page.Entries = append(page.Entries, o)
			page.Next = key
			ok = it.Next()
			continue
		}
		if !hidden {
			page.CommonPrefixes = append(page.CommonPrefixes, group)
			page.Next = group
		}
		ok = it.SeekGE(after(append(bytes.Clone(space), group...)))
	}
	return page, it.Error()
}
