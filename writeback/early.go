package writeback

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// early is a multipart upload that runs while the application still writes: parts of the ladder are sent as
// soon as they are whole, so that little is left to send at close. Writing into a part that was sent, or
// cutting it, only makes it unsent again. The upload's attributes are those of its beginning; ones that
// change later cost a copy of the object onto itself, as for any object.
type early struct {
	key   string
	attr  Attr
	begun chan struct{} // closed when id or err is set
	id    string
	err   error // the upload could not begin, or is no more
	wg    sync.WaitGroup

	// Guarded by File.mu:
	parts    map[int]*earlyPart
	tries    map[int]*earlyPart // the last try of each number: two at once could end in either order
	inFlight int
	next     int // parts before this one were looked at
}

// earlyPart is a part that was sent or is being sent.
type earlyPart struct {
	done chan struct{} // closed when part and err are set
	part cos.Part
	err  error
}

// sendEarlyLocked starts to send the parts that are whole now. It is called after each write that ended at
// end, and costs nothing unless that passed the end of a part.
func (f *File) sendEarlyLocked(end int64) {
	e := f.early
	if e == nil {
		if f.size <= f.s.MultipartThreshold || end < f.earlyTry || !f.earlyWorthLocked() {
			return
		}
		e = f.beginEarlyLocked()
	}
	for n := e.next; e.inFlight < f.s.PartThreads && partOff(n+1) <= f.size; n++ {
		e.next = n + 1
		if e.parts[n] == nil && f.wholeLocked(n) {
			f.sendEarlyPartLocked(e, n)
		}
	}
}

// earlyWorthLocked reports whether the file is one that a commit would upload whole, in parts. If not, the
// question is put again a part further on.
func (f *File) earlyWorthLocked() bool {
	clean := func(e extent.Extent) bool { return e.Kind != extent.Staged || !e.Dirty }
	if f.unlinked || f.committing || f.attempt != nil || f.appendsLocked() || f.ext.Any(clean) {
		f.earlyTry = f.size + ladderFirst
		return false
	}
	return true
}

// wholeLocked reports whether every byte of part n is staged and dirty.
func (f *File) wholeLocked(n int) bool {
	for _, p := range f.ext.Pieces(partOff(n), partOff(n+1)) {
		if p.Kind != extent.Staged || !p.Dirty {
			return false
		}
	}
	return true
}

// beginEarlyLocked begins the upload in the background.
func (f *File) beginEarlyLocked() *early {
	e := &early{key: f.key, attr: f.bornLocked(), begun: make(chan struct{}), parts: make(map[int]*earlyPart),
		tries: make(map[int]*earlyPart), next: 1}
	f.early = e
	s := f.s
	e.wg.Go(func() {
		defer close(e.begun)
		if e.err = f.learnForEarly(e); e.err != nil {
			return
		}
		h, err := e.attr.encode(e.key, false) // a time that a write implied is not stored: there are writes to come
		if err == nil {
			e.id, err = s.initiate(s.ctx, e.key, f.ino, h)
		}
		e.err = err
	})
	return e
}

// learnForEarly asks what HEAD does not tell of an object that the upload will replace.
func (f *File) learnForEarly(e *early) error {
	f.mu.Lock()
	c := &snapshot{f: f, key: e.key, behind: f.behind, base: f.base, attr: e.attr, aclKnown: f.aclKnown, tagsKnown: f.tagsKnown}
	f.mu.Unlock()
	if err := c.learnUntold(f.s.ctx); err != nil {
		return err
	}
	takeUntold(&e.attr.Headers, c.attr.Headers)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.aclKnown { // else it was set meanwhile
		takeACL(&f.attr.Headers, c.attr.Headers)
	}
	f.attr.Headers.Tagging = c.attr.Headers.Tagging
	f.aclKnown, f.tagsKnown = f.aclKnown || c.aclKnown, f.tagsKnown || c.tagsKnown
	return nil
}

// sendEarlyPartLocked sends part n in the background, and then whatever has become whole.
func (f *File) sendEarlyPartLocked(e *early, n int) {
	p := &earlyPart{done: make(chan struct{})}
	before := e.tries[n]
	e.parts[n], e.tries[n] = p, p
	e.inFlight++
	off, size := partOff(n), partSize(n)
	c := &snapshot{f: f, ctx: f.s.ctx, size: f.size, stage: make(map[uint32]*staging)}
	for _, x := range f.ext.Pieces(off, off+size) {
		c.ext.Set(x)
		c.stage[x.Src] = f.stage[x.Src]
	}
	e.wg.Go(func() {
		defer f.earlyPartDone(e)
		defer close(p.done)
		<-e.begun
		if before != nil {
			<-before.done
		}
		if p.err = e.err; p.err != nil {
			return
		}
		p.part, p.err = f.s.Client.UploadPart(f.s.ctx, e.key, e.id, n, io.NewSectionReader(c, off, size), size, nil)
	})
}

// earlyPartDone makes room for the next part.
func (f *File) earlyPartDone(e *early) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.inFlight--
	if f.early == e {
		f.sendEarlyLocked(f.size)
	}
	f.s.budget.give(0) // who waits for room may punch now
}

// unsendLocked forgets the parts that overlap [off, end): their bytes changed.
func (f *File) unsendLocked(off, end int64) {
	e := f.early
	if e == nil || end <= off || off >= partOff(e.next) {
		return
	}
	from, to := partAt(off), partAt(end-1)
	for n := from; n <= to && n < e.next; n++ {
		delete(e.parts, n)
	}
	e.next = min(e.next, from)
}

// completeUpload commits f, whose name is about to change, if that is better than to begin again under the new
// one: its upload holds the only copy of some bytes, or a file that was closed in background mode has for
// the most part arrived. Copying it costs no bytes.
func (f *File) completeUpload() error {
	f.mu.Lock()
	only := f.ext.Any(isSent)
	most := f.s.Background && f.handles == 0 && 2*f.arrivedLocked() > f.size
	f.mu.Unlock()
	if !only && !most {
		return nil
	}
	err := f.commitInTurn(func() bool { return !f.unlinked })
	if only || err != nil && maybeApplied(err) {
		return err
	}
	return nil // refused: the next commit, under the new name, tells
}

// arrivedLocked counts the bytes that parts sent early have brought to the service.
func (f *File) arrivedLocked() (n int64) {
	if f.early == nil {
		return 0
	}
	for _, p := range f.early.parts {
		if p.ended() && p.err == nil {
			n += p.part.Size
		}
	}
	return n
}

// takeEarlyLocked hands the upload to a commit.
func (f *File) takeEarlyLocked() *early {
	e := f.early
	f.early, f.earlyTry = nil, 0
	return e
}

// dropEarly aborts an upload that will not be completed.
func (s *Store) dropEarly(ctx context.Context, e *early) {
	if e == nil {
		return
	}
	e.wg.Wait()
	if e.id != "" {
		s.abort(ctx, e.key, e.id)
	}
}

// sent returns the part if it was sent and is as the commit wants it.
func (e *early) sent(p plannedPart) (cos.Part, bool) {
	s := e.parts[p.number]
	if s == nil {
		return cos.Part{}, false
	}
	<-s.done
	return s.part, s.err == nil && s.part.Size == p.end-p.off
}

// publishEarly completes the upload: parts that were not sent, or changed since, are sent now.
func (c *snapshot) publishEarly(ctx context.Context) (result, error) {
	e, cl := c.early, c.f.s.Client
	c.early = nil
	e.wg.Wait() // parts in flight read the same staging files, and count
	if e.err != nil {
		return result{}, e.err
	}
	parts := ladderParts(c.size)
	done, err := c.sendParts(ctx, c.key, e.id, parts, e)
	if err == nil {
		err = c.checkBase(ctx)
	}
	if err == nil {
		err = c.checkFree(ctx, c.key, c.fresh)
	}
	if errors.Is(err, cos.ErrExists) {
		_, err = c.lostRace(ctx)
	}
	var r *cos.PutResult
	if err == nil {
		o := &cos.CompleteOptions{ForbidOverwrite: c.fresh, Size: c.size}
		o.CRC64, o.HasCRC64 = combineCRC(done)
		c.f.s.Failpoint(fpUploadSent)
		if err = c.noteParts(c.key, o); err == nil {
			r, err = cl.CompleteMultipart(ctx, c.key, e.id, done, o)
		}
		if errors.Is(err, cos.ErrExists) && c.fresh {
			if _, err = c.lostRace(ctx); err == nil {
				o.ForbidOverwrite = false
				r, err = cl.CompleteMultipart(ctx, c.key, e.id, done, o)
			}
		}
	}
	if err != nil && c.ext.Any(isSent) {
		c.early = e // some bytes are nowhere else
		return result{}, err
	}
	if err != nil {
		c.f.s.abort(ctx, c.key, e.id)
		return result{}, err
	}
	c.f.s.Failpoint(fpUploadCompleted)
	c.f.s.forgetUpload(e.id)
	a := c.attr
	if !c.mtimeSet {
		a.Mtime = e.attr.Mtime // neither is stored
	}
	if c.mtimeSet || !sameAttr(c.key, a, e.attr) || !sameACL(a.Headers, e.attr.Headers) {
		return result{v: c.version(r), attr: c.attr, keptAttr: true}, nil
	}
	return result{v: c.version(r), attr: e.stored()}, nil
}

// stored is what the object carries once the upload is complete.
func (e *early) stored() Attr {
	a := e.attr
	a.Mtime = time.Time{}
	return a
}

// usable reports whether the commit may complete the upload instead of making another.
func (e *early) usable(c *snapshot, plan planKind) bool {
	<-e.begun
	return e.err == nil && plan == planMultipart && e.key == c.key && c.baseBytes() == 0 && c.size <= ladderReach &&
		!errors.Is(c.ctx.Err(), context.Canceled)
}
