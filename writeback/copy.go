package writeback

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/extent"
)

// refusals is what this bucket turned out not to do.
type refusals struct {
	mu         sync.Mutex
	appends    bool // no appendable objects: multi-AZ or versioned
	appendCopy bool // appendable objects cannot be copied
}

// appendRefused reports whether the bucket takes no appends.
func (s *Store) appendRefused() bool {
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	return s.refused.appends
}

func (s *Store) refuseAppend() {
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	s.refused.appends = true
}

// copyRefused reports whether the service is known to refuse copies of objects like v.
func (s *Store) copyRefused(v Version) bool {
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	return v.Appendable && s.refused.appendCopy
}

// refuseCopy notes that a copy of v was refused.
func (s *Store) refuseCopy(v Version) {
	if !v.Appendable {
		return // archived: it may be restored one day
	}
	s.refused.mu.Lock()
	defer s.refused.mu.Unlock()
	s.refused.appendCopy = true
}

// learnACL asks, once a version, for the ACL of an object that is about to be replaced: every way of doing
// so resets it, and HEAD does not tell it. An object made private in a public bucket must not become
// public by an edit.
func (c *snapshot) learnACL(ctx context.Context) error {
	if c.aclKnown || c.f.s.IgnoreACL || c.base.Absent() {
		return nil
	}
	acl, err := c.f.s.Client.ObjectACL(ctx, c.src())
	switch {
	case untold(err):
		c.f.s.Logger.Warn("the ACL of an object that is replaced cannot be read; the new one gets the bucket's", "key", c.key, "err", err)
	case err != nil:
		return err
	default:
		setACL(&c.attr.Headers, acl)
	}
	c.aclKnown = true
	return nil
}

// learnUntold asks for all that HEAD does not tell and a put or an upload resets: ACL and tags. A copy
// keeps tags by itself.
func (c *snapshot) learnUntold(ctx context.Context) error {
	if err := c.learnACL(ctx); err != nil {
		return err
	}
	if c.tagsKnown || c.f.s.IgnoreACL || c.base.Absent() {
		return nil
	}
	tags, err := c.f.s.Client.ObjectTagging(ctx, c.src())
	if err != nil && !untold(err) {
		return err
	}
	c.attr.Headers.Tagging, c.tagsKnown = tags, true
	return nil
}

// untold reports whether err says that we may not know, or that there is nothing to know.
func untold(err error) bool {
	return errors.Is(err, cos.ErrAccessDenied) || errors.Is(err, cos.ErrUnsupported) || errors.Is(err, cos.ErrNotFound)
}

// setACL states in h what acl grants. Inherited ACLs are left to be inherited.
func setACL(h *cos.Headers, acl *cos.ACL) {
	switch acl.Canned {
	case "default":
		return
	case "":
	default:
		h.ACL = acl.Canned
		return
	}
	add := func(to *string, id string) {
		if *to != "" {
			*to += ","
		}
		*to += `id="` + id + `"`
	}
	for _, g := range acl.Grants {
		if g.GranteeID == acl.Owner {
			continue
		}
		switch g.Permission {
		case "READ":
			add(&h.GrantRead, g.GranteeID)
		case "WRITE":
			add(&h.GrantWrite, g.GranteeID)
		case "READ_ACP":
			add(&h.GrantReadACP, g.GranteeID)
		case "WRITE_ACP":
			add(&h.GrantWriteACP, g.GranteeID)
		case "FULL_CONTROL":
			add(&h.GrantFullControl, g.GranteeID)
		}
	}
}

// takeUntold copies what src says of what HEAD does not tell.
func takeUntold(dst *cos.Headers, src cos.Headers) {
	takeACL(dst, src)
	dst.Tagging = src.Tagging
}

// tellUntoldLocked notes what c stated of what HEAD does not tell, but for an ACL that was set since the freeze.
func (f *File) tellUntoldLocked(c *snapshot) {
	f.attr.Headers.Tagging, f.tagsKnown = c.attr.Headers.Tagging, c.tagsKnown
	if f.attrSeq == c.attrSeq || sameACL(f.attr.Headers, c.acl) {
		takeACL(&f.attr.Headers, c.attr.Headers)
		f.aclKnown = c.aclKnown
	}
}

// takeACL copies what src says of the ACL.
func takeACL(dst *cos.Headers, src cos.Headers) {
	dst.ACL, dst.GrantRead, dst.GrantWrite = src.ACL, src.GrantRead, src.GrantWrite
	dst.GrantReadACP, dst.GrantWriteACP, dst.GrantFullControl = src.GrantReadACP, src.GrantWriteACP, src.GrantFullControl
}

// publishAttr sends attributes alone: the object is copied onto itself if it is still our base.
func (c *snapshot) publishAttr(ctx context.Context) (result, error) {
	if err := c.learnACL(ctx); err != nil {
		return result{}, err
	}
	if c.attr.Mtime.IsZero() {
		c.attr.Mtime = c.base.LastModified // the copy's own would be now
	}
	h, a, err := c.stored(true)
	if err != nil {
		return result{}, err
	}
	v, err := c.copyTo(ctx, c.key, &h)
	return result{v: v, attr: a}, err
}

// copyTo copies the base to key without its bytes passing through this host, or relays them where the
// service refuses. h replaces the metadata; with nil the copy keeps it, and what a copy does not keep
// (class, ACL, encryption) is restated.
func (c *snapshot) copyTo(ctx context.Context, key string, h *cos.Headers) (Version, error) {
	s := c.f.s
	if s.copyRefused(c.base) {
		return c.relayTo(ctx, key)
	}
	if c.base.Size > s.copyLimit() {
		return c.copyParts(ctx, key)
	}
	o := &cos.CopyOptions{ForbidOverwrite: c.forbids(key), Source: cos.Source{Key: c.src(), Conditions: cos.Conditions{IfMatch: c.base.ETag}}}
	if h != nil {
		o.Replace, o.Headers = true, *h
		o.Headers.Tagging = "" // the copy keeps them
	} else {
		k := c.attr.Headers
		o.Headers = cos.Headers{StorageClass: k.StorageClass, SSE: k.SSE}
		takeACL(&o.Headers, k)
	}
	r, err := s.Client.Copy(ctx, key, o)
	s.Failpoint(fpCopySent)
	switch {
	case errors.Is(err, cos.ErrInvalidState) && c.base.Appendable:
		s.refuseCopy(c.base)
		return c.relayTo(ctx, key)
	case errors.Is(err, cos.ErrPrecondition), errors.Is(err, cos.ErrNotFound):
		return Version{}, fmt.Errorf("%w: %w", ErrConflict, err)
	case err != nil:
		return Version{}, err
	}
	if r.HasCRC64 && c.base.HasCRC64 && r.CRC64 != c.base.CRC64 {
		return Version{}, c.dropBadCopy(ctx, key)
	}
	return Version{ETag: r.ETag, Size: c.base.Size, LastModified: r.LastModified.Truncate(time.Second), CRC64: c.base.CRC64,
		HasCRC64: c.base.HasCRC64, VersionID: r.VersionID, Confirmed: s.now()}, nil
}

// dropBadCopy removes a copy that is not what was copied, unless it took the original's place: no name must lead to
// it. The error is ErrChecksum.
func (c *snapshot) dropBadCopy(ctx context.Context, key string) error {
	bad := fmt.Errorf("copy to %q: %w", key, cos.ErrChecksum)
	if key == c.key {
		return bad
	}
	if err := c.f.s.Client.Delete(ctx, key, nil); err != nil && !errors.Is(err, cos.ErrNotFound) {
		return errors.Join(bad, err)
	}
	return bad
}

// onBase returns a snapshot of the base alone, with the attributes of c.
func (c *snapshot) onBase() *snapshot {
	b := *c
	b.ext, b.size, b.stage = extent.Map{}, c.base.Size, nil
	b.ext.Set(extent.Extent{Off: 0, End: b.size, Kind: extent.Base})
	return &b
}

// copyParts copies an object too large for one copy.
func (c *snapshot) copyParts(ctx context.Context, key string) (Version, error) {
	b := c.onBase()
	if err := b.learnUntold(ctx); err != nil {
		return Version{}, err
	}
	h, _, err := b.stored(true)
	if err != nil {
		return Version{}, err
	}
	r, err := b.upload(ctx, key, b.parts(true), h, c.forbids(key))
	if err != nil {
		return Version{}, b.readError(err)
	}
	return b.version(r), nil
}

// relayTo carries the base through this host to key, where it becomes a normal object.
func (c *snapshot) relayTo(ctx context.Context, key string) (Version, error) {
	if c.base.Size > c.f.s.RelayLimit {
		return Version{}, fmt.Errorf("%w: %d bytes", ErrRelayLimit, c.base.Size)
	}
	b := c.onBase()
	if err := b.learnUntold(ctx); err != nil {
		return Version{}, err
	}
	h, _, err := b.stored(true)
	if err != nil {
		return Version{}, err
	}
	if err := b.checkBase(ctx); err != nil {
		return Version{}, err
	}
	var r *cos.PutResult
	if b.size > c.f.s.MultipartThreshold {
		r, err = b.upload(ctx, key, b.parts(false), h, c.forbids(key))
	} else {
		r, err = c.f.s.Client.Put(ctx, key, b, b.size, &cos.PutOptions{Headers: h, ForbidOverwrite: c.forbids(key)})
	}
	if err != nil {
		return Version{}, b.readError(err)
	}
	return b.version(r), nil
}
