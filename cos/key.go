package cos

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"cosfuse/cos/internal/sign"
)

// RefusedInKeys are the characters that the service takes in no key.
const RefusedInKeys = "\x18\x19\x1a\x1b"

// CheckKey explains why the service cannot hold an object under key, or returns nil. The error wraps
// ErrKeyInvalid.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: empty", ErrKeyInvalid)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: %d bytes long, at most %d are allowed", ErrKeyInvalid, len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: not UTF-8", ErrKeyInvalid)
	case strings.ContainsAny(key, RefusedInKeys):
		return fmt.Errorf("%w: a control character the service refuses", ErrKeyInvalid)
	case path.Clean("/"+key) == "/":
		// On the way such a path could turn into "/", and a delete of the key into one of the bucket.
		return fmt.Errorf("%w: it simplifies to the bucket itself", ErrKeyInvalid)
	}
	return nil
}

// escapedPath is the request path of a key. Slashes that a proxy might merge or resolve (after
// another slash, or next to a "." or ".." segment) travel as %2F, so that the decoded path, which is
// what is signed, arrives as it was.
func escapedPath(key string) string {
	esc := sign.EscapeKey(key)
	if !strings.Contains(key, "//") && !strings.Contains(key, "./") && !strings.Contains(key, "/.") && key[:1] != "/" {
		return "/" + esc
	}
	var b strings.Builder
	b.WriteByte('/')
	segments := strings.Split(esc, "/")
	for i, s := range segments {
		b.WriteString(s)
		if i == len(segments)-1 {
			break
		}
		if fragile(s) || isDots(segments[i+1]) {
			b.WriteString("%2F")
			continue
		}
		b.WriteByte('/')
	}
	return b.String()
}

func fragile(segment string) bool { return segment == "" || isDots(segment) }

func isDots(segment string) bool { return segment == "." || segment == ".." }
