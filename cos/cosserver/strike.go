package cosserver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
)

// lateLimit is how large a body Late can hold back. A larger request is applied at once and only its
// answer is lost.
const lateLimit = 64 << 20

func (r *request) logical() logical {
	l := logical{op: r.op.name, key: r.key, part: r.rec.Part, position: -1}
	if n, err := strconv.ParseInt(r.query.Get("position"), 10, 64); err == nil && r.op.name == "AppendObject" {
		l.position = n
	}
	return l
}

// beginFaults delays the request as the shape says, finds the rules that strike it and lets those for
// its beginning act.
func (r *request) beginFaults() error {
	if d := r.srv.Shape().Latency; d > 0 {
		if err := r.wait(d, nil); err != nil {
			return err
		}
	}
	var struck []*rule
	struck, r.rec.Attempt = r.srv.faults.match(r.logical())
	r.struck = len(struck) > 0
	for _, f := range struck {
		switch f.When {
		case Middle:
			r.middle = append(r.middle, f)
		case After:
			r.after = append(r.after, f)
		case Late:
			if err := r.late(f); err != nil {
				return err
			}
		default:
			if err := r.act(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// endFaults ends the tries of a request that got a proper answer.
func (r *request) endFaults() {
	if r.rec.Attempt > 0 && !r.struck && r.rec.Status > 0 && r.rec.Status < 500 {
		r.srv.faults.settle(r.logical())
	}
}

// act does what a rule says, unless that is about the answer.
func (r *request) act(f *rule) error {
	switch f.Action {
	case Fail:
		return f.failure()
	case Reset:
		return errReset
	case Stall:
		return r.waitFor(nil, f.removed)
	case Delay:
		return r.wait(f.Delay, f.removed)
	}
	return nil
}

// middleNow lets the rules act that waited for a body where there is none. GET has one yet to come.
func (r *request) middleNow() error {
	if r.op.name == "GetObject" {
		return nil
	}
	waiting := r.middle
	r.middle = nil
	for _, f := range waiting {
		if err := r.act(f); err != nil {
			return err
		}
	}
	return nil
}

// afterFaults lets the rules act that wait for the request to have been applied.
func (r *request) afterFaults() error {
	for _, f := range r.after {
		if err := r.act(f); err != nil {
			return err
		}
	}
	return nil
}

// late takes the request's body in, leaves the client with a broken connection, and comes back when
// it is time to apply the request.
func (r *request) late(f *rule) error {
	held, err := io.ReadAll(io.LimitReader(r.Body, lateLimit))
	if err != nil {
		return errReset
	}
	if len(held) == lateLimit {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(held), r.Body))
		r.after = append(r.after, newRule(Rule{When: After, Action: Reset}))
		return nil
	}
	r.reset()
	r.w = nowhere{header: http.Header{}}
	r.gone = true
	r.Request = r.Request.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(held))
	if f.Delay == 0 {
		return r.waitFor(nil, f.removed)
	}
	return r.wait(f.Delay, f.removed)
}

// spoil changes an answer as the rules say.
func (r *request) spoil(a *answer) {
	for _, f := range r.after {
		switch f.Action {
		case WrongCRC:
			r.forge(a, hdrCRC, regexp.MustCompile(`<CRC64>(\d+)`), func(old string) string {
				n, _ := strconv.ParseUint(old, 10, 64) // our own number
				return strconv.FormatUint(n^1, 10)
			})
		case WrongETag:
			r.forge(a, hdrETag, regexp.MustCompile(`<ETag>&quot;([0-9a-f]+)`), func(old string) string {
				return regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(old, "0123456789abcdef0123456789abcdef")
			})
		case ErrorInOK:
			e := f.failure()
			e.status = http.StatusOK
			*a = *r.errorAnswer(e, traceID())
		case Empty:
			a.body, a.size = []byte{}, 0
		case Pad:
			a.padding = int(f.Bytes)
			if a.padding == 0 {
				a.padding = 64
			}
		case Truncate:
			if a.body != nil {
				a.body = a.body[:f.place(len(a.body))]
			}
		case Corrupt:
			if len(a.body) > 0 {
				a.body[f.place(len(a.body)-1)] ^= 0x20
			}
		}
	}
}

// forge replaces a value in the header and in the document.
func (r *request) forge(a *answer, header string, element *regexp.Regexp, change func(string) string) {
	if v := r.w.Header()[header]; len(v) == 1 {
		r.set(header, change(v[0]))
	}
	m := element.FindSubmatchIndex(a.body)
	if m == nil {
		return
	}
	forged := change(string(a.body[m[2]:m[3]]))
	a.body = bytes.Join([][]byte{a.body[:m[2]], []byte(forged), a.body[m[3]:]}, nil)
	a.size = int64(len(a.body))
}

// place is where in a body of n bytes the rule strikes.
func (r *rule) place(n int) int {
	if r.Bytes > 0 {
		return int(min(r.Bytes, int64(n)))
	}
	return n / 2
}

// damage is what happens to the body of an object on its way out.
type damage struct {
	r      *request
	faults []*rule
	size   int64
}

func (r *request) bodyFaults(size int64) *damage {
	d := &damage{r: r, size: size}
	d.faults = append(d.faults, r.middle...)
	for _, f := range r.after {
		if f.Action == Truncate || f.Action == Corrupt {
			d.faults = append(d.faults, f)
		}
	}
	return d
}

// apply changes b, the bytes at off of the body, and returns how many of them may still be sent and
// how the answer ends after them, if it does.
func (d *damage) apply(b []byte, off int64) (int, error) {
	for _, f := range d.faults {
		at := f.Bytes
		if at == 0 {
			at = d.size / 2
		}
		i := at - off
		if i < 0 || i >= int64(len(b)) {
			continue
		}
		switch f.Action {
		case Corrupt:
			b[i] ^= 0xff
		case Truncate:
			return int(i), errCut
		default:
			if err := d.r.act(f); err != nil {
				return int(i), errReset // the status went out long ago
			}
		}
	}
	return len(b), nil
}
