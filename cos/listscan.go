package cos

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
)

// listScanner takes a ListBucketResult apart in one pass, allocating only the strings that are kept.
// It skips what it does not know, checks that elements nest and that the root is closed: a page cut
// short is never taken for a short page.
type listScanner struct {
	x     xmlScanner
	page  ListPage
	entry ListEntry
	has   entryFields
	text  []byte // of the innermost element, without that of its children

	encoded   bool
	truncated string
	class     string // the last storage class seen: nearly always the next one too
}

// entryFields are the elements without which an entry cannot be believed.
type entryFields struct{ key, size bool }

// field is an element of a listing that means something to us, by its path from the root.
type field int

const (
	fieldUnknown field = iota
	fieldRoot
	fieldEncodingType
	fieldIsTruncated
	fieldNextMarker
	fieldCommonPrefixes
	fieldPrefix
	fieldContents
	fieldKey
	fieldSize
	fieldETag
	fieldLastModified
	fieldStorageClass
)

// child names the element called name inside parent.
func (f field) child(name []byte) field {
	switch f {
	case fieldRoot:
		switch string(name) {
		case "EncodingType":
			return fieldEncodingType
		case "IsTruncated":
			return fieldIsTruncated
		case "NextMarker":
			return fieldNextMarker
		case "CommonPrefixes":
			return fieldCommonPrefixes
		case "Contents":
			return fieldContents
		}
	case fieldCommonPrefixes:
		if string(name) == "Prefix" {
			return fieldPrefix
		}
	case fieldContents:
		switch string(name) {
		case "Key":
			return fieldKey
		case "Size":
			return fieldSize
		case "ETag":
			return fieldETag
		case "LastModified":
			return fieldLastModified
		case "StorageClass":
			return fieldStorageClass
		}
	}
	return fieldUnknown
}

// scanList reads one page. Its errors are ErrBadResponse, or *inBodyError for an error document.
func scanList(doc []byte) (ListPage, error) {
	s := listScanner{x: xmlScanner{b: doc}}
	s.page.Entries = make([]ListEntry, 0, min(bytes.Count(doc, []byte("<Contents")), MaxListKeys))
	if err := s.run(); err != nil {
		return ListPage{}, err
	}
	var err error
	if s.page.Truncated, err = parseBool(s.truncated); err != nil {
		return ListPage{}, err
	}
	if s.encoded {
		if err := s.page.decode(); err != nil {
			return ListPage{}, err
		}
	}
	return s.page, nil
}

func (s *listScanner) run() error {
	if err := s.root(); err != nil {
		return err
	}
	var stack []field
	at := fieldRoot
	for {
		t, err := s.x.next()
		if err != nil {
			return err
		}
		switch t.kind {
		case tokenOpen:
			stack = append(stack, at)
			at = at.child(t.name)
			s.open(at)
		case tokenText:
			if at > fieldRoot {
				s.text = append(s.text, t.text...)
			}
		case tokenClose:
			if err := s.close(at); err != nil {
				return err
			}
			if len(stack) == 0 {
				return s.x.finish()
			}
			at, stack = stack[len(stack)-1], stack[:len(stack)-1]
		}
	}
}

// root reads up to the root's start tag.
func (s *listScanner) root() error {
	for {
		t, err := s.x.next()
		if err != nil {
			return err
		}
		switch {
		case t.kind == tokenText && len(bytes.TrimSpace(t.text)) == 0:
		case t.kind == tokenOpen && string(t.name) == "ListBucketResult":
			return nil
		case t.kind == tokenOpen && string(t.name) == "Error":
			return listError(s.x.b)
		default:
			return fmt.Errorf("%w: not a listing", ErrBadResponse)
		}
	}
}

// listError reads an error document that came instead of a listing.
func listError(b []byte) error {
	doc, err := parseErrorDoc(b)
	if err != nil {
		return err
	}
	return &inBodyError{doc}
}

func (s *listScanner) open(f field) {
	if f == fieldUnknown {
		return // what surrounds it may go on collecting text
	}
	s.text = s.text[:0]
	if f == fieldContents {
		s.entry, s.has = ListEntry{}, entryFields{}
	}
}

// close takes over the text of the element that ends.
func (s *listScanner) close(f field) error {
	switch f {
	case fieldEncodingType:
		s.encoded = string(s.text) == "url"
	case fieldIsTruncated:
		s.truncated = string(s.text)
	case fieldNextMarker:
		s.page.NextMarker = string(s.text)
	case fieldPrefix:
		s.page.CommonPrefixes = append(s.page.CommonPrefixes, string(s.text))
	case fieldContents:
		if !s.has.key || !s.has.size {
			return fmt.Errorf("%w: an entry without key or size", ErrBadResponse)
		}
		s.page.Entries = append(s.page.Entries, s.entry)
	case fieldKey:
		s.entry.Key, s.has.key = string(s.text), len(s.text) > 0
	case fieldETag:
		s.entry.ETag = string(bytes.Trim(s.text, `"`))
	case fieldStorageClass:
		if string(s.text) != s.class {
			s.class = string(s.text)
		}
		s.entry.StorageClass = s.class
	case fieldSize, fieldLastModified:
		return s.closeTyped(f)
	}
	return nil
}

func (s *listScanner) closeTyped(f field) error {
	var ok bool
	if f == fieldLastModified {
		if s.entry.LastModified, ok = parseTime(s.text); !ok {
			return fmt.Errorf("%w: LastModified %q", ErrBadResponse, s.text)
		}
		return nil
	}
	if s.entry.Size, ok = parseDigits(s.text); !ok {
		return fmt.Errorf("%w: Size %q", ErrBadResponse, s.text)
	}
	s.has.size = true
	return nil
}

// parseDigits reads a decimal number without allocating.
func parseDigits(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}

// parseTime reads "2006-01-02T15:04:05.000Z" without allocating, and any other RFC 3339 time.
func parseTime(b []byte) (time.Time, bool) {
	const form = "0000-00-00T00:00:00.000Z"
	if len(b) != len(form) {
		return parseAnyTime(b)
	}
	var n [7]int
	part := 0
	for i := range len(form) {
		switch {
		case form[i] != '0' && b[i] == form[i]:
			part++
		case form[i] != '0' || b[i] < '0' || b[i] > '9':
			return parseAnyTime(b)
		default:
			n[part] = n[part]*10 + int(b[i]-'0')
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*int(time.Millisecond), time.UTC)
	if t.Day() != n[2] || n[1] > 12 || n[1] < 1 || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return time.Time{}, false
	}
	return t, true
}

func parseAnyTime(b []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, string(b))
	return t, err == nil
}

// decode undoes encoding-type=url.
func (p *ListPage) decode() error {
	for i := range p.Entries {
		if err := unescapeTo(&p.Entries[i].Key); err != nil {
			return err
		}
	}
	for i := range p.CommonPrefixes {
		if err := unescapeTo(&p.CommonPrefixes[i]); err != nil {
			return err
		}
	}
	return unescapeTo(&p.NextMarker)
}

// unescapeTo decodes in place. "+" is itself: the service writes a space as %20.
func unescapeTo(s *string) error {
	if !strings.Contains(*s, "%") {
		return nil
	}
	u, err := url.PathUnescape(*s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadResponse, err)
	}
	*s = u
	return nil
}
