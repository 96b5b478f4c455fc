package writeback

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// deltaLimit is how many bytes not yet synced go into the journal itself, where one sync makes them safe
// together with what they mean. More of them are synced in their staging file first.
const deltaLimit = 64 << 10

// span is a range of a staging file that was written and not synced.
type span struct {
	src      uint32
	off, end int64
}

// noteUnsynced adds a range to what persist must make safe.
func (f *File) noteUnsynced(src uint32, off, end int64) {
	if n := len(f.unsynced); n > 0 && f.unsynced[n-1].src == src && f.unsynced[n-1].end == off {
		f.unsynced[n-1].end = end
	} else {
		f.unsynced = append(f.unsynced, span{src, off, end})
	}
}

// persistLocked records f as it is now, and returns when it would survive a power cut. After it every
// acknowledged byte is in a synced staging file or in the journal.
func (f *File) persistLocked() error { return f.persistReplacingLocked(nil) }

// persistReplacingLocked is persistLocked, and forgets the record of old, if not nil, in the same batch: two
// records of one name must not meet.
func (f *File) persistReplacingLocked(old *File) error {
	b := f.s.journal.Begin()
	if err := f.noteAttemptLocked(); err != nil {
		return err
	}
	if err := f.persistBytesLocked(b); err != nil {
		return err
	}
	r, err := f.inodeLocked()
	if err != nil {
		return err
	}
	b.PutInode(r)
	if e := cmp.Or(f.early, f.completing); e != nil && f.ext.Any(isSent) { // what is only there is part of f
		b.PutUpload(f.keptRecordLocked(e))
	}
	if old != nil {
		b.DropInode(old.ino)
	}
	f.s.Failpoint(fpPersistStaged)
	if err := b.Commit(journal.Sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	f.s.Failpoint(fpPersistDone)
	f.unsynced, f.journalled, f.volatile = nil, true, false
	f.sweepButLocked(func(id uint32) bool { return id <= f.frozen })
	return nil
}

// persistBytesLocked adds to b the bytes that are not safe yet, or syncs the files they are in.
func (f *File) persistBytesLocked(b *journal.Batch) error {
	var total int64
	for _, u := range f.unsynced {
		total += u.end - u.off
	}
	if total > deltaLimit || len(f.unsynced) > deltaLimit/512 {
		return f.syncStagingLocked(b)
	}
	for _, u := range f.unsynced {
		g := f.stage[u.src]
		if g == nil {
			continue // truncated away meanwhile
		}
		p := make([]byte, u.end-u.off)
		if err := g.readAt(p, u.off); err != nil {
			return err
		}
		f.deltaSeq++
		b.PutDelta(journal.Delta{Ino: f.ino, Seq: f.deltaSeq, Src: u.src, Off: u.off, Data: p})
	}
	return nil
}

// syncStagingLocked syncs every staging file, after which no delta is needed.
func (f *File) syncStagingLocked(b *journal.Batch) error {
	for _, g := range f.stage {
		if err := g.file.Sync(); err != nil {
			return stagingError(err)
		}
	}
	d, err := os.Open(f.s.stagingDir())
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil { // the names of new staging files
		return err
	}
	for id := range f.stage {
		f.s.synced(stagingName(f.ino, id))
	}
	b.DropDeltas(f.ino)
	f.sealLocked()
	return nil
}

// inodeLocked is f as the journal keeps it.
func (f *File) inodeLocked() (journal.Inode, error) {
	attr, err := json.Marshal(f.attr)
	if err != nil {
		return journal.Inode{}, err
	}
	r := journal.Inode{Ino: f.ino, Key: f.key, Base: versionRecord(f.base), Size: f.size, Attr: attr,
		NeverCommitted: f.neverCommitted, Fresh: f.fresh, Shadows: f.shadows, ShadowsAt: f.shadowsAt, Excl: f.create.Excl, Trunc: f.create.Trunc,
		DirtyData: f.dirtyData, DirtyAttr: f.dirtyAttr || f.frozenAttr, AppendOnly: f.appendOnly && (!f.committing || f.frozenAppend),
		Behind: f.behind, MtimeSet: f.mtimeSet, ACLKnown: f.aclKnown, Since: f.dirtySince, Attempt: f.attempt, Conflict: f.conflict}
	if f.err != nil {
		r.Err = f.err.Error()
	}
	r.Sources = f.sourceRecords()
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Staged && !e.Dirty { // the base has these bytes, safer than an unsynced file
			e = extent.Extent{Off: e.Off, End: e.End, Kind: extent.Base, SrcOff: e.Off}
		}
		r.Extents = append(r.Extents, journal.Extent{Off: e.Off, End: e.End, Kind: uint8(e.Kind), Dirty: e.Dirty, Src: e.Src, SrcOff: e.SrcOff})
	}
	return r, nil
}

func versionRecord(v Version) journal.Version {
	return journal.Version{ETag: v.ETag, Size: v.Size, LastModified: v.LastModified, CRC64: v.CRC64,
		HasCRC64: v.HasCRC64, Appendable: v.Appendable, VersionID: v.VersionID}
}

func versionOfRecord(v journal.Version) Version {
	return Version{ETag: v.ETag, Size: v.Size, LastModified: v.LastModified, CRC64: v.CRC64,
		HasCRC64: v.HasCRC64, Appendable: v.Appendable, VersionID: v.VersionID}
}

// forgetLocked drops f's record after it is in COS, or has no name. sync says that somebody was told so
// who would be wronged by its return.
func (f *File) forgetLocked(sync journal.Durability) error {
	if !f.journalled {
		return nil
	}
	b := f.s.journal.Begin()
	b.DropInode(f.ino)
	if err := b.Commit(sync); err != nil {
		return fmt.Errorf("journal: %w", stagingError(err))
	}
	f.journalled, f.sealed = false, 0
	return nil
}

// settleJournalLocked brings the record up to date after a commit that succeeded.
func (f *File) settleJournalLocked() error {
	f.attempt = nil
	switch {
	case !f.journalled:
		return nil
	case f.dirtyLocked() && (f.acked || f.dirtyAttr && !f.dirtyData):
		return f.persistLocked()
	}
	// Unsynced, the record might outlive a kill, and be taken for a change that lost to whoever wrote next.
	return f.forgetLocked(journal.Sync)
}

// beginAttempt records that a commit of a journalled state is about to be sent, so that recovery knows
// that it may have been applied.
func (c *snapshot) beginAttempt(kind planKind) error {
	f := c.f
	f.mu.Lock()
	journalled := f.journalled
	if !journalled {
		f.unnoted = &unnoted{c: c, kind: kind} // the journal may come to know f while the commit is under way
	}
	f.mu.Unlock()
	if !journalled {
		return nil
	}
	a, err := c.attemptTo(kind)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempt = a
	return f.persistLocked()
}

// unnoted is a commit under way of which the journal does not know.
type unnoted struct {
	c     *snapshot
	kind  planKind
	parts *cos.CompleteOptions // what the parts make, once they were sent
}

// noteAttemptLocked makes up for an attempt that was not recorded when it began, if what it makes can be told
// without the network.
func (f *File) noteAttemptLocked() error {
	u := f.unnoted
	if u == nil || f.attempt != nil || u.kind == planPut && u.c.baseBytes() > 0 {
		return nil
	}
	a, err := u.c.attemptTo(u.kind)
	if err != nil {
		return err
	}
	if u.parts != nil {
		a.CRC64, a.HasCRC64 = u.parts.CRC64, u.parts.HasCRC64
	}
	f.attempt, f.unnoted = a, nil
	return nil
}

// attemptTo describes what publishing the snapshot by this plan makes.
func (c *snapshot) attemptTo(kind planKind) (*journal.Attempt, error) {
	a := &journal.Attempt{Size: c.size, At: c.f.s.now(), Append: kind == planAppend, From: c.base.Size, Stage: c.lastStage,
		Source: c.lastSource}
	switch kind {
	case planAttr:
		a.CRC64, a.HasCRC64 = c.base.CRC64, c.base.HasCRC64
	case planCopy:
		v := c.wholeSource().v
		a.CRC64, a.HasCRC64 = v.CRC64, v.HasCRC64
	case planPut, planAppend:
		from := int64(0)
		if kind == planAppend {
			from = c.base.Size
		}
		crc, err := crcOf(c, from)
		if err != nil {
			return nil, c.readError(err)
		}
		a.CRC64, a.HasCRC64 = crc, true
	}
	return a, nil
}

// noteParts adds to the attempt, if there is one, what completing an upload to its key makes: nobody knew
// before the parts were sent.
func (c *snapshot) noteParts(key string, o *cos.CompleteOptions) error {
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unnoted != nil && key == c.key {
		f.unnoted.parts = o
	}
	if f.attempt == nil || key != c.key || !o.HasCRC64 {
		return nil
	}
	f.attempt.CRC64, f.attempt.HasCRC64 = o.CRC64, true
	return f.persistLocked()
}

// crcOf reads the snapshot from off on.
func crcOf(c *snapshot, off int64) (uint64, error) {
	var crc uint64
	buf := make([]byte, min(c.size, 1<<20))
	for off < c.size {
		n, err := c.ReadAt(buf[:min(int64(len(buf)), c.size-off)], off)
		if err != nil && n == 0 {
			return 0, err
		}
		crc = cos.CRC64Update(crc, buf[:n])
		off += int64(n)
	}
	return crc, nil
}

// forgetUpload notes that the upload is complete or aborted.
func (s *Store) forgetUpload(id string) {
	b := s.journal.Begin()
	b.DropUpload(id)
	if err := b.Commit(journal.NoSync); err != nil {
		s.Logger.Error("journal: a finished upload stays recorded", "upload_id", id, "err", err)
	}
	s.orphans.know(id, false)
}

// shadowLocked notes that f is to replace what is at its key now.
func (f *File) shadowLocked() { f.shadows, f.shadowsAt = true, f.s.now() }

// markDirtyLocked notes since when f is dirty.
func (f *File) markDirtyLocked(now time.Time) {
	if f.dirtySince.IsZero() {
		f.dirtySince = now
	}
}

// extentsOf is the inverse of what inodeLocked does.
func extentsOf(list []journal.Extent) (extent.Map, error) {
	var m extent.Map
	for _, e := range list {
		if e.Kind > uint8(extent.Sent) || e.End <= e.Off || e.Off < 0 {
			return m, fmt.Errorf("%w: extent %+v", journal.ErrFormat, e)
		}
		m.Set(extent.Extent{Off: e.Off, End: e.End, Kind: extent.Kind(e.Kind), Dirty: e.Dirty, Src: e.Src, SrcOff: e.SrcOff})
	}
	return m, nil
}
