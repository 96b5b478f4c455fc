package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cosfuse/writeback"
)

// headerProperties are the headers of new objects that have another name as a property.
var headerProperties = map[string]string{"x-cos-storage-class": "storage-class", "x-cos-acl": "acl"}

// metaHeader begins the headers of user metadata.
const metaHeader = "x-cos-meta-"

// readHeaders reads a file of headers for new files, in the form of COSFS: a line is "SUFFIX HEADER VALUE", or
// begins with a blank and is about every file; "#" begins a comment. The rule for the longest suffix comes first,
// and of equal ones the later.
func readHeaders(path string) ([]writeback.PropertyRule, error) {
	text, _, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	var rules []writeback.PropertyRule
	n := 0
	for line := range bytes.Lines(text) {
		n++
		rule, ok, err := parseHeader(strings.TrimRight(string(line), "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if ok {
			rules = append(rules, rule)
		}
	}
	slices.Reverse(rules)
	slices.SortStableFunc(rules, func(a, b writeback.PropertyRule) int { return cmp.Compare(len(b.Suffix), len(a.Suffix)) })
	return rules, nil
}

var errHeaderLine = errors.New("want SUFFIX HEADER VALUE, or a blank in the place of SUFFIX")

// parseHeader reads one line; ok is false if it says nothing.
func parseHeader(line string) (r writeback.PropertyRule, ok bool, err error) {
	if strings.TrimSpace(line) == "" || line[0] == '#' {
		return r, false, nil
	}
	rest := line
	if blank := line[0] == ' ' || line[0] == '\t'; !blank {
		r.Suffix, rest = cutField(line)
	}
	header, value := cutField(rest)
	if header == "" || value == "" {
		return r, false, errHeaderLine
	}
	name := strings.ToLower(header)
	if meta, is := strings.CutPrefix(name, metaHeader); is {
		r.Name = "meta." + meta
	} else {
		r.Name = cmp.Or(headerProperties[name], name)
	}
	r.Value = value
	return r, true, r.Check()
}

// cutField takes the first word off s.
func cutField(s string) (field, rest string) {
	s = strings.TrimSpace(s)
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}
