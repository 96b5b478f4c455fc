package writeback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// confirmedFor is how long a version counts as current after the service said so: within it a commit
// derived from the version is sent without asking again. COS has no conditional put, so a window
// remains in any case.
const confirmedFor = time.Second

// publish makes the service's object what the snapshot is.
func (c *snapshot) publish(ctx context.Context) (result, error) {
	s := c.f.s
	plan := c.plan(s.MultipartThreshold)
	if err := c.beginAttempt(plan); err != nil {
		return result{}, err
	}
	s.Failpoint(fpCommitAttempt)
	if c.shadows {
		s.keepReplacedAt(c.key, c.f)
	}
	if c.early != nil {
		if c.early.usable(c, plan) {
			return c.publishEarly(ctx)
		}
		if c.ext.Any(isSent) {
			return result{}, errPunched(c.key)
		}
		s.dropEarly(ctx, c.early)
		c.early = nil
	}
	return c.publishPlan(ctx, plan)
}

// publishPlan carries out the plan.
func (c *snapshot) publishPlan(ctx context.Context, plan planKind) (result, error) {
	switch plan {
	case planAttr:
		if c.behind != "" {
			return c.publishMove(ctx)
		}
		return c.publishAttr(ctx)
	case planCopy:
		return c.publishCopy(ctx, c.wholeSource())
	case planAppend:
		return c.publishAppend(ctx)
	case planPut:
		return c.publishPut(ctx)
	}
	return c.publishMultipart(ctx, true)
}

// stored returns the headers that carry the attributes, and the attributes as they will be read back.
func (c *snapshot) stored(mtime bool) (cos.Headers, Attr, error) {
	a := c.attr
	if !mtime {
		a.Mtime = time.Time{}
	}
	h, err := a.encode(c.key, mtime)
	return h, a, err
}

// publishPut sends everything in one request.
func (c *snapshot) publishPut(ctx context.Context) (result, error) {
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
	var r *cos.PutResult
	if err = c.checkFree(ctx, c.key, c.fresh); err == nil {
		r, err = c.f.s.Client.Put(ctx, c.key, c, c.size, &cos.PutOptions{Headers: h, ForbidOverwrite: c.fresh})
	}
	if errors.Is(err, cos.ErrExists) && c.fresh {
		if done, err := c.lostRace(ctx); err != nil || done.v.ETag != "" {
			return done, err
		}
		r, err = c.f.s.Client.Put(ctx, c.key, c, c.size, &cos.PutOptions{Headers: h})
	}
	if err != nil {
		return result{}, c.readError(err)
	}
	return result{v: c.version(r), attr: a}, nil
}

// version is what a put or a complete made.
func (c *snapshot) version(r *cos.PutResult) Version {
	return Version{ETag: r.ETag, Size: c.size, CRC64: r.CRC64, HasCRC64: r.HasCRC64,
		VersionID: r.VersionID, Confirmed: c.f.s.now()}
}

// lostRace decides what to do when somebody else made an object of this name after we found it absent.
// A zero result and a nil error mean: replace it, as open(2) with O_TRUNC would have.
func (c *snapshot) lostRace(ctx context.Context) (result, error) {
	switch {
	case isDirKey(c.key) && c.recovered: // made long ago; somebody made it as well
	case c.create.Excl:
		return result{}, ErrExists
	case c.create.Trunc:
		return result{}, nil
	case !isDirKey(c.key):
		return result{}, ErrConflict
	}
	i, err := c.f.s.Client.Head(ctx, c.key, nil) // a directory is there: that is all mkdir wants
	if err != nil {
		return result{}, err
	}
	return result{v: VersionOf(i, c.f.s.now()), attr: DecodeAttr(i, c.f.s.Defaults)}, nil
}

// checkBase makes sure that what the content was derived from is still the newest version.
func (c *snapshot) checkBase(ctx context.Context) error {
	if c.recovered {
		return c.checkRecovered(ctx)
	}
	if !c.derived() || c.f.s.now().Sub(c.base.Confirmed) < confirmedFor {
		return nil
	}
	i, err := c.f.s.Client.Head(ctx, c.src(), nil)
	switch {
	case errors.Is(err, cos.ErrNotFound):
		return fmt.Errorf("%w: %q was deleted", ErrConflict, c.key)
	case err != nil:
		return err
	case i.ETag != c.base.ETag:
		return fmt.Errorf("%w: %q", ErrConflict, c.key)
	}
	return nil
}

// checkRecovered makes sure that nobody wrote while this change lay in the journal of a mount that was
// gone, whether it is derived from what they replaced or not: it is older than theirs.
func (c *snapshot) checkRecovered(ctx context.Context) error {
	i, err := c.f.s.Client.Head(ctx, c.src(), nil)
	switch {
	case errors.Is(err, cos.ErrNotFound) && c.base.Absent():
		return nil
	case errors.Is(err, cos.ErrNotFound):
		return fmt.Errorf("%w: %q was deleted", ErrConflict, c.key)
	case err != nil:
		return err
	case i.ETag == c.base.ETag, c.base.Absent() && c.shadows && i.LastModified.Before(c.shadowsAt.Add(clockSlack)):
		return nil
	case isDirKey(c.key):
		return nil // somebody made the directory; our attributes come later
	}
	return fmt.Errorf("%w: %q was written after the mount that changed it was gone", ErrConflict, c.key)
}

// readError tells a conflict met while reading the base for a body from other failures.
func (c *snapshot) readError(err error) error {
	if isGone(err) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// publishAppend sends what follows the base. Attributes ride along when the append creates the object;
// later they wait, as a copy of an appendable object may be refused.
func (c *snapshot) publishAppend(ctx context.Context) (result, error) {
	h, a, err := c.stored(false)
	if err != nil {
		return result{}, err
	}
	if !c.appendOnly { // the bytes belong at this place, not at the end of whatever is there by now
		if err := c.checkBase(ctx); err != nil {
			return result{}, err
		}
	}
	at := c.base.Size
	body := io.NewSectionReader(c, at, c.size-at)
	r, err := c.f.s.Client.Append(ctx, c.key, at, body, c.size-at, &cos.AppendOptions{Headers: h})
	c.f.s.Failpoint(fpAppendSent)
	switch {
	case errors.Is(err, cos.ErrAppendPosition), errors.Is(err, cos.ErrNotAppendable):
		return result{}, c.moveTail(ctx, err)
	case errors.Is(err, cos.ErrUnsupported):
		c.f.s.refuseAppend()
		return result{}, errTailMoved // same bytes, another plan
	case err != nil:
		return result{}, c.readError(err)
	}
	if c.mtimeSet {
		a.Mtime = c.attr.Mtime
	}
	v := Version{ETag: r.ETag, Size: r.Next, Appendable: true, Confirmed: c.f.s.now()}
	return result{v: v, attr: a, keptAttr: c.dirtyAttr && !c.base.Absent()}, nil
}

// moveTail is called when the object does not end where we thought. If it only grew, or was made by
// somebody else, our bytes follow its end: that is what appending means.
func (c *snapshot) moveTail(ctx context.Context, cause error) error {
	if c.never && c.create.Excl {
		return ErrExists
	}
	if !c.appendOnly {
		return fmt.Errorf("%w: %q: %w", ErrConflict, c.key, cause)
	}
	i, err := c.f.s.Client.Head(ctx, c.key, nil)
	if errors.Is(err, cos.ErrNotFound) {
		return fmt.Errorf("%w: %q was deleted", ErrConflict, c.key)
	}
	if err != nil {
		return err
	}
	if i.Size < c.base.Size {
		return fmt.Errorf("%w: %q was cut or replaced: %w", ErrConflict, c.key, cause)
	}
	if !c.f.moveTail(c, VersionOf(i, c.f.s.now())) {
		return fmt.Errorf("%w: %q: %w", ErrConflict, c.key, cause)
	}
	c.f.s.Failpoint(fpAppendMoved)
	c.f.s.Changed(c.key)
	return errTailMoved
}

// publishMultipart uploads what the service does not have and lets it copy what it has.
func (c *snapshot) publishMultipart(ctx context.Context, copies bool) (result, error) {
	if (!copies || c.f.s.copyRefused(c.base)) && c.bytesOf(extent.Base) > c.f.s.RelayLimit {
		return result{}, ErrRelayLimit
	}
	parts := c.parts(copies)
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
	r, err := c.upload(ctx, c.key, parts, h, c.fresh)
	if errors.Is(err, cos.ErrExists) && c.fresh {
		if _, err := c.lostRace(ctx); err != nil {
			return result{}, err
		}
		r, err = c.upload(ctx, c.key, parts, h, false)
	}
	if errors.Is(err, cos.ErrInvalidState) && copies {
		c.f.s.refuseCopy(c.base)
		for _, g := range c.sources {
			c.f.s.refuseCopy(g.v)
		}
		return c.publishMultipart(ctx, false)
	}
	if err != nil {
		return result{}, c.readError(err)
	}
	return result{v: c.version(r), attr: a}, nil
}

// upload runs one multipart upload to key. A failed one is aborted.
func (c *snapshot) upload(ctx context.Context, key string, parts []plannedPart, h cos.Headers, forbid bool) (*cos.PutResult, error) {
	cl := c.f.s.Client
	id, err := c.f.s.initiate(ctx, key, c.f.ino, h)
	if err != nil {
		return nil, err
	}
	done, err := c.sendParts(ctx, key, id, parts, nil)
	c.f.s.Failpoint(fpUploadSent)
	if err == nil {
		err = c.checkFree(ctx, key, forbid)
	}
	if err == nil {
		o := &cos.CompleteOptions{ForbidOverwrite: forbid, Size: c.size}
		o.CRC64, o.HasCRC64 = combineCRC(done)
		if err := c.noteParts(key, o); err != nil {
			c.f.s.abort(ctx, key, id)
			return nil, err
		}
		var r *cos.PutResult
		if r, err = cl.CompleteMultipart(ctx, key, id, done, o); err == nil {
			c.f.s.Failpoint(fpUploadCompleted)
			c.f.s.forgetUpload(id)
			return r, nil
		}
	}
	c.f.s.abort(ctx, key, id)
	return nil, err
}

// abort gives up an upload. If the service does not take it, the next mount tries again.
func (s *Store) abort(ctx context.Context, key, id string) {
	if err := s.Client.AbortMultipart(ctx, key, id); err != nil && !errors.Is(err, cos.ErrNotFound) {
		s.Logger.Warn("upload not aborted; the next mount tries again", "key", key, "upload_id", id, "err", err)
		return
	}
	s.Failpoint(fpUploadAborted)
	s.forgetUpload(id)
}

// sendParts uploads and copies the parts, several at a time, but for those that have sent already. The
// first failure stops the rest.
func (c *snapshot) sendParts(ctx context.Context, key, id string, parts []plannedPart, have *early) ([]cos.Part, error) {
	done := make([]cos.Part, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.f.s.PartThreads)
	for i, p := range parts {
		if have != nil {
			if q, ok := have.sent(p); ok {
				done[i] = q
				c.f.sent.Add(q.Size)
				continue
			}
		}
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			done[i], err = c.sendPart(ctx, key, id, p)
			c.f.s.Failpoint(fpUploadPart)
			return err
		})
	}
	return done, g.Wait()
}

// sendPart uploads or copies one part.
func (c *snapshot) sendPart(ctx context.Context, key, id string, p plannedPart) (cos.Part, error) {
	cl := c.f.s.Client
	size := p.end - p.off
	if !p.copied {
		done, err := cl.UploadPart(ctx, key, id, p.number, io.NewSectionReader(c, p.off, size), size, nil)
		if err == nil {
			c.f.sent.Add(size)
		}
		return done, err
	}
	from := p.from
	if from == nil {
		from = &source{key: c.src(), v: c.base}
	}
	r, err := cl.UploadPartCopy(ctx, key, id, p.number, &cos.CopyPartOptions{Off: p.srcOff, Size: size, Source: from.wire()})
	switch {
	case p.from != nil && err != nil:
		return cos.Part{}, from.copyError(err)
	case errors.Is(err, cos.ErrPrecondition) || errors.Is(err, cos.ErrNotFound):
		return cos.Part{}, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if err != nil {
		return cos.Part{}, err
	}
	return cos.Part{Number: p.number, ETag: r.ETag, Size: size, CRC64: r.CRC64, HasCRC64: r.HasCRC64}, nil
}

// combineCRC returns the checksum of the whole, if every part's is known.
func combineCRC(parts []cos.Part) (crc uint64, ok bool) {
	for _, p := range parts {
		if !p.HasCRC64 {
			return 0, false
		}
		crc = cos.CRC64Combine(crc, p.CRC64, p.Size)
	}
	return crc, true
}
