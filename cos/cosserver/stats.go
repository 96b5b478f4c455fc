package cosserver

import (
	"strconv"
	"sync"
	"time"
)

// OpStats counts the requests of one operation.
type OpStats struct {
	Requests    int64 `json:"requests"`
	Errors      int64 `json:"errors"` // answered with 400 or more, or not at all
	BytesIn     int64 `json:"bytes_in"`
	BytesOut    int64 `json:"bytes_out"`
	MaxInFlight int   `json:"max_in_flight"`
}

// Stats are counts by the name of the operation: PutObject, AppendObject, GetObject, HeadObject,
// DeleteObject, DeleteObjects, CopyObject, InitiateMultipart, UploadPart, UploadPartCopy, ListParts,
// CompleteMultipart, AbortMultipart, ListUploads, ListObjects, HeadBucket and so on. Requests and
// MaxInFlight count from a request's arrival, the rest from its end.
type Stats map[string]OpStats

// Requests is the number of requests of all operations.
func (s Stats) Requests() int64 {
	var n int64
	for _, o := range s {
		n += o.Requests
	}
	return n
}

// Record is a request that ended.
type Record struct {
	Op       string    `json:"op"`
	Key      string    `json:"key"`
	Part     int       `json:"part,omitempty"`
	Position int64     `json:"position"`          // of an append, -1 for other operations
	Size     int64     `json:"size"`              // bytes put, appended, copied, completed or got
	Status   int       `json:"status"`            // 0 if no answer was sent
	Attempt  int       `json:"attempt,omitempty"` // counted while there are rules
	Start    time.Time `json:"start"`             // when its header had arrived
	End      time.Time `json:"end"`               // when its answer was handed to the connection
	BytesIn  int64     `json:"bytes_in"`
	BytesOut int64     `json:"bytes_out"`
}

// recorder keeps counts and the last records.
type recorder struct {
	mu   sync.Mutex // guards all fields
	ops  map[string]*opCount
	log  []Record // a ring once full
	next int      // where the ring goes on
	size int      // most records
}

type opCount struct {
	OpStats
	inFlight int
}

func newRecorder(size int) *recorder {
	return &recorder{ops: map[string]*opCount{}, size: size}
}

// begin counts a request in.
func (c *recorder) begin(r *request) *Record {
	rec := &Record{Op: r.op.name, Key: r.key, Position: -1, Start: time.Now()}
	if n, err := strconv.Atoi(r.query.Get("partNumber")); err == nil {
		rec.Part = n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.ops[rec.Op]
	if o == nil {
		o = &opCount{}
		c.ops[rec.Op] = o
	}
	o.Requests++
	o.inFlight++
	o.MaxInFlight = max(o.MaxInFlight, o.inFlight)
	return rec
}

// end counts a request out and remembers it.
func (c *recorder) end(rec *Record) {
	rec.End = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.ops[rec.Op]
	o.inFlight--
	o.BytesIn += rec.BytesIn
	o.BytesOut += rec.BytesOut
	if rec.Status == 0 || rec.Status >= 400 {
		o.Errors++
	}
	if len(c.log) < c.size {
		c.log = append(c.log, *rec)
		return
	}
	c.log[c.next] = *rec
	c.next = (c.next + 1) % c.size
}

func (c *recorder) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Stats{}
	for name, o := range c.ops {
		if o.OpStats != (OpStats{}) {
			out[name] = o.OpStats
		}
	}
	return out
}

func (c *recorder) records() []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(append([]Record{}, c.log[c.next:]...), c.log[:c.next]...)
}

func (c *recorder) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.ops {
		o.OpStats = OpStats{MaxInFlight: o.inFlight}
	}
	c.log, c.next = nil, 0
}

// Stats returns the counts since the last ResetStats.
func (s *Server) Stats() Stats { return s.stats.stats() }

// ResetStats sets all counts to zero and forgets the log. Requests under way count their bytes when
// they end.
func (s *Server) ResetStats() { s.stats.reset() }

// Log returns the last requests, in the order they ended. Options.LogSize bounds it.
func (s *Server) Log() []Record { return s.stats.records() }
