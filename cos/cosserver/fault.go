package cosserver

import (
	"hash/fnv"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// When says at which point of a request a rule strikes.
type When string

// Points of a request.
const (
	Before When = "before" // nothing has been applied, or even read
	Middle When = "middle" // in the request's body, else in the answer's; without either, before applying
	After  When = "after"  // applied, not yet answered
	Late   When = "late"   // the connection is reset; after the delay, or when the rule is removed, the request is applied
)

// Action says what happens then.
type Action string

// Actions at any point but Late, which has only its own.
const (
	Fail  Action = "fail"  // answer with Status and Code
	Reset Action = "reset" // close the connection without an answer; After, this loses the reply
	Stall Action = "stall" // wait until the rule is removed, then go on
	Delay Action = "delay" // wait for Delay, then go on
)

// Actions on the answer; When is After or empty.
const (
	Truncate  Action = "truncate"    // end the answer's body after Bytes, by default half of it
	Corrupt   Action = "corrupt"     // change the byte at Bytes of the answer's body, by default the middle one
	WrongCRC  Action = "wrong-crc"   // tell another CRC64
	WrongETag Action = "wrong-etag"  // tell another ETag
	ErrorInOK Action = "error-in-ok" // status 200 with an error document of Code
	Pad       Action = "pad"         // Bytes of white space ahead of the body, by default 64
	Empty     Action = "empty"       // no body
)

// Rule makes requests go wrong. It names them by what they mean: all conditions that are set must
// hold.
type Rule struct {
	Op       string `json:"op,omitempty"`       // operation as in Stats; * and ? are wild. "" = every
	Key      string `json:"key,omitempty"`      // object key; * (across /) and ? are wild. "" = every
	Part     int    `json:"part,omitempty"`     // part number; 0 = every
	Position *int64 `json:"position,omitempty"` // of an append; nil = every

	// Attempt is the n-th try of a logical request, which is an operation on a key, part and position.
	// Tries count until one is answered with less than 500 and no rule struck it. 0 = every.
	Attempt int `json:"attempt,omitempty"`

	Probability float64 `json:"probability,omitempty"` // of striking a request that fits; 0 = always
	Seed        uint64  `json:"seed,omitempty"`        // with the logical request and its try, decides by chance
	Skip        int     `json:"skip,omitempty"`        // requests that fit and are let through first
	Limit       int     `json:"limit,omitempty"`       // most requests struck; 0 = any number

	When   When          `json:"when,omitempty"` // "" = Before, or After for actions on the answer
	Action Action        `json:"action,omitempty"`
	Status int           `json:"status,omitempty"` // of Fail; 0 = 503
	Code   string        `json:"code,omitempty"`   // of Fail and ErrorInOK; "" = one that goes with Status
	Delay  time.Duration `json:"-"`                // of Delay and Late
	Bytes  int64         `json:"bytes,omitempty"`  // where in the body
}

// rule is a Rule in force.
type rule struct {
	Rule
	op, key *regexp.Regexp
	removed chan struct{}
	skipped int // guarded by faults.mu, as what follows
	struck  int
}

// logical is what tries of the same thing have in common.
type logical struct {
	op, key  string
	part     int
	position int64
}

type tries struct{ since, total int }

// faults holds the rules and counts tries while there are any.
type faults struct {
	mu    sync.Mutex // guards the fields below; a leaf
	rules []*rule
	tries map[logical]tries
}

// maxTries bounds the memory of tries. Past it, counting starts again.
const maxTries = 1 << 17

func newFaults() *faults { return &faults{tries: map[logical]tries{}} }

// glob compiles a pattern with * and ?; nil fits everything.
func glob(pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	expr := regexp.QuoteMeta(pattern)
	expr = strings.ReplaceAll(expr, `\*`, "(?s:.*)")
	expr = strings.ReplaceAll(expr, `\?`, "(?s:.)")
	return regexp.MustCompile("^" + expr + "$")
}

func newRule(r Rule) *rule {
	if r.When == "" {
		r.When = Before
		if r.onAnswer() {
			r.When = After
		}
	}
	return &rule{Rule: r, op: glob(r.Op), key: glob(r.Key), removed: make(chan struct{})}
}

// onAnswer reports whether the action changes the answer instead of replacing it.
func (r *Rule) onAnswer() bool {
	return slices.Contains([]Action{Truncate, Corrupt, WrongCRC, WrongETag, ErrorInOK, Pad, Empty}, r.Action)
}

// SetRules replaces all rules. What the old ones stall goes on.
func (s *Server) SetRules(rules []Rule) { s.faults.set(rules) }

// AddRule adds a rule behind the others. All rules that fit a request strike it, in order. remove
// takes it away again, and may be called more than once.
func (s *Server) AddRule(r Rule) (remove func()) { return s.faults.add(newRule(r)) }

// Rules returns the rules in force.
func (s *Server) Rules() []Rule {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]Rule, 0, len(s.faults.rules))
	for _, r := range s.faults.rules {
		out = append(out, r.Rule)
	}
	return out
}

// Struck returns how many requests the rules in force have struck; one that two of them struck counts twice.
func (s *Server) Struck() (n int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for _, r := range s.faults.rules {
		n += r.struck
	}
	return n
}

func (f *faults) set(rules []Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		close(r.removed)
	}
	f.rules = nil
	for _, r := range rules {
		f.rules = append(f.rules, newRule(r))
	}
	clear(f.tries)
}

func (f *faults) add(r *rule) (remove func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, r)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if i := slices.Index(f.rules, r); i >= 0 {
			f.rules = slices.Delete(f.rules, i, i+1)
			close(r.removed)
		}
	}
}

// match counts a try and returns the rules that strike it.
func (f *faults) match(l logical) (struck []*rule, try int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rules) == 0 {
		return nil, 0
	}
	if len(f.tries) >= maxTries {
		clear(f.tries)
	}
	t := f.tries[l]
	t.since++
	t.total++
	f.tries[l] = t
	for _, r := range f.rules {
		switch {
		case !r.fits(l, t):
		case r.skipped < r.Skip:
			r.skipped++
		default:
			r.struck++
			struck = append(struck, r)
		}
	}
	return struck, t.since
}

// settle ends the tries of a logical request: the next one is a new first.
func (f *faults) settle(l logical) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.tries[l]; ok {
		t.since = 0
		f.tries[l] = t
	}
}

func (r *rule) fits(l logical, t tries) bool {
	switch {
	case r.op != nil && !r.op.MatchString(l.op),
		r.key != nil && !r.key.MatchString(l.key),
		r.Part != 0 && r.Part != l.part,
		r.Position != nil && *r.Position != l.position,
		r.Attempt != 0 && r.Attempt != t.since,
		r.Limit != 0 && r.struck >= r.Limit:
		return false
	}
	return r.Probability == 0 || chance(r.Seed, l, t.total) < r.Probability
}

// chance is a number from 0 to 1 that depends on what is tried for which time, and so not on the
// order in which concurrent requests arrive.
func chance(seed uint64, l logical, total int) float64 {
	h := fnv.New64a()
	for _, s := range []string{
		strconv.FormatUint(seed, 16), l.op, l.key,
		strconv.Itoa(l.part), strconv.FormatInt(l.position, 10), strconv.Itoa(total),
	} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	// FNV leaves its high bits poorly mixed for short inputs: finish as splitmix64 does.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// failure is the answer of a Fail or ErrorInOK rule.
func (r *rule) failure() *apiError {
	status := r.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	code := r.Code
	if code == "" {
		code = defaultCodes[status]
	}
	if code == "" {
		code = "InternalError"
	}
	return &apiError{status: status, code: code, message: "A rule says so."}
}

var defaultCodes = map[int]string{
	http.StatusBadRequest:         "RequestTimeout",
	http.StatusForbidden:          "AccessDenied",
	http.StatusNotFound:           "NoSuchKey",
	http.StatusConflict:           "InvalidObjectState",
	http.StatusPreconditionFailed: "PreconditionFailed",
	http.StatusServiceUnavailable: "SlowDown",
}
