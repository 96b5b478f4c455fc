package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// ErrCopyBytes says that the service cannot copy what CopyRange was asked to: read and write it instead.
var ErrCopyBytes = errors.New("cannot be copied by the service as it is")

// copyStaged is how many bytes one CopyRange takes over that are not in COS yet: the caller comes back for
// the rest.
const copyStaged = 64 << 20

// CopyRange makes the bytes from off on be size bytes of another file of the Store from srcOff on, and returns
// how many; fewer at that file's end, and where bytes are staged. What is in COS is not read: the service
// copies it when this file is committed. It waits for a commit of the other file, but for nothing else. The
// error is ErrCopyBytes, and nothing was done, where the service does not help: within one file, from a file
// without a name, from an archived object. Others are as those of WriteAt.
func (h *Handle) CopyRange(ctx context.Context, off int64, src *Handle, srcOff, size int64) (int64, error) {
	if src.f == h.f || src.f.s != h.f.s {
		return 0, ErrCopyBytes
	}
	if err := h.copyInto(off, size); err != nil {
		return 0, err
	}
	t, err := src.f.enter() // its base stays what it is until h's file is known to want it
	if err != nil {
		return 0, err
	}
	defer t.done()
	if err := src.f.commitCopies(srcOff, size); err != nil {
		return 0, err
	}
	pieces, err := src.f.copyable(srcOff, size)
	if err != nil {
		return 0, err
	}
	return h.takePieces(ctx, off-srcOff, src, pieces)
}

// copyInto tells whether anything may be copied to [off, off+size).
func (h *Handle) copyInto(off, size int64) error {
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case h.poisoned:
		return ErrPoisoned
	case f.parted:
		return ErrStale
	case off < 0 || size > cos.MaxObjectBytes-off:
		return ErrTooLarge
	case f.early != nil || h.appends: // parts are on their way: a copy among them would undo that
		return ErrCopyBytes
	}
	return nil
}

// commitCopies commits a closed file if bytes of [off, off+size) are still to be copied themselves, so that
// nobody copies from what is only a promise. It needs the turn.
func (f *File) commitCopies(off, size int64) error {
	f.mu.Lock()
	pieces := f.ext.Pieces(off, off+max(0, min(size, f.size-off)))
	some := slices.ContainsFunc(pieces, func(e extent.Extent) bool { return e.Kind == extent.Remote })
	closed := f.acked && !f.unlinked && !f.conflict
	key := f.key
	f.mu.Unlock()
	switch {
	case !some:
		return nil
	case !closed || len(f.s.dependents([]string{key}, nil)) > 0:
		return ErrCopyBytes
	}
	return f.commitInTurn(func() bool { return f.dirtyLocked() })
}

// taken is a piece of the file that is copied from, with the version that has it if the service does.
type taken struct {
	extent.Extent
	key string
	v   Version
}

// copyable cuts [off, off+size) of f, as far as f reaches, into what is zeros, what is staged, and what is in
// the object. It needs the turn.
func (f *File) copyable(off, size int64) ([]taken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off >= f.size {
		return nil, nil
	}
	var out []taken
	for _, e := range f.ext.Pieces(off, off+min(size, f.size-off)) {
		p := taken{Extent: e}
		switch {
		case e.Kind == extent.Remote || e.Kind == extent.Sent:
			return nil, ErrCopyBytes
		case e.Kind == extent.Base, e.Kind == extent.Staged && !e.Dirty && e.SrcOff == e.Off && !f.base.Absent():
			if f.unlinked || f.behind != "" || f.s.copyRefused(f.base) || archived(f.attr.Headers.StorageClass) {
				return nil, ErrCopyBytes
			}
			p.Kind, p.key, p.v, p.SrcOff = extent.Remote, f.key, f.base, e.Off
		}
		out = append(out, p)
	}
	return out, nil
}

// archived reports whether objects of a storage class must be restored before they are read or copied.
func archived(class string) bool { return class == "ARCHIVE" || class == "DEEP_ARCHIVE" }

// takePieces makes the pieces, moved by so much, part of h's file, and returns how many bytes they are.
func (h *Handle) takePieces(ctx context.Context, by int64, src *Handle, pieces []taken) (n int64, err error) {
	room := int64(copyStaged)
	for _, p := range pieces {
		if p.Kind == extent.Staged {
			k, err := h.takeStaged(ctx, by, src, p.Extent, room)
			n, room = n+k, room-k
			if n == 0 && err != nil {
				return 0, err
			}
			if err != nil || k < p.Len() {
				return n, nil // the caller comes back, and is told then
			}
			continue
		}
		switch err := h.takeRemote(by, p); {
		case n == 0 && err != nil:
			return 0, err
		case err != nil:
			return n, nil
		}
		n += p.Len()
	}
	return n, nil
}

// takeRemote makes a piece that is zeros, or in an object, part of h's file.
func (h *Handle) takeRemote(by int64, p taken) error {
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case h.poisoned:
		return ErrPoisoned
	case f.parted:
		return ErrStale
	case f.early != nil:
		return ErrCopyBytes
	}
	e := p.Extent
	e.Off, e.End = e.Off+by, e.End+by
	if e.Kind == extent.Remote {
		e.Src, e.Dirty = f.sourceLocked(p.key, p.v), true
	}
	f.ext.Set(e)
	f.appendOnly = false
	f.touchDataLocked(e.End)
	return nil
}

// takeStaged copies bytes that only this host has, at most room of them.
func (h *Handle) takeStaged(ctx context.Context, by int64, src *Handle, e extent.Extent, room int64) (n int64, err error) {
	buf := make([]byte, min(1<<20, e.Len()))
	for off := e.Off; off < e.End && n < room; {
		p := buf[:min(int64(len(buf)), e.End-off, room-n)]
		if h.f.s.budget.full(int64(len(p))) != nil {
			return n, ErrCopyBytes // a write waits for room; here it might wait for the turn we have
		}
		k, _, err := src.f.readOnce(ctx, p, off)
		if err != nil {
			return n, err
		}
		if k < len(p) {
			return n, ErrCopyBytes // cut meanwhile
		}
		if err := h.stage(p, off+by); err != nil {
			return n, h.poison(err)
		}
		off, n = off+int64(k), n+int64(k)
	}
	return n, nil
}

// wholeSource returns the source that the snapshot is a copy of, all of it and nothing else, if the service
// makes one in a single request; else nil.
func (c *snapshot) wholeSource() *source {
	list := c.ext.Extents()
	if len(list) != 1 || list[0].Kind != extent.Remote {
		return nil
	}
	e, g := list[0], c.sources[list[0].Src]
	if e.Off != 0 || e.SrcOff != 0 || e.End != c.size || g.v.Size != c.size || c.size > c.f.s.copyLimit() || c.f.s.copyRefused(g.v) {
		return nil
	}
	return g
}

// copyLimit is the most bytes that one request copies.
func (s *Store) copyLimit() int64 { return cmp.Or(s.CopyLimit, cos.MaxPutBytes) }

// publishCopy makes the object a copy of another one, with attributes of its own.
func (c *snapshot) publishCopy(ctx context.Context, g *source) (result, error) {
	if err := c.learnUntold(ctx); err != nil {
		return result{}, err
	}
	h, a, err := c.stored(true)
	if err != nil {
		return result{}, err
	}
	if err := c.checkBase(ctx); err != nil {
		return result{}, err
	}
	o := &cos.CopyOptions{Source: g.wire(), Replace: true, ReplaceTagging: true, Headers: h, ForbidOverwrite: c.fresh}
	var r *cos.CopyResult
	if err = c.checkFree(ctx, c.key, c.fresh); err == nil {
		r, err = c.f.s.Client.Copy(ctx, c.key, o)
	}
	if errors.Is(err, cos.ErrExists) && c.fresh {
		if done, err := c.lostRace(ctx); err != nil || done.v.ETag != "" {
			return done, err
		}
		o.ForbidOverwrite = false
		r, err = c.f.s.Client.Copy(ctx, c.key, o)
	}
	c.f.s.Failpoint(fpCopySent)
	switch {
	case errors.Is(err, cos.ErrInvalidState) && g.v.Appendable:
		c.f.s.refuseCopy(g.v)
		return c.publishPlan(ctx, c.plan(c.f.s.MultipartThreshold))
	case err != nil:
		return result{}, g.copyError(err)
	case r.HasCRC64 && g.v.HasCRC64 && r.CRC64 != g.v.CRC64:
		return result{}, fmt.Errorf("copy of %q: %w", g.key, cos.ErrChecksum)
	}
	return result{v: c.copied(r), attr: a}, nil
}

// copied is the version that a copy made.
func (c *snapshot) copied(r *cos.CopyResult) Version {
	return Version{ETag: r.ETag, Size: c.size, LastModified: r.LastModified.Truncate(time.Second), CRC64: r.CRC64, HasCRC64: r.HasCRC64,
		VersionID: r.VersionID, Confirmed: c.f.s.now()}
}

// wire is the source as requests name it: this version, or none.
func (g *source) wire() cos.Source {
	return cos.Source{Key: g.key, Conditions: cos.Conditions{IfMatch: g.v.ETag}}
}

// copyError tells that the source is not what it was: its bytes cannot be had any more.
func (g *source) copyError(err error) error {
	if errors.Is(err, cos.ErrPrecondition) || errors.Is(err, cos.ErrNotFound) {
		return fmt.Errorf("%w: the source %q of a copy that was not made yet: %w", ErrConflict, g.key, err)
	}
	return err
}
