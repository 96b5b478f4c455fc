package writeback

import (
	"fmt"

	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// punch gives up the staged bytes of parts of f that were sent early, because staging is full: from then on
// they are only in the unfinished upload. That makes files possible that are larger than the staging
// budget; they can be neither read nor changed there before they are committed (ErrStagingFull), and the
// upload is kept if the commit fails. It reports whether any space was freed.
func (f *File) punch() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.early
	if e == nil || f.committing {
		return false
	}
	before, punched := f.ext.Clone(), []extent.Extent(nil)
	for n, p := range e.parts {
		if p.ended() && p.err == nil && f.wholeLocked(n) {
			off, end := partOff(n), partOff(n+1)
			punched = append(punched, f.ext.Pieces(off, end)...)
			f.ext.Set(extent.Extent{Off: off, End: end, Kind: extent.Sent, SrcOff: off})
		}
	}
	if len(punched) == 0 {
		return false
	}
	if f.journalled { // the record must not point to bytes that are gone
		if err := f.persistLocked(); err != nil {
			f.ext = before
			f.s.Logger.Error("staging space cannot be given up: journal", "ino", f.ino, "key", f.key, "err", err)
			return false
		}
	}
	freed := f.freeLocked(punched)
	if freed > 0 {
		f.s.Logger.Debug("parts that were sent gave up their staging space", "ino", f.ino, "key", f.key, "bytes", freed)
		f.s.budget.give(freed)
	}
	return freed > 0
}

// ended reports whether the part was sent or failed.
func (p *earlyPart) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// freeLocked gives back the blocks of staged bytes, and returns how many bytes that is.
func (f *File) freeLocked(pieces []extent.Extent) (freed int64) {
	for _, x := range pieces {
		g := f.stage[x.Src]
		if g == nil {
			continue // the whole file is gone by now
		}
		const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
		if err := unix.Fallocate(int(g.file.Fd()), mode, x.SrcOff, x.Len()); err != nil {
			f.s.Logger.Warn("staging space cannot be given up", "ino", f.ino, "key", f.key, "err", err)
			return freed
		}
		g.bytes -= x.Len()
		freed += x.Len()
	}
	return freed
}

// punchedLocked reports whether [off, end) touches a part whose bytes are only in the upload.
func (f *File) punchedLocked(off, end int64) bool {
	if f.early == nil || end <= off || !f.ext.Any(isSent) {
		return false
	}
	last := min(partAt(end-1), f.early.next)
	for n := partAt(off); n <= last; n++ {
		for _, x := range f.ext.Pieces(partOff(n), partOff(n+1)) {
			if x.Kind == extent.Sent {
				return true
			}
		}
	}
	return false
}

func isSent(e extent.Extent) bool { return e.Kind == extent.Sent }

// errPunched says why bytes cannot be touched.
func errPunched(key string) error {
	return fmt.Errorf("%w: these bytes of %q are only in its unfinished upload", ErrStagingFull, key)
}

// keepUploadLocked takes an upload back after its commit failed, because some bytes are nowhere else, and
// records it so that the next mount keeps it too. Parts written since are unsent.
func (f *File) keepUploadLocked(e *early) error {
	f.early = e
	f.unsendStagedLocked()
	b := f.s.journal.Begin()
	b.PutUpload(f.keptRecordLocked(e))
	return b.Commit(journal.Sync)
}

// keptRecordLocked is the journal's record of an upload that is to be kept.
func (f *File) keptRecordLocked(e *early) journal.Upload {
	r := journal.Upload{Key: e.key, UploadID: e.id, Ino: f.ino, Since: f.s.now(), Keep: true}
	for n, p := range e.parts {
		if p.ended() && p.err == nil {
			r.Parts = append(r.Parts, journal.Part{Number: n, ETag: p.part.ETag, Size: p.part.Size, CRC64: p.part.CRC64, HasCRC64: p.part.HasCRC64})
		}
	}
	return r
}

// keptUpload restores the upload that keepUploadLocked recorded.
func (f *File) keptUpload(r journal.Upload) {
	e := &early{key: r.Key, id: r.UploadID, attr: f.attr, begun: closedChan(), parts: make(map[int]*earlyPart),
		tries: make(map[int]*earlyPart)}
	e.attr.Mtime = r.Since // whatever it is, it is not stored
	for _, p := range r.Parts {
		e.parts[p.Number] = &earlyPart{done: closedChan(), part: partOfRecord(p)}
		e.next = max(e.next, p.Number+1)
	}
	f.s.orphans.know(e.id, true)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.early, f.dirtyAttr = e, true // which attributes the upload began with is not recorded: send them again
	f.unsendStagedLocked()
}

// unsendStagedLocked forgets all parts but those whose bytes are nowhere else: others may have been written
// since they were sent.
func (f *File) unsendStagedLocked() {
	for _, x := range f.ext.Extents() {
		if x.Kind != extent.Sent {
			f.unsendLocked(x.Off, x.End)
		}
	}
}

func partOfRecord(p journal.Part) cos.Part {
	return cos.Part{Number: p.Number, ETag: p.ETag, Size: p.Size, CRC64: p.CRC64, HasCRC64: p.HasCRC64}
}

// closedChan is a channel that nobody waits on.
func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
