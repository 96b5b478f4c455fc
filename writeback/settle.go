package writeback

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"reflect"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// settleAttempt finds out whether a commit whose outcome was never known was applied, and if so makes its
// result the base. It needs the turn.
func (f *File) settleAttempt(ctx context.Context) error {
	f.mu.Lock()
	key, base, a := f.key, f.base, *f.attempt
	f.mu.Unlock()
	i, err := f.s.Client.Head(ctx, key, nil)
	f.s.Failpoint(fpSettleAsked)
	switch {
	case errors.Is(err, cos.ErrNotFound):
		return f.resolveAttempt(nil, Attr{}) // an object that vanished is for the commit to find out
	case err != nil:
		return err
	}
	v, attr := VersionOf(i, f.s.now()), DecodeAttr(i, f.s.Defaults)
	if v.Same(base) {
		return f.resolveAttempt(nil, Attr{})
	}
	ours, err := f.isAttempt(ctx, a, v)
	if err != nil {
		return err
	}
	if !ours && !f.isAttrAttempt(v, attr) {
		return f.resolveAttempt(nil, Attr{})
	}
	f.s.Logger.Info("a commit whose reply was lost had been applied", "ino", f.ino, "key", key, "etag", v.ETag)
	return f.resolveAttempt(&v, attr)
}

// isAttrAttempt reports whether an object that carries attr is what a change of attributes alone makes of the
// base. A copy of an appendable object has another ETag, and the base's checksum was never told.
func (f *File) isAttrAttempt(v Version, attr Attr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	want := f.attr
	if want.Mtime.IsZero() {
		want.Mtime = attr.Mtime
	}
	return f.dirtyAttr && !f.dirtyData && v.Size == f.base.Size && sameAttr(f.key, want, attr)
}

// isAttempt reports whether v is what the attempt a makes.
func (f *File) isAttempt(ctx context.Context, a journal.Attempt, v Version) (bool, error) {
	if !a.Append {
		return v.Size == a.Size && a.HasCRC64 && v.HasCRC64 && a.CRC64 == v.CRC64, nil
	}
	if !v.Appendable || v.Size < a.Size {
		return false, nil
	}
	r, err := f.fetcher(v)(ctx, a.From, a.Size-a.From)
	if err != nil {
		return false, err
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return false, err
	}
	return a.HasCRC64 && a.CRC64 == cos.CRC64Update(0, got), nil
}

// resolveAttempt ends the attempt: v is what it made, or nil if it was not applied.
func (f *File) resolveAttempt(v *Version, attr Attr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.attempt
	f.attempt = nil
	if v == nil {
		return f.persistLocked()
	}
	if f.behind != "" {
		f.arrivedHereLocked(f.behind, f.base)
	}
	var m extent.Map
	m.Set(extent.Extent{Off: 0, End: v.Size, Kind: extent.Base})
	shift := v.Size - a.Size // others appended behind us
	dirty := false
	for _, e := range f.ext.Pieces(0, f.size) {
		switch {
		case e.Kind == extent.Staged && e.Src > a.Stage, e.Kind == extent.Remote && e.Src > a.Source:
			if e.Off >= a.Size {
				e.Off, e.End = e.Off+shift, e.End+shift
			}
			m.Set(e)
			dirty = true
		case e.Kind == extent.Hole && e.Off < a.Size:
			m.Clear(e.Off, e.End)
		}
	}
	if f.size != a.Size {
		dirty = true
	}
	f.size += shift
	m.Truncate(f.size)
	f.ext, f.base, f.cur = m, *v, 0
	f.neverCommitted, f.fresh, f.shadows, f.dirtyData = false, false, false, dirty
	f.dataSeq++
	if !dirty && !f.mtimeSet {
		f.attr.Mtime = attr.Mtime
	}
	f.dirtyAttr = f.dirtyAttr && !sameAttr(f.key, f.attr, attr)
	f.closeReaderLocked()
	f.sweepStagingLocked()
	f.pruneSourcesLocked()
	f.s.mu.Lock()
	f.s.recordLocked(f.key, *v, f.attr)
	f.s.mu.Unlock()
	return f.settleJournalLocked()
}

// sameAttr reports whether what the object at key carries is what we meant it to, as far as HEAD tells. How it
// is encrypted is not compared: the bucket may do that by itself.
func sameAttr(key string, a, b Attr) bool {
	x, err := a.encode(key, true)
	y, err2 := b.encode(key, true)
	if err != nil || err2 != nil || !maps.Equal(x.Meta, y.Meta) {
		return false
	}
	for _, name := range listed {
		if cmp.Or(*header(&x, name), "STANDARD") != cmp.Or(*header(&y, name), "STANDARD") {
			return false
		}
	}
	return true
}

// sameACL reports whether both state the same access.
func sameACL(a, b cos.Headers) bool {
	var x, y cos.Headers
	takeACL(&x, a)
	takeACL(&y, b)
	return reflect.DeepEqual(x, y)
}
