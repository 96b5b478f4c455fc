package cosserver

import (
	"strings"
	"time"
)

// document builds an XML answer. A page of a thousand keys is built in one go; encoding/xml would
// take ten times as long and cannot write the quotes as clients expect them.
type document struct {
	b    []byte
	root string
}

func newDocument(root string) *document {
	x := &document{b: make([]byte, 0, 1024), root: root}
	x.b = append(x.b, "<?xml version='1.0' encoding='utf-8' ?>\n"...)
	x.open(root)
	return x
}

// pad puts white space before everything.
func (x *document) pad(n int) { x.b = append([]byte(strings.Repeat(" ", n)), x.b...) }

func (x *document) open(name string) {
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

func (x *document) close(name string) {
	x.b = append(x.b, '<', '/')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

// text adds an element.
func (x *document) text(name, value string) {
	x.open(name)
	x.b = appendText(x.b, value)
	x.close(name)
}

// end closes the root and returns the document.
func (x *document) end() []byte {
	x.close(x.root)
	return x.b
}

// appendText escapes a text. Control characters that XML cannot carry are written as references,
// which parsers refuse: only encoding-type=url can list such keys.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c < ' ' || c == 0x7f:
			b = append(b, '&', '#', 'x', hex[c>>4], hex[c&15], ';')
		default:
			b = append(b, c)
		}
	}
	return b
}

// listTime is the form of times in listings.
func listTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
