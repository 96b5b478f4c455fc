package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/treemodel"
)

// fault is what can happen to a request.
type fault struct {
	name string
	rule cosserver.Rule
	ops  string // operations that it can happen to; "" = all, "changes" = those that change something
}

// late is how long a request that nobody waits for any more takes to be applied.
const late = treemodel.Settled / 3

// faults are told of every reply but one: a wrong CRC of a copied part cannot be told from a wrong copy, so what comes
// of it is a conflict for the user to settle.
var faults = []fault{
	{"reset before", cosserver.Rule{Action: cosserver.Reset}, ""},
	{"lost reply", cosserver.Rule{Action: cosserver.Reset, When: cosserver.After}, ""},
	{"reset in the middle", cosserver.Rule{Action: cosserver.Reset, When: cosserver.Middle}, "PutObject AppendObject UploadPart GetObject"},
	{"stall before", cosserver.Rule{Action: cosserver.Stall}, ""},
	{"stall in the middle", cosserver.Rule{Action: cosserver.Stall, When: cosserver.Middle}, "PutObject AppendObject UploadPart GetObject"},
	{"stall after", cosserver.Rule{Action: cosserver.Stall, When: cosserver.After}, ""},
	{"applied late", cosserver.Rule{When: cosserver.Late, Delay: late}, "changes"},
	{"500", cosserver.Rule{Action: cosserver.Fail, Status: 500}, ""},
	{"500 after", cosserver.Rule{Action: cosserver.Fail, Status: 500, When: cosserver.After}, "changes"},
	{"500 at each try", cosserver.Rule{Action: cosserver.Fail, Status: 500, Limit: treemodel.Attempts}, ""},
	{"503", cosserver.Rule{Action: cosserver.Fail, Status: 503}, ""},
	{"403", cosserver.Rule{Action: cosserver.Fail, Status: 403}, ""},
	{"wrong CRC", cosserver.Rule{Action: cosserver.WrongCRC}, "PutObject UploadPart CopyObject CompleteMultipart"},
	{"error in a 200", cosserver.Rule{Action: cosserver.ErrorInOK, Status: 500}, "CopyObject UploadPartCopy CompleteMultipart"},
	{"answer cut", cosserver.Rule{Action: cosserver.Truncate}, "GetObject ListObjects"},
}

// fits reports whether the fault can happen to op.
func (f fault) fits(op string) bool {
	switch f.ops {
	case "":
		return true
	case "changes":
		return !strings.HasPrefix(op, "Head") && !strings.HasPrefix(op, "Get") && !strings.HasPrefix(op, "List")
	}
	return slices.Contains(strings.Fields(f.ops), op)
}

// strike is one case: the n-th request of an operation meets a fault.
type strike struct {
	op   string
	n    int
	what fault
}

func (s strike) String() string { return fmt.Sprintf("%s %d %s", s.op, s.n, s.what.name) }

func (s strike) rules() []cosserver.Rule {
	r := s.what.rule
	r.Op, r.Skip = s.op, s.n-1
	if r.Limit == 0 {
		r.Limit = 1
	}
	if r.Action != cosserver.Stall || r.When == cosserver.After {
		return []cosserver.Rule{r}
	}
	end := r // what stalled must not be applied when the rules go
	end.Action = cosserver.Reset
	return []cosserver.Rule{r, end}
}

// strikes are all cases of a workload that makes these requests, or a sample.
func strikes(requests map[string]int, seed uint64) (out []strike) {
	for _, op := range slices.Sorted(maps.Keys(requests)) {
		for n := range requests[op] {
			for _, f := range faults {
				if s := (strike{op, n + 1, f}); f.fits(op) && (*caseFlag == "" || *caseFlag == s.String()) {
					out = append(out, s)
				}
			}
		}
	}
	if !all() && len(out) > *sampleFlag {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		out = out[:*sampleFlag]
	}
	return out
}

// TestSingleFaults lets one request of a workload go wrong, in each way.
func TestSingleFaults(t *testing.T) {
	for i, wl := range workloads() {
		t.Run(wl.name, func(t *testing.T) {
			t.Parallel()
			w := treemodel.NewWorld(t, treemodel.Config{Name: wl.name, Background: wl.background, Hasty: true})
			requests, err := w.Requests(wl.setup, wl.ops)
			if err != nil {
				t.Fatalf("without a fault: %v\n%s", err, w.Log)
			}
			start, hits := time.Now(), 0
			cases := strikes(requests, *seedFlag+uint64(i))
			for n, s := range cases {
				struck, err := w.Strike(wl.setup, wl.ops, s.rules(), n%2 == 0)
				if err != nil {
					t.Errorf("%s: %v\nagain: go test ./test/faults -run 'TestSingleFaults/%s' -args -faults.all -faults.case='%s'\n%s",
						s, err, wl.name, s, w.Log)
				}
				if struck {
					hits++
				}
			}
			if hits == 0 {
				t.Error("no request was struck")
			}
			t.Logf("seed %d: %d cases, %d requests were struck, %v", *seedFlag, len(cases), hits, time.Since(start).Round(time.Millisecond))
		})
	}
}
