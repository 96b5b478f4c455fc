package writeback

import (
	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// AppendMode says which commits are sent as appends.
type AppendMode int

// AppendAuto suits most buckets: a log that is opened with O_APPEND again and again costs its new bytes only,
// and everything else stays an ordinary object.
const (
	AppendAuto   AppendMode = iota // bytes from appending handles, to a new file or an appendable object
	AppendAlways                   // besides, whatever was written behind the end of an appendable object
	AppendNever                    // none: every object is made by a put or an upload
)

// appends reports whether the service may take the snapshot as an append to its base. A time that was asked
// for cannot be kept on an appendable object (a later append could not change it), so a new file with one
// is put.
func (c *snapshot) appends() bool {
	mode := c.f.s.Appends
	switch {
	case mode == AppendNever, c.size <= c.base.Size, c.size > cos.MaxPutBytes, c.behind != "", c.f.s.appendRefused():
		return false
	case c.base.Absent():
		return c.appendOnly && c.never && !c.shadows && !c.mtimeSet && appendableClass(c.attr.Headers)
	case !c.base.Appendable:
		return false
	}
	return c.appendOnly || mode == AppendAlways && c.growsOnly()
}

// appendsLocked reports whether a commit of f as it is now would be sent as an append.
func (f *File) appendsLocked() bool {
	if !f.dirtyData && !f.neverCommitted {
		return false
	}
	c := &snapshot{f: f, behind: f.behind, base: f.base, attr: f.bornLocked(), size: f.size, ext: f.ext, appendOnly: f.appendOnly, never: f.neverCommitted,
		shadows: f.shadows, mtimeSet: f.mtimeSet}
	return c.appends()
}

// growsOnly reports whether the snapshot is its base, unchanged, and bytes that were written behind it. A
// hole there would have to be sent as zeros: that is for a patch.
func (c *snapshot) growsOnly() bool {
	for _, e := range c.ext.Pieces(0, c.base.Size) {
		if e.Dirty || e.SrcOff != e.Off || e.Kind != extent.Base && e.Kind != extent.Staged {
			return false
		}
	}
	for _, e := range c.ext.Pieces(c.base.Size, c.size) {
		if e.Kind != extent.Staged {
			return false
		}
	}
	return true
}
