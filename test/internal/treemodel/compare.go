package treemodel

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// view says how what was found is compared with the model.
type view struct {
	crashed bool // what a crash may leave is right as well
	attrs   bool // modes and times are known
}

// mismatch returns the first difference between the tree and what was found, or "".
func (t *tree) mismatch(found map[string]seen, v view) string {
	want := map[string]*inode{}
	t.root.list("", want)
	for _, p := range slices.Sorted(maps.Keys(want)) {
		n := want[p]
		s, ok := found[p]
		if diff := n.mismatch(s, ok, v); diff != "" {
			return fmt.Sprintf("%s: %s", p, diff)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(found)) {
		if want[p] == nil {
			return fmt.Sprintf("%s: %s, want nothing", p, found[p])
		}
	}
	return ""
}

// list adds n's descendants to out, by path.
func (n *inode) list(dir string, out map[string]*inode) {
	for name, k := range n.kids {
		p := path.Join(dir, name)
		out[p] = k
		k.list(p, out)
	}
}

func (n *inode) mismatch(s seen, ok bool, v view) string {
	if v.crashed {
		p := &s
		if !ok {
			p = nil
		}
		if !n.allows(p) {
			return fmt.Sprintf("%s after the crash, want %s", describe(p), n.alternatives())
		}
		if !ok || !n.kept {
			return ""
		}
	} else if !ok {
		return fmt.Sprintf("nothing, want %s", n)
	} else if !n.same(s, n.data) {
		if n.kind == file && s.kind == file {
			return fmt.Sprintf("%s, want %s; equal up to byte %d", s, n, commonPrefix(s.data, n.data))
		}
		return fmt.Sprintf("%s, want %s", s, n)
	}
	if !v.attrs || n.kind == link {
		return ""
	}
	if s.mode != n.mode {
		return fmt.Sprintf("mode %04o, want %04o", s.mode, n.mode)
	}
	if n.timed && !s.mtime.Equal(n.mtime) && (!v.crashed || len(n.past) == 1) {
		return fmt.Sprintf("mtime %v, want %v", s.mtime, n.mtime)
	}
	return ""
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// brief describes bytes by their length and a few of them.
func brief(data []byte) string {
	if len(data) <= 8 {
		return fmt.Sprintf("%d bytes %x", len(data), data)
	}
	return fmt.Sprintf("%d bytes %x..%x", len(data), data[:4], data[len(data)-4:])
}

func describe(s *seen) string {
	if s == nil {
		return "nothing"
	}
	return s.String()
}

// String describes what was found.
func (s seen) String() string {
	switch s.kind {
	case directory:
		return "a directory"
	case link:
		return "a link to " + s.target
	}
	return "a file of " + brief(s.data)
}

// String describes the inode as it is now.
func (n *inode) String() string {
	return seen{kind: n.kind, data: n.data, target: n.target}.String()
}

// alternatives describes what a crash may leave.
func (n *inode) alternatives() string {
	var out []string
	if !n.kept && n.under != nil {
		out = append(out, n.under.alternatives())
	} else if !n.kept {
		out = append(out, "nothing")
	}
	if n.kind != file {
		return strings.Join(append(out, n.String()), " or ")
	}
	for i, v := range n.past {
		if i == 0 || !bytes.Equal(v.data, n.past[i-1].data) {
			out = append(out, brief(v.data))
		}
	}
	return strings.Join(out, " or ")
}

// bucket is what the tree must be as objects: a marker is optional where the directory has names.
func (t *tree) bucketMismatch(objects map[string][]byte) string {
	want := map[string]*inode{}
	t.root.list("", want)
	left := maps.Clone(objects)
	for _, p := range slices.Sorted(maps.Keys(want)) {
		n, key := want[p], p
		var data []byte
		switch n.kind {
		case directory:
			key += "/"
		case link:
			data = []byte(n.target)
		default:
			data = n.data
		}
		got, ok := left[key]
		delete(left, key)
		switch {
		case !ok && (n.kind != directory || len(n.kids) == 0):
			return fmt.Sprintf("no object %s", key)
		case ok && !bytes.Equal(got, data):
			return fmt.Sprintf("object %s has %s, want %s; equal up to byte %d", key, brief(got), brief(data), commonPrefix(got, data))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		return fmt.Sprintf("object %s of %d bytes, want none", key, len(left[key]))
	}
	return ""
}
