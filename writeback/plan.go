package writeback

import (
	"slices"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// planKind is how a commit reaches the service.
type planKind uint8

const (
	planAttr      planKind = iota // attributes alone: the object is copied onto itself
	planPut                       // one put of everything
	planCopy                      // one copy of another object
	planAppend                    // one append of what follows the base
	planMultipart                 // parts uploaded, and copied where the service has the bytes
)

// plannedPart is one part of a multipart upload.
type plannedPart struct {
	number   int
	off, end int64
	copied   bool    // copied by the service, from srcOff of the base or of from
	from     *source // copied only; nil: the base
	srcOff   int64   // copied only
}

// minCopyPart is the smallest range that is copied rather than fetched and uploaded, but at the end of
// the file. Documents give 1 MiB in one place and 5 MiB in another as the least size of a copied part;
// the larger is the safe one.
const minCopyPart = 5 << 20

// patchSaves is how many bytes of the base a patch must spare this host to be worth its extra requests
// where a put would do.
const patchSaves = 4 << 20

// plan decides how the snapshot is committed.
func (c *snapshot) plan(threshold int64) planKind {
	switch {
	case !c.dirtyData && !c.base.Absent():
		return planAttr
	case c.appends():
		return planAppend
	case c.wholeSource() != nil:
		return planCopy
	case c.size > threshold, c.size > cos.MaxPutBytes:
		return planMultipart
	case c.baseBytes() >= patchSaves && c.size > minCopyPart:
		return planMultipart
	}
	return planPut
}

// baseBytes counts the bytes that only the service has.
func (c *snapshot) baseBytes() int64 { return c.bytesOf(extent.Base) + c.bytesOf(extent.Remote) }

// bytesOf counts the bytes in extents of a kind.
func (c *snapshot) bytesOf(k extent.Kind) int64 {
	var n int64
	for _, e := range c.ext.Extents() {
		if e.Kind == k {
			n += e.Len()
		}
	}
	return n
}

// derived reports whether the content depends on the base, or the base holds the name, so that somebody
// else's newer version would be lost under it.
func (c *snapshot) derived() bool {
	if c.base.Absent() {
		return false
	}
	return c.claimed() || c.ext.Any(func(e extent.Extent) bool { return !e.Dirty })
}

// parts plans a multipart upload. Without copies, or where nothing is copied, the parts follow the
// ladder; else dirty runs and clean runs alternate.
func (c *snapshot) parts(copies bool) []plannedPart {
	runs := c.runs(copies)
	if len(runs) == 1 && !runs[0].copied {
		return ladderParts(c.size)
	}
	for least := int64(minCopyPart); ; least *= 2 {
		if parts := splitRuns(mergeRuns(slices.Clone(runs), least), c.size, c.f.s.copyLimit()); len(parts) <= cos.MaxParts {
			return parts
		}
	}
}

// ladderParts cuts a file of size along the ladder, or evenly if the ladder does not reach.
func ladderParts(size int64) []plannedPart {
	if size > ladderReach {
		return splitRuns([]plannedPart{{off: 0, end: size}}, size, cos.MaxPutBytes)
	}
	var out []plannedPart
	for n := 1; n == 1 || partOff(n) < size; n++ {
		out = append(out, plannedPart{number: n, off: partOff(n), end: min(partOff(n+1), size)})
	}
	return out
}

// runs cuts the file into runs that are uploaded and runs that are copied, in turn. Bytes that are both
// staged and in the base are copied: it is the same content, and no byte moves.
func (c *snapshot) runs(copies bool) []plannedPart {
	var out []plannedPart
	for _, e := range c.ext.Pieces(0, c.size) {
		p := plannedPart{off: e.Off, end: e.End}
		inBase := e.Kind == extent.Base || e.Kind == extent.Staged && !e.Dirty && e.SrcOff == e.Off
		switch {
		case !copies:
		case inBase && !c.base.Absent() && !c.f.s.copyRefused(c.base):
			p.copied, p.srcOff = true, e.Off
		case e.Kind == extent.Remote && !c.f.s.copyRefused(c.sources[e.Src].v):
			p.copied, p.srcOff, p.from = true, e.SrcOff, c.sources[e.Src]
		}
		out = appendRun(out, p)
	}
	return out
}

// appendRun adds p, joined to the last run if it continues it.
func appendRun(runs []plannedPart, p plannedPart) []plannedPart {
	if n := len(runs); n > 0 {
		l := &runs[n-1]
		if l.copied == p.copied && l.from == p.from && (!p.copied || l.srcOff+l.end-l.off == p.srcOff) {
			l.end = p.end
			return runs
		}
	}
	return append(runs, p)
}

// mergeRuns turns copied runs shorter than least into uploaded ones, and widens uploaded runs to the
// least size of a part. The last run may be of any size.
func mergeRuns(runs []plannedPart, least int64) []plannedPart {
	var out []plannedPart
	for i, r := range runs {
		if r.copied && i < len(runs)-1 && r.end-r.off < least {
			r.copied, r.srcOff, r.from = false, 0, nil
		}
		if n := len(out); n > 0 && r.copied && !out[n-1].copied {
			if need := cos.MinPartBytes - (out[n-1].end - out[n-1].off); need > 0 {
				take := min(need, r.end-r.off)
				if rest := r.end - r.off - take; rest < least && i < len(runs)-1 {
					take = r.end - r.off
				}
				out[n-1].end += take
				r.off += take
				r.srcOff += take
			}
		}
		if r.off < r.end {
			out = appendRun(out, r)
		}
	}
	return out
}

// splitRuns cuts runs into parts that the service takes, copied ones of at most copyLimit bytes, and numbers
// them.
func splitRuns(runs []plannedPart, size, copyLimit int64) []plannedPart {
	var out []plannedPart
	for _, r := range runs {
		part := copyLimit
		if !r.copied {
			part = max(ladderFirst, (size+cos.MaxParts/2-1)/(cos.MaxParts/2))
			part = min(part, cos.MaxPutBytes)
		}
		n := (r.end - r.off + part - 1) / part
		each := (r.end - r.off + n - 1) / n
		for off := r.off; off < r.end; off += each {
			p := plannedPart{number: len(out) + 1, off: off, end: min(off+each, r.end), copied: r.copied, from: r.from}
			if r.copied {
				p.srcOff = r.srcOff + off - r.off
			}
			out = append(out, p)
		}
	}
	return out
}
