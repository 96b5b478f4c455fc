package writeback

import (
	"context"
	"fmt"
	"io"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// Handle is one open file description.
type Handle struct {
	f        *File
	appends  bool
	poisoned bool // a write failed: guarded by File.mu
	closed   bool // guarded by File.mu
}

// Open makes a handle; appends says that it was opened with O_APPEND. Handles are closed with Close.
func (f *File) Open(appends bool) *Handle {
	f.s.mu.Lock()
	f.refs++
	f.s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handles++
	return &Handle{f: f, appends: appends}
}

// File returns the file that the handle is open on.
func (h *Handle) File() *File { return h.f }

// readRetries bounds how often a read begins again because our own commit replaced the base under it.
const readRetries = 8

// ReadAt fills p from off, dirty bytes and the base's as one file. It returns fewer bytes only at the end
// of the file, with a nil error. ErrStale if the version being read is gone from the service. It blocks
// on the network when the base is asked, and then ends with ctx.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	f := h.f
	for try := 0; ; try++ {
		n, v, err := f.readOnce(ctx, p, off)
		if err == nil || !isGone(err) {
			return n, err
		}
		f.mu.Lock()
		moved := f.base != v
		f.mu.Unlock()
		if !moved || try == readRetries {
			return 0, fmt.Errorf("%w: %w", ErrStale, err)
		}
	}
}

// readOnce reads staged bytes under the lock, so that no commit can remove them meanwhile, and the
// base's without it. v is the base that was read.
func (f *File) readOnce(ctx context.Context, p []byte, off int64) (n int, v Version, err error) {
	f.mu.Lock()
	v = f.base
	if off >= f.size || len(p) == 0 {
		f.mu.Unlock()
		return 0, v, nil
	}
	p = p[:min(int64(len(p)), f.size-off)]
	var remote []extent.Extent // in objects
	var readers []*baseReader  // of them
	for _, e := range f.ext.Pieces(off, off+int64(len(p))) {
		part := p[e.Off-off : e.End-off]
		switch e.Kind {
		case extent.Hole:
			clear(part)
		case extent.Staged:
			if err = f.stage[e.Src].readAt(part, e.SrcOff); err != nil {
				f.mu.Unlock()
				return 0, v, err
			}
		case extent.Sent:
			f.mu.Unlock()
			return 0, v, errPunched(f.key)
		default:
			remote = append(remote, e)
		}
	}
	for _, e := range remote {
		readers = append(readers, f.useReaderOfLocked(e))
	}
	f.mu.Unlock()
	for i, e := range remote {
		if err == nil {
			err = readFull(ctx, readers[i], p[e.Off-off:e.End-off], e.SrcOff)
		}
		f.unuseReader(readers[i])
	}
	if err != nil {
		return 0, v, err
	}
	return len(p), v, nil
}

// readFull fills p from the base; an end before that is an error.
func readFull(ctx context.Context, r *baseReader, p []byte, off int64) error {
	n, err := r.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteAt writes p at off, or at the end of the file if the handle appends, and returns len(p) or an error:
// nothing is written in part. After an error the handle is poisoned: further writes and flushes fail
// with ErrPoisoned until the file is truncated to zero or opened anew, so that what failed is never
// committed in part.
func (h *Handle) WriteAt(p []byte, off int64) (int, error) {
	f := h.f
	for {
		freed := f.s.budget.next()
		err := f.s.makeRoom(f, int64(len(p)))
		if err == nil {
			if err = h.stage(p, off); err == nil {
				return len(p), nil
			}
		}
		if !isDiskFull(err) || f.s.freeRoom(f, freed) != nil {
			return 0, h.poison(err)
		}
	}
}

// poison makes the handle fail from now on, unless it does already, and returns what to tell.
func (h *Handle) poison(err error) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	switch {
	case h.poisoned:
		return ErrPoisoned
	case h.f.parted:
		return ErrStale
	}
	h.poisoned = true
	return err
}

// stage is WriteAt once there is room. If it fails nothing was written, and the handle is not poisoned yet.
func (h *Handle) stage(p []byte, off int64) error {
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.poisoned {
		return ErrPoisoned
	}
	if f.parted {
		return ErrStale
	}
	if len(p) == 0 {
		return nil
	}
	if h.appends {
		off = f.size
	}
	if err := f.stageLocked(p, off); err != nil {
		return err
	}
	f.appendOnly = f.appendOnly && h.appends
	f.touchDataLocked(off + int64(len(p)))
	f.sendEarlyLocked(off + int64(len(p)))
	return nil
}

// stageLocked stores p as dirty bytes at off.
func (f *File) stageLocked(p []byte, off int64) error {
	end := off + int64(len(p))
	if off < 0 || end > cos.MaxObjectBytes {
		return ErrTooLarge
	}
	if f.punchedLocked(off, end) {
		return errPunched(f.key)
	}
	g, err := f.writableStageLocked(off)
	if err != nil {
		return err
	}
	if err := g.writeAt(p, off); err != nil {
		return err
	}
	f.countLocked(g, off, end)
	f.ext.Set(extent.Extent{Off: off, End: end, Kind: extent.Staged, Dirty: true, Src: g.id, SrcOff: off})
	f.noteUnsynced(g.id, off, end)
	f.unsendLocked(off, end)
	return nil
}

// countLocked counts the bytes of [off, end) that g did not hold before against the budget.
func (f *File) countLocked(g *staging, off, end int64) {
	n := end - off
	for _, e := range f.ext.Pieces(off, end) {
		if e.Kind == extent.Staged && e.Src == g.id && e.SrcOff == e.Off {
			n -= e.Len()
		}
	}
	g.bytes += n
	f.s.budget.take(n)
}

// writableStageLocked returns the staging file that takes writes: a new one if there is none, or if a
// commit under way, or one whose outcome is not known, reads the present one.
func (f *File) writableStageLocked(off int64) (*staging, error) {
	frozen := f.frozen
	if f.attempt != nil {
		frozen = max(frozen, f.attempt.Stage)
	}
	sealed := f.keepsLocked(f.cur) && (f.cur < f.sealed || off < f.sealedEnd)
	if f.cur != 0 && f.cur > frozen && !sealed {
		return f.stage[f.cur], nil
	}
	f.lastStage++
	g, err := newStaging(f.s.stagingDir(), f.ino, f.lastStage)
	if err != nil {
		return nil, err
	}
	if f.stage == nil {
		f.stage = make(map[uint32]*staging)
	}
	f.stage[g.id], f.cur = g, g.id
	return g, nil
}

// touchDataLocked notes that bytes changed and the file reaches at least to end.
func (f *File) touchDataLocked(end int64) {
	now := f.s.now()
	f.size = max(f.size, end)
	f.dirtyData, f.wrote, f.volatile = true, true, true
	f.markDirtyLocked(now)
	f.dataSeq++
	f.attrSeq++
	f.attr.Mtime, f.ctime, f.mtimeSet = now, now, false
}

// Truncate is ftruncate(2). Truncation to zero alone is not committed by Flush, but by Close and Fsync.
func (h *Handle) Truncate(size int64) error {
	if size < 0 || size > cos.MaxObjectBytes {
		return ErrTooLarge
	}
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parted {
		return ErrStale
	}
	if size > 0 && size < f.size && size > partOff(partAt(size)) && f.punchedLocked(size, size+1) {
		return errPunched(f.key)
	}
	f.truncateLocked(size)
	if size == 0 {
		h.poisoned = false
	}
	return nil
}

// Replace is what open(2) with O_TRUNC does: truncation to zero on behalf of the handle. Nothing is
// committed before bytes are written, or the handle is closed.
func (h *Handle) Replace() error { return h.Truncate(0) }

// Modes of Allocate, as in fallocate(2).
const (
	AllocKeepSize  = 1
	AllocPunchHole = 2
	AllocZeroRange = 16
)

// Allocate is fallocate(2) for the modes above; the caller refuses others. Space is not reserved beyond
// the size: COS has none to reserve.
func (h *Handle) Allocate(off, size int64, mode uint32) error {
	f := h.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.poisoned {
		return ErrPoisoned
	}
	end := off + size
	if off < 0 || size <= 0 || end > cos.MaxObjectBytes {
		return ErrTooLarge
	}
	zero := mode&(AllocPunchHole|AllocZeroRange) != 0
	grow := mode&AllocKeepSize == 0 && end > f.size
	if !zero && !grow {
		return nil
	}
	if zero && f.punchedLocked(off, end) {
		return errPunched(f.key)
	}
	f.appendOnly = false
	if zero {
		f.unsendLocked(off, end)
		f.ext.Clear(off, min(end, max(f.size, off)))
	}
	to := f.size
	if grow {
		to = end
	}
	f.touchDataLocked(to)
	return nil
}

// Flush is close(2) of one descriptor. If bytes were written since create, truncation to zero or the
// last commit it commits the file and returns when it is in COS; else it costs nothing. It also tells
// the error of a commit that nobody waited for.
func (h *Handle) Flush() error {
	f := h.f
	f.mu.Lock()
	poisoned := h.poisoned
	f.mu.Unlock()
	if poisoned {
		return ErrPoisoned
	}
	if f.s.Background {
		return f.acknowledge()
	}
	return f.commit(func() bool { return f.wrote && !f.unlinked })
}

// acknowledge is Flush in background mode: what was written is made safe in the journal, and sent to COS
// a moment later.
func (f *File) acknowledge() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.wrote || f.unlinked {
		return f.takeErrLocked()
	}
	return f.acknowledgeLocked()
}

// acknowledgeLocked records f's state and queues it.
func (f *File) acknowledgeLocked() error {
	if f.volatile {
		if err := f.persistLocked(); err != nil {
			return err
		}
	}
	f.wrote, f.acked = false, true
	f.s.lazy.add(f)
	return nil
}

// Fsync commits all that is dirty. See File.Fsync.
func (h *Handle) Fsync(ctx context.Context) error {
	h.f.mu.Lock()
	poisoned := h.poisoned
	h.f.mu.Unlock()
	if poisoned {
		return ErrPoisoned
	}
	return h.f.Fsync(ctx)
}

// Close ends the handle. The last one commits what Flush left, an empty file above all; a failure is
// kept with the data for the next sync, and returned.
func (h *Handle) Close() error {
	f := h.f
	f.mu.Lock()
	if h.closed {
		f.mu.Unlock()
		return nil
	}
	h.closed = true
	f.handles--
	last := f.handles == 0
	if last && f.dirtyAttr && !f.unlinked {
		f.s.lazy.add(f)
	}
	doomed := f.doomed
	f.mu.Unlock()
	var err error
	switch {
	case last && doomed:
		err = f.deleteDoomed()
	case last && !h.poisoned:
		err = f.commitLeft()
	}
	if last {
		f.partIfConflict()
	}
	f.Release()
	return err
}

// commitLeft commits what no Flush did: an empty file above all.
func (f *File) commitLeft() error {
	left := func() bool { return !f.unlinked && (f.dirtyData || f.neverCommitted && !isDirKey(f.key)) }
	if f.s.Background {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !left() {
			return nil
		}
		return f.acknowledgeLocked()
	}
	err := f.commit(left)
	if err != nil {
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}
	return err
}

// moveTail makes the bytes that c was to append follow the longer base v, in the live file too. It
// reports false if the file meanwhile changed otherwise than by appending.
func (f *File) moveTail(c *snapshot, v Version) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.appendOnly || f.unlinked {
		return false
	}
	old, by := c.base.Size, v.Size-c.base.Size
	var m extent.Map
	m.Set(extent.Extent{Off: 0, End: v.Size, Kind: extent.Base})
	for _, e := range f.ext.Pieces(old, f.size) {
		e.Off += by
		e.End += by
		m.Set(e)
	}
	f.ext, f.base = m, v
	f.size += by
	f.neverCommitted, f.fresh = false, false
	f.dirtyData, f.wrote = true, true
	f.dataSeq++
	f.cur = 0 // writes at their own offsets must not meet what moved
	f.closeReaderLocked()
	return true
}
