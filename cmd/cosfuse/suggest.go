package main

import "slices"

// nearest finds the candidate a mistyped word most likely means. ok is false if none is close: more
// than a third of the word, and at least two letters, would have to change.
func nearest(word string, candidates []string) (best string, ok bool) {
	limit := max(2, len(word)/3)
	slices.Sort(candidates) // ties do not depend on the caller's order
	for _, c := range candidates {
		if d := editDistance(word, c); d <= limit && d < len(c) {
			best, ok, limit = c, true, d-1
		}
	}
	return best, ok
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a
// into b.
func editDistance(a, b string) int {
	var before []int
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur := make([]int, len(b)+1)
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j+1]+1, cur[j]+1, prev[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], before[j-1]+1)
			}
		}
		before, prev = prev, cur
	}
	return prev[len(b)]
}
