package store

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"cosfuse/cos/internal/crc64ecma"
)

// Initiate begins a multipart upload.
func (s *Store) Initiate(bucket, key string, a Attrs) (*Upload, error) {
	now := s.now()
	u := &Upload{Attrs: a, Key: key, Initiated: now}
	random := [2]id{newID(), newID()}
	u.ID = fmt.Sprintf("%010d", now.Unix()) + hex.EncodeToString(random[0][:]) + hex.EncodeToString(random[1][:])
	defer s.lock(objectName{bucket, key})()
	if _, err := s.Bucket(bucket); err != nil {
		return nil, err
	}
	b := s.newBatch()
	if err := b.set(uploadKey(bucket, key, u.ID), u.marshal()); err != nil {
		return nil, err
	}
	return u, s.commit(b, s.sync)
}

// Upload returns an upload under way, or ErrNoUpload.
func (s *Store) Upload(bucket, key, uploadID string) (*Upload, error) {
	v, err := s.get(uploadKey(bucket, key, uploadID))
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, ErrNoUpload
	}
	return unmarshalUpload(key, uploadID, v)
}

// PutPart stores a part in place of an earlier one of its number. It uses st up.
func (s *Store) PutPart(bucket, key, uploadID string, number int, st *Staged) (*Part, error) {
	defer st.Discard()
	b := s.newBatch()
	xs, err := st.settle(b)
	if err != nil {
		return nil, err
	}
	p := &Part{Number: number, Size: st.Size, ETag: st.ETag(), CRC64: st.CRC64, extents: xs}
	if err := s.putPart(b, bucket, key, uploadID, p); err != nil {
		return nil, err
	}
	st.done()
	return p, nil
}

func (s *Store) putPart(b *batch, bucket, key, uploadID string, p *Part) error {
	p.id, p.Modified = newID(), s.now()
	if err := b.refer(p.extents, p.id); err != nil {
		return err
	}
	defer s.lock(objectName{bucket, key})()
	if _, err := s.Upload(bucket, key, uploadID); err != nil {
		return err
	}
	prev, err := s.part(uploadID, p.Number)
	if err != nil {
		return err
	}
	if prev != nil {
		if err := b.forget(prev.extents, prev.id); err != nil {
			return err
		}
	}
	if err := b.set(partKey(uploadID, p.Number), p.marshal()); err != nil {
		return err
	}
	return s.commit(b, s.sync)
}

// part returns a part, or nil.
func (s *Store) part(uploadID string, number int) (*Part, error) {
	v, err := s.get(partKey(uploadID, number))
	if err != nil || v == nil {
		return nil, err
	}
	return unmarshalPart(number, v)
}

// CopyPart stores a range of an object version as a part, without moving its bytes. It reads them
// once for the part's ETag; the source may change or go meanwhile. pick is as for Open.
func (s *Store) CopyPart(src CopySource, bucket, key, uploadID string, number int,
	pick func(*Object) (off, size int64, err error)) (*Object, *Part, error) {
	var xs []extent
	from, r, err := s.Open(src.Bucket, src.Key, src.VersionID, func(o *Object) (int64, int64, error) {
		off, size, err := pick(o)
		xs = slice(o.extents, off, size)
		return off, size, err
	})
	if err != nil {
		return from, nil, err
	}
	p := &Part{Number: number, Copied: true, extents: xs, ETag: emptyETag}
	if r != nil {
		defer r.Close() // pinned until the references are committed
		if err := p.digest(r); err != nil {
			return from, nil, fmt.Errorf("read %q: %w", src.Key, err)
		}
	}
	return from, p, s.putPart(s.newBatch(), bucket, key, uploadID, p)
}

// Parts returns up to limit parts after number marker, in ascending order, and whether there are
// more.
func (s *Store) Parts(uploadID string, marker, limit int) (parts []*Part, more bool, err error) {
	prefix := partPrefix(uploadID)
	err = s.scan(prefix, func(k, v []byte) error {
		number := int(binary.BigEndian.Uint16(k[len(prefix):]))
		if number <= marker {
			return nil
		}
		if len(parts) == limit {
			more = true
			return io.EOF
		}
		p, err := unmarshalPart(number, v)
		parts = append(parts, p)
		return err
	})
	return parts, more, err
}

// Completed is how an upload ended.
type Completed struct {
	ETag, VersionID string
	CRC64           uint64
}

// Complete makes the listed parts of an upload, in that order, the current object of its key,
// without moving their bytes, and ends the upload. choose gets all parts and returns those that
// count; its error is returned as it is.
func (s *Store) Complete(bucket, key, uploadID string, choose func(all []*Part) ([]*Part, error), cond Condition) (*Object, error) {
	defer s.lock(objectName{bucket, key})()
	u, err := s.Upload(bucket, key, uploadID)
	if err != nil {
		return nil, err
	}
	all, _, err := s.Parts(uploadID, 0, 1<<16)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(all)
	if err != nil {
		return nil, err
	}
	o := assemble(u, chosen)
	b := s.newBatch()
	if err := s.install(b, bucket, o, cond); err != nil {
		return nil, err
	}
	if err := b.endUpload(bucket, key, uploadID, all); err != nil {
		return nil, err
	}
	if s.keep {
		done := Completed{ETag: o.ETag, VersionID: o.VersionID, CRC64: o.CRC64}
		if err := b.set(doneKey(uploadID), done.marshal()); err != nil {
			return nil, err
		}
	}
	return o, s.commit(b, s.sync)
}

// assemble makes an object of parts. Its ETag is unique, as the service's are.
func assemble(u *Upload, parts []*Part) *Object {
	unique := newID()
	o := &Object{Attrs: u.Attrs, Key: u.Key, ETag: fmt.Sprintf("%s-%d", unique, len(parts))}
	for _, p := range parts {
		o.CRC64 = crc64ecma.Combine(o.CRC64, p.CRC64, p.Size)
		o.Size += p.Size
		for _, x := range p.extents {
			o.extents = appendExtent(o.extents, x)
		}
	}
	return o
}

// appendExtent joins ranges that follow each other in one file, as adjacent copied parts do.
func appendExtent(xs []extent, x extent) []extent {
	if n := len(xs); n > 0 {
		last := &xs[n-1]
		if last.file == x.file && last.off+last.size == x.off {
			last.size += x.size
			return xs
		}
	}
	return append(xs, x)
}

func (b *batch) endUpload(bucket, key, uploadID string, parts []*Part) error {
	err := b.del(uploadKey(bucket, key, uploadID))
	for _, p := range parts {
		err = errors.Join(err, b.del(partKey(uploadID, p.Number)), b.forget(p.extents, p.id))
	}
	return err
}

// Ended returns how a completed upload ended, or ErrNoUpload. It needs Options.KeepCompleted.
func (s *Store) Ended(uploadID string) (Completed, error) {
	v, err := s.get(doneKey(uploadID))
	if err != nil {
		return Completed{}, err
	}
	if v == nil {
		return Completed{}, ErrNoUpload
	}
	return unmarshalCompleted(v)
}

// Abort ends an upload and drops its parts. It fails with ErrNoUpload.
func (s *Store) Abort(bucket, key, uploadID string) error {
	defer s.lock(objectName{bucket, key})()
	if _, err := s.Upload(bucket, key, uploadID); err != nil {
		return err
	}
	all, _, err := s.Parts(uploadID, 0, 1<<16)
	if err != nil {
		return err
	}
	b := s.newBatch()
	if err := b.endUpload(bucket, key, uploadID, all); err != nil {
		return err
	}
	return s.commit(b, s.sync)
}

// ValidUploadID reports whether a text can be an upload ID.
func ValidUploadID(uploadID string) bool {
	return uploadID != "" && strings.Trim(uploadID, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}
