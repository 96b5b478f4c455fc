package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"cosfuse/cos/cosserver"
)

// row is one subject at one step.
type row struct {
	step, subject string
	cost          cost
	err           error // it could not do it
}

// cost is what a step took.
type cost struct {
	took  time.Duration
	cpu   time.Duration
	peak  int64 // bytes resident
	stats cosserver.Stats
}

// table is the result.
type table struct{ rows []row }

// columns of the table.
var columns = []string{"workload", "subject", "seconds", "CPU s", "peak MiB", "MiB received", "MiB sent", "requests"}

func (t table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	line := func(cells []string) { fmt.Fprintf(tw, "| %s\t|\n", strings.Join(cells, "\t| ")) }
	line(columns)
	rule := make([]string, len(columns))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	last := ""
	for _, r := range t.rows {
		step := r.step
		if step == last {
			step = ""
		}
		last = r.step
		line(append([]string{step, r.subject}, r.cells()...))
	}
	return tw.Flush()
}

func (r row) cells() []string {
	if r.err != nil {
		return []string{"failed", "", "", "", "", firstLine(r.err.Error())}
	}
	c := r.cost
	var in, out int64
	for op, s := range c.stats {
		in += s.BytesIn
		if op == "GetObject" {
			out = s.BytesOut
		}
	}
	return []string{
		fmt.Sprintf("%.2f", c.took.Seconds()), fmt.Sprintf("%.2f", c.cpu.Seconds()), fmt.Sprint(c.peak / mib),
		fmt.Sprintf("%.1f", float64(out)/mib), fmt.Sprintf("%.1f", float64(in)/mib), requests(c.stats),
	}
}

// firstLine is the beginning of an error: the rest is told as progress.
func firstLine(text string) string {
	const most = 60
	text, _, _ = strings.Cut(text, "\n")
	text = strings.ReplaceAll(text, "|", "/")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}

// shortNames of the commonest operations.
var shortNames = map[string]string{
	"GetObject": "GET", "HeadObject": "HEAD", "ListObjects": "LIST", "PutObject": "PUT", "DeleteObject": "DELETE",
}

// requests tells how many there were of each operation.
func requests(s cosserver.Stats) string {
	ops := slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		return cmp.Or(cmp.Compare(s[b].Requests, s[a].Requests), strings.Compare(a, b))
	})
	var parts []string
	for _, op := range ops {
		if n := s[op].Requests; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, cmp.Or(shortNames[op], op)))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
