package sign

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Errors of Parse and ParseQuery.
var (
	ErrNone      = errors.New("request is not signed")  // no q-* field at all
	ErrMalformed = errors.New("signature is malformed") // a field is missing, repeated or unreadable
)

// Names of the signature's fields, in the order in which String writes them.
const (
	fieldAlgorithm = "q-sign-algorithm"
	fieldSecretID  = "q-ak"
	fieldSignTime  = "q-sign-time"
	fieldKeyTime   = "q-key-time"
	fieldHeaders   = "q-header-list"
	fieldParams    = "q-url-param-list"
	fieldSignature = "q-signature"
	fieldMerged    = "sign" // a query parameter that carries all of them
)

// Fields are the parts of a signature as they travel.
type Fields struct {
	SecretID  string
	SignTime  string // "start;end" in Unix seconds
	KeyTime   string
	Headers   []string // names, escaped and lower-cased, repeated when the header is
	Params    []string
	Signature string // hex
}

// New signs a request over all given params and headers with one window for q-sign-time and
// q-key-time.
func New(secretID, secretKey, keyTime, method, path string, params, headers map[string][]string) Fields {
	pl, _ := Canonical(params)
	hl, _ := Canonical(headers)
	return Fields{
		SecretID:  secretID,
		SignTime:  keyTime,
		KeyTime:   keyTime,
		Headers:   split(hl),
		Params:    split(pl),
		Signature: Signature(secretKey, keyTime, keyTime, method, path, params, headers),
	}
}

// Authorization is the value of the Authorization header.
func (f Fields) Authorization() string { return f.join(";", func(s string) string { return s }) }

// Query is the raw query text of a presigned URL, to be appended to the caller's own parameters.
func (f Fields) Query() string { return f.join("%3B", url.QueryEscape) }

func (f Fields) join(sep string, esc func(string) string) string {
	var b strings.Builder
	for _, kv := range [...][2]string{
		{fieldAlgorithm, Algorithm},
		{fieldSecretID, esc(f.SecretID)},
		{fieldSignTime, esc(f.SignTime)},
		{fieldKeyTime, esc(f.KeyTime)},
		{fieldHeaders, strings.Join(f.Headers, sep)},
		{fieldParams, strings.Join(f.Params, sep)},
		{fieldSignature, f.Signature},
	} {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(kv[0] + "=" + kv[1])
	}
	return b.String()
}

// String redacts: a signature in a log can be replayed while its window lasts.
func (f Fields) String() string { return "signature of " + f.SecretID + " (redacted)" }

// Window returns the times between which the signature is valid, from q-sign-time.
func (f Fields) Window() (start, end time.Time, err error) {
	a, b, ok := strings.Cut(f.SignTime, ";")
	from, err1 := strconv.ParseInt(a, 10, 64)
	to, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return start, end, fmt.Errorf("%w: %s %q", ErrMalformed, fieldSignTime, f.SignTime)
	}
	return time.Unix(from, 0), time.Unix(to, 0), nil
}

// Parse reads an Authorization header. The fields may come in any order, their values are not
// escaped. It fails with ErrNone if the text is empty and with ErrMalformed otherwise.
func Parse(authorization string) (Fields, error) {
	authorization = strings.TrimSpace(authorization)
	if authorization == "" {
		return Fields{}, ErrNone
	}
	m := make(map[string][]string, 7)
	for kv := range strings.SplitSeq(authorization, "&") {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = append(m[k], v)
	}
	return fromMap(m)
}

// ParseQuery reads the signature of a presigned URL from its decoded query: seven q-* parameters,
// or one called "sign" that carries them all. The errors are those of Parse.
func ParseQuery(query url.Values) (Fields, error) {
	if query.Has(fieldMerged) && !query.Has(fieldSignature) {
		return Parse(query.Get(fieldMerged))
	}
	if !query.Has(fieldSignature) && !query.Has(fieldAlgorithm) {
		return Fields{}, ErrNone
	}
	return fromMap(query)
}

func fromMap(m map[string][]string) (Fields, error) {
	var f Fields
	var headers, params, algorithm string
	for name, dst := range map[string]*string{
		fieldAlgorithm: &algorithm,
		fieldSecretID:  &f.SecretID,
		fieldSignTime:  &f.SignTime,
		fieldKeyTime:   &f.KeyTime,
		fieldHeaders:   &headers,
		fieldParams:    &params,
		fieldSignature: &f.Signature,
	} {
		v := m[name]
		if len(v) != 1 {
			return Fields{}, fmt.Errorf("%w: %s occurs %d times", ErrMalformed, name, len(v))
		}
		*dst = v[0]
	}
	if algorithm != Algorithm {
		return Fields{}, fmt.Errorf("%w: unknown algorithm %q", ErrMalformed, algorithm)
	}
	if f.SecretID == "" || f.Signature == "" {
		return Fields{}, fmt.Errorf("%w: empty %s or %s", ErrMalformed, fieldSecretID, fieldSignature)
	}
	f.Headers, f.Params = split(headers), split(params)
	return f, nil
}

// IsField reports whether a query parameter belongs to the signature and so is never signed itself.
func IsField(name string) bool {
	switch name {
	case fieldAlgorithm, fieldSecretID, fieldSignTime, fieldKeyTime,
		fieldHeaders, fieldParams, fieldSignature, fieldMerged:
		return true
	}
	return false
}

// Select returns the values whose names are listed, with all their repetitions: what a server signs
// again. Unlisted values are left out, listed names that are absent too, and case is ignored.
func Select(values map[string][]string, names []string) map[string][]string {
	listed := make(map[string]bool, len(names))
	for _, n := range names {
		listed[strings.ToLower(n)] = true
	}
	out := make(map[string][]string, len(names))
	for name, vs := range values {
		if listed[strings.ToLower(Escape(name))] {
			out[name] = vs
		}
	}
	return out
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ";")
}
