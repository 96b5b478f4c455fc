package writeback

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cosfuse/writeback/extent"
	"cosfuse/writeback/journal"
)

// Recovery is what Open found of an earlier mount of the same directory, and what it did about it.
type Recovery struct {
	Files     int // with bytes or attributes to commit; they are committed in the background
	Bytes     int64
	Conflicts int // kept for the user: another writer was first
	Damaged   int // their staged bytes are not all there; kept, never committed
	Uploads   int // multipart uploads aborted
	Removals  int // deletions carried out, or found void
	Renames   int // directory renames completed
}

// Any reports whether there was anything to recover.
func (r Recovery) Any() bool { return r != Recovery{} }

// Recovered tells what Open recovered.
func (s *Store) Recovered() Recovery { return s.recovery }

// replay rebuilds the Files of a journal.
func (s *Store) replay(st *journal.State) error {
	deltas := make(map[uint64][]journal.Delta)
	for _, d := range st.Deltas {
		deltas[d.Ino] = append(deltas[d.Ino], d)
	}
	for _, r := range st.Inodes {
		f, err := s.restore(r, deltas[r.Ino])
		if err != nil {
			return fmt.Errorf("recover %q: %w", r.Key, err)
		}
		s.ino = max(s.ino, r.Ino)
		s.restoreBehind(f, r)
		switch {
		case f.damaged:
			s.recovery.Damaged++
			s.parked[f.ino] = f
		case f.conflict:
			s.recovery.Conflicts++
			s.parked[f.ino] = f
		default:
			s.recovery.Files++
			s.recovery.Bytes += f.ext.Dirty()
			s.names.at(r.Key).file = f
		}
	}
	for _, r := range st.Renames {
		s.ino = max(s.ino, r.ID)
	}
	for _, r := range st.Intents {
		s.ino = max(s.ino, r.ID)
	}
	return nil
}

// restore makes the File that r records. Bytes that should be staged and are not make it damaged.
func (s *Store) restore(r journal.Inode, deltas []journal.Delta) (*File, error) {
	f := &File{s: s, ino: r.Ino, key: r.Key, base: versionOfRecord(r.Base), size: r.Size, stage: make(map[uint32]*staging),
		neverCommitted: r.NeverCommitted, fresh: r.Fresh, shadows: r.Shadows, shadowsAt: r.ShadowsAt, create: CreateMode{Excl: r.Excl, Trunc: r.Trunc},
		dirtyData: r.DirtyData, dirtyAttr: r.DirtyAttr, appendOnly: r.AppendOnly, mtimeSet: r.MtimeSet, aclKnown: r.ACLKnown,
		journalled: true, acked: true, recovered: true, conflict: r.Conflict, attempt: r.Attempt, dirtySince: r.Since}
	if r.Err != "" {
		f.err = errors.New(r.Err)
		f.lastErr = f.err
	}
	if err := json.Unmarshal(r.Attr, &f.attr); err != nil {
		return nil, fmt.Errorf("%w: %w", journal.ErrFormat, err)
	}
	var err error
	if f.ext, err = extentsOf(r.Extents); err != nil {
		return nil, err
	}
	if err := f.restoreSources(r.Sources); err != nil {
		return nil, err
	}
	if err := f.reopenStaging(deltas); err != nil {
		return nil, err
	}
	f.sealLocked()
	f.unlinked = f.conflict || f.damaged
	return f, nil
}

// reopenStaging opens the staging files that extents point to and writes the deltas into them. No write
// goes to them in place any more: a new one is made for that.
func (f *File) reopenStaging(deltas []journal.Delta) error {
	need := make(map[uint32]int64) // staging file to the size it must have
	held := make(map[uint32]int64) // and to the bytes that extents want of it
	for _, e := range f.ext.Extents() {
		if e.Kind == extent.Staged {
			need[e.Src] = max(need[e.Src], e.SrcOff+e.Len())
			held[e.Src] += e.Len()
			f.lastStage = max(f.lastStage, e.Src)
		}
	}
	for _, d := range deltas {
		f.deltaSeq = max(f.deltaSeq, d.Seq)
		f.lastStage = max(f.lastStage, d.Src)
	}
	for id, size := range need {
		g, err := openStaging(f.s.stagingDir(), f.ino, id)
		if err != nil {
			return err
		}
		f.stage[id], g.bytes = g, held[id]
		f.s.budget.take(g.bytes)
		for _, d := range deltas {
			if d.Src != id {
				continue
			}
			if err := g.writeAt(d.Data, d.Off); err != nil {
				return err
			}
		}
		fi, err := g.file.Stat()
		if err != nil {
			return err
		}
		f.damaged = f.damaged || fi.Size() < size
	}
	if f.damaged {
		f.s.Logger.Error("staged bytes of a recovered file are missing; it is kept and not committed", "ino", f.ino, "key", f.key)
	}
	return nil
}

// openStaging opens the staging file of an earlier mount, or makes it if only deltas are left of it.
func openStaging(dir string, ino uint64, id uint32) (*staging, error) {
	file, err := os.OpenFile(filepath.Join(dir, stagingName(ino, id)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, stagingError(err)
	}
	return &staging{id: id, file: file}, nil
}

// stagingName is the name of a staging file.
func stagingName(ino uint64, id uint32) string {
	return strconv.FormatUint(ino, 16) + "-" + strconv.FormatUint(uint64(id), 16) + stagingSuffix
}

// sweepStaging removes the staging files that no File refers to, and returns how many there were: bytes
// that were written and never acknowledged.
func (s *Store) sweepStaging() (int, error) {
	used := make(map[string]bool)
	for _, f := range s.allFilesLocked() {
		for id := range f.stage {
			used[stagingName(f.ino, id)] = true
		}
	}
	list, err := os.ReadDir(s.stagingDir())
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range list {
		if used[e.Name()] || !strings.HasSuffix(e.Name(), stagingSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(s.stagingDir(), e.Name())); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// finish carries out what an earlier mount had begun: uploads are aborted, directory renames completed,
// deletions made, and dirty files queued for their commits. What fails stays in the journal.
func (s *Store) finish(st *journal.State) {
	kept := make(map[uint64]*File)
	for _, f := range s.allFilesLocked() {
		kept[f.ino] = f
	}
	for _, u := range st.Uploads {
		if f := kept[u.Ino]; u.Keep && f != nil {
			f.keptUpload(u)
			continue
		}
		s.abort(s.ctx, u.Key, u.UploadID)
		s.recovery.Uploads++
		s.Failpoint(fpRecoverUpload)
	}
	for _, in := range st.Intents {
		n, err := s.orphans.look(in)
		if err != nil {
			s.Logger.Warn("uploads that may be left behind cannot be looked for", "key", in.Key, "err", err)
			s.orphans.watch(in, s.now().Add(retryMax))
		}
		s.recovery.Uploads += n
		s.Failpoint(fpRecoverUpload)
	}
	for _, u := range s.unfinished(st) {
		if err := u.finish(); err != nil {
			s.Logger.Error("what an earlier mount began could not be completed; the next tries again", "op", u.op, "key", u.key, "err", err)
			continue
		}
		*u.count++
		s.Failpoint(u.failpoint)
	}
	for _, f := range s.allFilesLocked() {
		if !f.unlinked {
			s.lazy.add(f)
		}
	}
}

// unfinished is a rename or a deletion that an earlier mount had begun.
type unfinished struct {
	op, key, failpoint string
	since              time.Time
	finish             func() error
	count              *int
}

// unfinished returns the renames and deletions in the order in which they were begun: a directory takes along what
// is in it, and must not bring back what was deleted before.
func (s *Store) unfinished(st *journal.State) []unfinished {
	var out []unfinished
	for _, r := range st.Renames {
		finish := func() error { return s.renameTree(r, true) }
		if !isDirKey(r.Src) {
			finish = func() error { return s.finishFileRename(r) }
		}
		out = append(out, unfinished{"rename", r.Src, fpRecoverRename, r.Since, finish, &s.recovery.Renames})
	}
	for _, r := range st.Removals {
		finish := func() error { return s.finishRemoval(r) }
		out = append(out, unfinished{"deletion", r.Key, fpRecoverRemoval, r.Since, finish, &s.recovery.Removals})
	}
	slices.SortStableFunc(out, func(a, b unfinished) int { return a.since.Compare(b.since) })
	return out
}

// finishRemoval deletes what r means, and nothing that came after it.
func (s *Store) finishRemoval(r journal.Removal) error {
	v := versionOfRecord(r.Version)
	s.dropRemoved(r.Key, v)
	left, err := s.deleteVersion(r.Key, v)
	if err != nil {
		return err
	}
	if !left {
		s.mu.Lock()
		s.recordDeletedLocked(r.Key, v)
		s.mu.Unlock()
	}
	s.forgetRemoval(r.Key)
	return nil
}

// dropRemoved forgets the changes of a file that was about to be removed, as version v, when the mount died:
// the removal came after them.
func (s *Store) dropRemoved(key string, v Version) {
	s.mu.Lock()
	var f *File
	if e := s.names.get(key); e != nil {
		f = e.file
	}
	s.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock()
	meant := !f.neverCommitted && (isDirKey(key) || f.base.ETag == v.ETag)
	f.mu.Unlock()
	if meant {
		s.loseName(key, f)
	}
}

// loseReplaced is loseName for the recovered file with number ino, if that still has the name.
func (s *Store) loseReplaced(key string, ino uint64) {
	s.mu.Lock()
	var f *File
	if e := s.names.get(key); e != nil && e.file != nil && e.file.ino == ino {
		f = e.file
	}
	s.mu.Unlock()
	if f != nil {
		s.loseName(key, f)
	}
}

// loseName takes the name of f, which nobody uses, out of the tree, and its record out of the journal.
func (s *Store) loseName(key string, f *File) {
	s.mu.Lock()
	if e := s.names.at(key); e.file == f {
		e.file = nil
		s.names.drop(key)
	}
	s.mu.Unlock()
	f.orphan()
}

// forgetRemoval notes that a deletion is done or void.
func (s *Store) forgetRemoval(key string) {
	b := s.journal.Begin()
	b.DropRemoval(key)
	if err := b.Commit(journal.NoSync); err != nil { // its return would look at the version and leave it
		s.Logger.Error("journal: a deletion that is done stays recorded", "key", key, "err", err)
	}
}

// allFilesLocked returns every File, parked ones too.
func (s *Store) allFilesLocked() []*File {
	out := s.filesLocked("")
	for _, f := range s.parked {
		out = append(out, f)
	}
	return out
}

// partIfConflict takes a file that lost to another writer out of the tree once nobody has it open: the
// name shows what is in COS, and our bytes stay in the journal for the user to decide.
func (f *File) partIfConflict() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.conflict || f.unlinked || f.handles > 0 || !f.journalled {
		return
	}
	f.unlinked = true
	s := f.s
	s.mu.Lock()
	s.parked[f.ino] = f
	if e := s.names.get(f.key); e != nil && e.file == f {
		e.file, e.changed = nil, false
		s.names.drop(f.key)
	}
	s.mu.Unlock()
	s.Logger.Error("another writer was first; the local version is kept in the journal", "ino", f.ino, "key", f.key)
	s.Changed(f.key)
}
