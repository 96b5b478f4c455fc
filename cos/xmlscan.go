package cos

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// xmlScanner yields the tags and the text of a document held in memory. It knows comments, CDATA,
// processing instructions, attributes, prefixes and the predefined entities; a document type
// declaration is refused. Tags must nest.
type xmlScanner struct {
	b    []byte
	pos  int
	open [][]byte // raw names of the open elements, prefix included
	// selfClosed is set between the two tokens of <a/>.
	selfClosed bool
	decoded    []byte // room for text that is not in the document as it is
}

type tokenKind int

const (
	tokenOpen tokenKind = iota
	tokenClose
	tokenText
)

// token is valid until the next call of next.
type token struct {
	kind tokenKind
	name []byte // local
	text []byte
}

func (x *xmlScanner) bad(what string) error {
	return fmt.Errorf("%w: XML: %s at byte %d of %d", ErrBadResponse, what, x.pos, len(x.b))
}

// next returns the next token, or an error at the end of the document: the caller stops at the end
// of the root.
func (x *xmlScanner) next() (token, error) {
	if x.selfClosed {
		x.selfClosed = false
		return x.pop(), nil
	}
	for {
		rest := x.b[x.pos:]
		switch {
		case len(rest) < 2:
			return token{}, x.bad("cut short")
		case rest[0] != '<':
			return x.textToken()
		case rest[1] == '/':
			return x.endTag()
		case rest[1] != '!' && rest[1] != '?':
			return x.startTag()
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			return x.cdata()
		}
		if err := x.skipMarkup(rest); err != nil {
			return token{}, err
		}
	}
}

// skipMarkup passes over a comment or an instruction.
func (x *xmlScanner) skipMarkup(rest []byte) error {
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		return x.skip("<!--", "-->")
	case bytes.HasPrefix(rest, []byte("<?")):
		return x.skip("<?", "?>")
	}
	return x.bad("declaration")
}

// finish checks that only white space, comments and instructions follow the root.
func (x *xmlScanner) finish() error {
	for x.pos < len(x.b) {
		rest := x.b[x.pos:]
		if isSpace(rest[0]) {
			x.pos++
			continue
		}
		if err := x.skipMarkup(rest); err != nil {
			return err
		}
	}
	return nil
}

func (x *xmlScanner) skip(from, to string) error {
	i := bytes.Index(x.b[x.pos+len(from):], []byte(to))
	if i < 0 {
		return x.bad("unfinished " + from)
	}
	x.pos += len(from) + i + len(to)
	return nil
}

func (x *xmlScanner) cdata() (token, error) {
	start := x.pos + len("<![CDATA[")
	if err := x.skip("<![CDATA[", "]]>"); err != nil {
		return token{}, err
	}
	text := x.b[start : x.pos-len("]]>")]
	if len(x.open) == 0 {
		return token{}, x.bad("CDATA outside the root element")
	}
	return x.plain(text)
}

func (x *xmlScanner) textToken() (token, error) {
	end := bytes.IndexByte(x.b[x.pos:], '<')
	if end < 0 {
		x.pos = len(x.b)
		return token{}, x.bad("cut short")
	}
	raw := x.b[x.pos : x.pos+end]
	if bytes.IndexByte(raw, '&') < 0 {
		t, err := x.plain(raw)
		x.pos += end
		return t, err
	}
	text, err := x.expand(raw)
	x.pos += end
	return token{kind: tokenText, text: text}, err
}

// plain is text without entities; carriage returns become line feeds as XML demands.
func (x *xmlScanner) plain(raw []byte) (token, error) {
	if !validText(raw) {
		return token{}, x.bad("character")
	}
	if bytes.IndexByte(raw, '\r') >= 0 {
		x.decoded = appendLines(x.decoded[:0], raw)
		raw = x.decoded
	}
	return token{kind: tokenText, text: raw}, nil
}

func appendLines(dst, raw []byte) []byte {
	for i, c := range raw {
		switch {
		case c != '\r':
			dst = append(dst, c)
		case i+1 == len(raw) || raw[i+1] != '\n':
			dst = append(dst, '\n')
		}
	}
	return dst
}

// expand replaces the entities of text.
func (x *xmlScanner) expand(raw []byte) ([]byte, error) {
	if !validText(raw) {
		return nil, x.bad("character")
	}
	out := x.decoded[:0]
	for {
		amp := bytes.IndexByte(raw, '&')
		if amp < 0 {
			x.decoded = appendLines(out, raw)
			return x.decoded, nil
		}
		out = appendLines(out, raw[:amp])
		semi := bytes.IndexByte(raw[amp:], ';')
		if semi < 0 {
			return nil, x.bad("entity")
		}
		r, ok := entity(raw[amp+1 : amp+semi])
		if !ok {
			return nil, x.bad("entity")
		}
		out = utf8.AppendRune(out, r)
		raw = raw[amp+semi+1:]
	}
}

// entity resolves what stands between "&" and ";".
func entity(name []byte) (rune, bool) {
	switch string(name) {
	case "quot":
		return '"', true
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := string(name[1:]), 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !isChar(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}

// validText tells whether b is UTF-8 of characters that XML allows. Text is nearly always printable
// ASCII, which the first loop gets over with.
func validText(b []byte) bool {
	i := 0
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf {
		i++
	}
	for b = b[i:]; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !isChar(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

func (x *xmlScanner) startTag() (token, error) {
	x.pos++
	name, err := x.name()
	if err != nil {
		return token{}, err
	}
	if err := x.attributes(); err != nil {
		return token{}, err
	}
	x.open = append(x.open, name)
	return token{kind: tokenOpen, name: local(name)}, nil
}

// attributes skips to the end of a start tag.
func (x *xmlScanner) attributes() error {
	for {
		spaced := x.space()
		if x.pos >= len(x.b) {
			return x.bad("cut short")
		}
		switch x.b[x.pos] {
		case '>':
			x.pos++
			return nil
		case '/':
			if x.pos+1 >= len(x.b) || x.b[x.pos+1] != '>' {
				return x.bad("tag")
			}
			x.pos += 2
			x.selfClosed = true
			return nil
		}
		if !spaced {
			return x.bad("tag")
		}
		if err := x.attribute(); err != nil {
			return err
		}
	}
}

func (x *xmlScanner) attribute() error {
	if _, err := x.name(); err != nil {
		return err
	}
	x.space()
	if x.pos >= len(x.b) || x.b[x.pos] != '=' {
		return x.bad("attribute")
	}
	x.pos++
	x.space()
	if x.pos >= len(x.b) || x.b[x.pos] != '"' && x.b[x.pos] != '\'' {
		return x.bad("attribute")
	}
	quote := x.b[x.pos]
	end := bytes.IndexByte(x.b[x.pos+1:], quote)
	if end < 0 {
		return x.bad("attribute")
	}
	x.pos += end + 2
	return nil
}

func (x *xmlScanner) endTag() (token, error) {
	x.pos += len("</")
	if len(x.open) == 0 || !bytes.HasPrefix(x.b[x.pos:], x.open[len(x.open)-1]) {
		return token{}, x.bad("end tag that closes nothing")
	}
	x.pos += len(x.open[len(x.open)-1])
	x.space()
	if x.pos >= len(x.b) || x.b[x.pos] != '>' {
		return token{}, x.bad("end tag")
	}
	x.pos++
	return x.pop(), nil
}

func (x *xmlScanner) pop() token {
	name := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	return token{kind: tokenClose, name: local(name)}
}

// name reads a name as far as it goes.
func (x *xmlScanner) name() ([]byte, error) {
	start := x.pos
	for x.pos < len(x.b) && !endsName(x.b[x.pos]) {
		x.pos++
	}
	if x.pos == start {
		return nil, x.bad("name")
	}
	return x.b[start:x.pos], nil
}

func endsName(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', '/', '>', '=', '<', '"', '\'', '&':
		return true
	}
	return false
}

func (x *xmlScanner) space() bool {
	start := x.pos
	for x.pos < len(x.b) && isSpace(x.b[x.pos]) {
		x.pos++
	}
	return x.pos > start
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func local(name []byte) []byte {
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}
