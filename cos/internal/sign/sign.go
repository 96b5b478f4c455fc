package sign

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Algorithm is the one value of q-sign-algorithm.
const Algorithm = "sha1"

const upperHex = "0123456789ABCDEF"

// Escape percent-encodes every byte but A-Z a-z 0-9 - _ . ~, with upper-case hex digits.
func Escape(s string) string { return escape(s, false) }

// EscapeKey is Escape that leaves "/" as it is: the form of an object key in a request path and in
// x-cos-copy-source.
func EscapeKey(key string) string { return escape(key, true) }

func escape(s string, keepSlash bool) string {
	n := 0
	for i := range len(s) {
		if !unreserved(s[i], keepSlash) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		c := s[i]
		if unreserved(c, keepSlash) {
			b = append(b, c)
			continue
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return string(b)
}

func unreserved(c byte, keepSlash bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case c == '-', c == '_', c == '.', c == '~':
		return true
	}
	return c == '/' && keepSlash
}

// KeyTime is the "start;end" form of a validity window, in whole Unix seconds.
func KeyTime(start, end time.Time) string {
	return fmt.Sprintf("%d;%d", start.Unix(), end.Unix())
}

// Key derives the signing key of one validity window: the lower-case hex text, not its bytes.
func Key(secretKey, keyTime string) string { return hmacHex(secretKey, keyTime) }

// Canonical returns the list of names ("a;b") and the joined "a=1&b=2" text of query parameters or
// headers. Names are escaped and lower-cased, values escaped; the order is by name, then by value.
// A name that occurs more than once is listed each time; a name without values signs as "name=".
func Canonical(values map[string][]string) (list, joined string) {
	type pair struct{ name, value string }
	pairs := make([]pair, 0, len(values))
	for name, vs := range values {
		n := strings.ToLower(Escape(name))
		if len(vs) == 0 {
			pairs = append(pairs, pair{name: n})
		}
		for _, v := range vs {
			pairs = append(pairs, pair{n, Escape(v)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var l, j strings.Builder
	for i, p := range pairs {
		if i > 0 {
			l.WriteByte(';')
			j.WriteByte('&')
		}
		l.WriteString(p.name)
		j.WriteString(p.name)
		j.WriteByte('=')
		j.WriteString(p.value)
	}
	return l.String(), j.String()
}

// HTTPString is the request as the signature sees it. The path is decoded and begins with "/";
// params and headers hold the signed ones only (a url.Values and an http.Header fit as they are).
func HTTPString(method, path string, params, headers map[string][]string) string {
	_, p := Canonical(params)
	_, h := Canonical(headers)
	return strings.ToLower(method) + "\n" + path + "\n" + p + "\n" + h + "\n"
}

// StringToSign is what the signing key signs.
func StringToSign(signTime, httpString string) string {
	sum := sha1.Sum([]byte(httpString))
	return Algorithm + "\n" + signTime + "\n" + hex.EncodeToString(sum[:]) + "\n"
}

// Signature returns the hex signature of a request. params and headers hold the signed ones only;
// the header map must hold the Host under "host" if that is to be signed.
func Signature(secretKey, keyTime, signTime, method, path string, params, headers map[string][]string) string {
	return hmacHex(Key(secretKey, keyTime), StringToSign(signTime, HTTPString(method, path, params, headers)))
}

// Equal compares two signatures in constant time.
func Equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

func hmacHex(key, msg string) string {
	m := hmac.New(sha1.New, []byte(key))
	m.Write([]byte(msg))
	return hex.EncodeToString(m.Sum(nil))
}
