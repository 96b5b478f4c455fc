package treemodel

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
)

// Op is one operation. It is plain data, so that a list of them can be shortened, printed and run again.
type Op struct {
	Op    string `json:"op"`
	Path  string `json:"path,omitempty"`
	To    string `json:"to,omitempty"`
	Slot  int    `json:"slot,omitempty"` // of an open file
	Off   int64  `json:"off,omitempty"`
	Len   int64  `json:"len,omitempty"`
	Flags int    `json:"flags,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
	Seed  uint64 `json:"seed,omitempty"` // of the bytes written, and of chance in faults
	Kill  int    `json:"kill,omitempty"` // kill the mount so many microseconds after the operation began; 0 = do not
	Fault *Fault `json:"fault,omitempty"`
}

// Fault is what goes wrong while an operation runs.
type Fault struct {
	Op     string `json:"op"`     // of the service; * is wild
	What   string `json:"what"`   // fail or reset
	When   string `json:"when"`   // before or after
	Status int    `json:"status"` // of fail
	Hard   bool   `json:"hard"`   // every try, so that the operation may fail; else some tries
}

// String is the op as one line of JSON, which ReadOps understands.
func (o Op) String() string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error() // unreachable: plain data
	}
	return string(b)
}

// ReadOps is the inverse of printing a list line by line.
func ReadOps(text string) ([]Op, error) {
	var ops []Op
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var o Op
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

// The alphabet is tiny, so that operations meet.
var names = []string{"a", "b", "c"}

const (
	slots    = 3
	maxDepth = 3
	maxSize  = 8 << 20
)

// Mix says how often kinds of operations are drawn, and which of the rarer things happen at all.
type Mix struct {
	Weights map[string]int
	Kills   bool // some operations are killed
	Soft    int  // of 100 operations, so many see faults that repetition cures
	Hard    int  // and so many see one that it does not
	Large   int  // of 100 sizes, so many are beyond a part
}

// Local is the weights of what every file system must agree on.
func Local() map[string]int {
	return map[string]int{
		"open": 10, "write": 14, "read": 5, "ftruncate": 4, "fsync": 3, "close": 9,
		"put": 8, "append": 8, "patch": 6, "get": 6, "truncate": 3,
		"copy": 6, "splice": 5,
		"unlink": 6, "mkdir": 7, "rmdir": 3, "rename": 10, "symlink": 2, "readlink": 1,
		"chmod": 3, "utimes": 3, "stat": 3, "readdir": 3,
	}
}

// With adds weights to base and returns it.
func With(base map[string]int, more map[string]int) map[string]int {
	for k, v := range more {
		base[k] = v
	}
	return base
}

// Draw makes n random operations.
func (m Mix) Draw(rng *rand.Rand, n int) []Op {
	var total int
	kinds := make([]string, 0, len(m.Weights))
	for _, k := range allKinds {
		if m.Weights[k] > 0 {
			kinds = append(kinds, k)
			total += m.Weights[k]
		}
	}
	ops := make([]Op, n)
	for i := range ops {
		r := rng.IntN(total)
		for _, k := range kinds {
			if r -= m.Weights[k]; r < 0 {
				ops[i] = m.one(rng, k)
				break
			}
		}
	}
	return ops
}

// allKinds is every Op, in a fixed order: the same seed draws the same list.
var allKinds = []string{
	"open", "write", "read", "ftruncate", "fsync", "close", "put", "append", "patch", "get", "truncate", "copy", "splice",
	"unlink", "mkdir", "rmdir", "rename", "symlink", "readlink", "chmod", "utimes", "stat", "readdir",
	"sync", "kill", "remount", "switch", "remoteput", "remotedelete", "age", "look",
}

var openFlags = []int{
	syscall.O_RDONLY, syscall.O_RDWR, syscall.O_RDWR | syscall.O_CREAT, syscall.O_RDWR | syscall.O_CREAT,
	syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC, syscall.O_RDWR | syscall.O_TRUNC,
	syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL,
	syscall.O_WRONLY | syscall.O_APPEND | syscall.O_CREAT, syscall.O_RDWR | syscall.O_APPEND,
}

// one draws one operation of a kind. Fields that the kind does not use stay zero.
func (m Mix) one(rng *rand.Rand, k string) Op {
	o := Op{Op: k}
	switch k {
	case "open", "write", "read", "ftruncate", "fsync", "close":
		o.Slot = rng.IntN(slots)
	case "splice":
		o.Path, o.Slot = randomPath(rng), rng.IntN(slots)
	case "sync", "kill", "remount", "switch", "age", "look":
		return o
	default:
		o.Path = randomPath(rng)
	}
	switch k {
	case "open":
		o.Path, o.Flags, o.Mode = randomPath(rng), openFlags[rng.IntN(len(openFlags))], randomMode(rng)
	case "write", "patch":
		o.Off, o.Len, o.Seed = m.size(rng), m.length(rng), rng.Uint64()
	case "put":
		o.Len, o.Mode, o.Seed = m.length(rng), randomMode(rng), rng.Uint64()
	case "append":
		o.Len, o.Mode, o.Seed = 1+rng.Int64N(3000), randomMode(rng), rng.Uint64()
	case "remoteput":
		o.Len, o.Seed = m.length(rng), rng.Uint64()
	case "read":
		o.Off, o.Len = m.size(rng), m.length(rng)
	case "ftruncate", "truncate":
		o.Len = m.size(rng)
	case "mkdir", "chmod":
		o.Mode = randomMode(rng) | 0o100
	case "rename":
		o.To = randomPath(rng)
	case "copy":
		o.To, o.Mode = randomPath(rng), randomMode(rng)
	case "splice":
		o.Off, o.Len = m.size(rng), m.length(rng)
	case "symlink":
		o.To = fmt.Sprintf("no/where/%d", rng.IntN(10))
	case "utimes":
		o.Off = 1e9 + rng.Int64N(5e8)
	}
	m.misfortune(rng, &o)
	return o
}

// misfortune lets the operation be killed or see faults.
func (m Mix) misfortune(rng *rand.Rand, o *Op) {
	switch r := rng.IntN(100); {
	case m.Kills && rng.IntN(20) == 0:
		o.Kill = 1 + int(rng.ExpFloat64()*3000)
	case r < m.Soft:
		f := []Fault{
			{Op: "*", What: "fail", Status: 503}, {Op: "*", What: "fail", Status: 500},
			{Op: "*", What: "reset", When: "before"}, {Op: "*", What: "reset", When: "after"},
			{Op: "*", What: "reset", When: "middle"},
		}[rng.IntN(5)]
		o.Fault, o.Seed = &f, rng.Uint64()
	case r < m.Soft+m.Hard:
		ops := []string{
			"PutObject", "AppendObject", "CopyObject", "UploadPart", "CompleteMultipart", "InitiateMultipart",
			"UploadPartCopy", "GetObject", "HeadObject", "ListObjects", "DeleteObject",
		}
		f := Fault{Op: ops[rng.IntN(len(ops))], What: "fail", Status: []int{403, 500, 503}[rng.IntN(3)], Hard: true}
		o.Fault = &f
	}
}

func randomPath(rng *rand.Rand) string {
	depth := 1 + min(rng.IntN(4), rng.IntN(maxDepth))
	parts := make([]string, depth)
	for i := range parts {
		parts[i] = names[rng.IntN(len(names))]
	}
	return strings.Join(parts, "/")
}

func randomMode(rng *rand.Rand) uint32 { return []uint32{0o644, 0o600, 0o755, 0o400}[rng.IntN(4)] }

// size is an offset or a size of a file: often 0, mostly small.
func (m Mix) size(rng *rand.Rand) int64 {
	switch r := rng.IntN(100); {
	case r < 25:
		return 0
	case r < 100-m.Large:
		return rng.Int64N(6000)
	}
	return rng.Int64N(maxSize - 2<<20)
}

// length is how many bytes are written or read.
func (m Mix) length(rng *rand.Rand) int64 {
	switch r := rng.IntN(100); {
	case r < 5:
		return 0
	case r < 100-m.Large:
		return 1 + rng.Int64N(5000)
	case r < 100-m.Large/2:
		return 60<<10 + rng.Int64N(20<<10) // about what goes into the journal itself
	}
	return 1 + rng.Int64N(2<<20)
}

// content is the bytes that an operation writes.
func content(seed uint64, n int64) []byte {
	p := make([]byte, n)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	_, _ = rand.NewChaCha8(key).Read(p) // never fails
	return p
}
