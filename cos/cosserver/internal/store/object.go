package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Condition decides under the key's lock whether an operation goes ahead. current is nil if the key
// has no object. Its error is returned as it is.
type Condition func(current *Object) error

func (c Condition) check(current *Object) error {
	if c == nil {
		return nil
	}
	return c(current)
}

// Head returns a version of an object; the empty versionID means the current one. It fails with
// ErrNoKey or ErrNoVersion. A delete marker is returned as such only if named.
func (s *Store) Head(bucket, key, versionID string) (*Object, error) {
	if versionID != "" {
		return s.version(bucket, key, versionID)
	}
	o, err := s.current(bucket, key)
	if err == nil && o == nil {
		return nil, ErrNoKey
	}
	return o, err
}

// current returns the object of a key, or nil.
func (s *Store) current(bucket, key string) (*Object, error) {
	v, err := s.get(objectKey(bucket, key))
	if err != nil || v == nil {
		return nil, err
	}
	return unmarshalObject(key, v)
}

// Open returns a version and a reader of the range that pick chooses once the version is known. An
// error of pick is returned as it is, together with the version. A range of no bytes has no reader.
func (s *Store) Open(bucket, key, versionID string, pick func(*Object) (off, size int64, err error)) (*Object, *Reader, error) {
	stripe := &s.keys[s.stripe(bucket, key)]
	stripe.RLock()
	defer stripe.RUnlock()
	o, err := s.Head(bucket, key, versionID)
	if err != nil {
		return nil, nil, err
	}
	off, size, err := pick(o)
	if err != nil {
		return o, nil, err
	}
	xs := slice(o.extents, off, size)
	if len(xs) == 0 {
		return o, nil, nil
	}
	return o, s.newReader(xs), nil
}

// Put makes a body the current object of a key. It uses st up, also when it fails.
func (s *Store) Put(bucket, key string, st *Staged, a Attrs, cond Condition) (*Object, error) {
	defer st.Discard()
	b := s.newBatch()
	xs, err := st.settle(b) // before the lock: syncing takes long
	if err != nil {
		return nil, err
	}
	o := &Object{Attrs: a, Key: key, Size: st.Size, ETag: st.ETag(), CRC64: st.CRC64, extents: xs}
	defer s.lock(objectName{bucket, key})()
	if err := s.install(b, bucket, o, cond); err != nil {
		return nil, err
	}
	if err := s.commit(b, s.sync); err != nil {
		return nil, err
	}
	st.done()
	return o, nil
}

// install adds to b what makes o the current object of its key. It fills in what only the store
// knows: identity, version and time. The caller holds the key's lock.
func (s *Store) install(b *batch, bucket string, o *Object, cond Condition) error {
	prev, err := s.current(bucket, o.Key)
	if err != nil {
		return err
	}
	if err := cond.check(prev); err != nil {
		return err
	}
	o.id, o.Modified = newID(), s.now()
	if err := b.refer(o.extents, o.id); err != nil {
		return err
	}
	state, err := s.Bucket(bucket)
	if err != nil {
		return err
	}
	if state.Versioning != "" {
		return s.installVersion(b, bucket, state.Versioning, o)
	}
	if prev != nil {
		if err := b.forget(prev.extents, prev.id); err != nil {
			return err
		}
	}
	return b.set(objectKey(bucket, o.Key), o.marshal())
}

// Deleted tells what a delete did.
type Deleted struct {
	Marker    bool   // a delete marker was made, or removed
	VersionID string // of the marker, or of the version removed
}

// Delete removes the current object of a key, or one version of it. A key that does not exist is no
// error. Without sync the caller makes it durable with Flush.
func (s *Store) Delete(bucket, key, versionID string, sync bool) (Deleted, error) {
	defer s.lock(objectName{bucket, key})()
	state, err := s.Bucket(bucket)
	if err != nil {
		return Deleted{}, err
	}
	b := s.newBatch()
	var d Deleted
	switch {
	case state.Versioning == "" && versionID != "" && versionID != nullVersion:
		return Deleted{}, b.Close() // there is no such version
	case state.Versioning == "":
		err = s.deleteObject(b, bucket, key)
	case versionID != "":
		d, err = s.deleteVersion(b, bucket, key, versionID)
	default:
		d, err = s.deleteToMarker(b, bucket, state.Versioning, key)
	}
	if err != nil {
		return Deleted{}, err
	}
	if b.Empty() {
		return d, b.Close()
	}
	opt := s.sync
	if !sync {
		opt = pebble.NoSync
	}
	return d, s.commit(b, opt)
}

func (s *Store) deleteObject(b *batch, bucket, key string) error {
	o, err := s.current(bucket, key)
	if err != nil || o == nil {
		return err
	}
	if err := b.del(objectKey(bucket, key)); err != nil {
		return err
	}
	return b.forget(o.extents, o.id)
}

// CopySource names an object version to copy from.
type CopySource struct {
	Bucket, Key, VersionID string
}

// Copy makes the bytes of a version the current object of a key, without moving them. prepare sees
// the source under both keys' locks and returns the attributes of the copy.
func (s *Store) Copy(src CopySource, bucket, key string, prepare func(src *Object) (Attrs, error), cond Condition) (src0, dst *Object, err error) {
	defer s.lock(objectName{src.Bucket, src.Key}, objectName{bucket, key})()
	from, err := s.Head(src.Bucket, src.Key, src.VersionID)
	if err != nil {
		return nil, nil, err
	}
	a, err := prepare(from)
	if err != nil {
		return nil, nil, err
	}
	o := &Object{Attrs: a, Key: key, Size: from.Size, ETag: from.ETag, CRC64: from.CRC64, extents: from.extents}
	b := s.newBatch()
	if err := s.install(b, bucket, o, cond); err != nil {
		return nil, nil, err
	}
	if err := s.commit(b, s.sync); err != nil {
		return nil, nil, err
	}
	return from, o, nil
}

// Update changes what may change of a version in place: ACL, tags and restore state.
func (s *Store) Update(bucket, key, versionID string, change func(*Object) error) error {
	defer s.lock(objectName{bucket, key})()
	o, err := s.Head(bucket, key, versionID)
	if err != nil {
		return err
	}
	if err := change(o); err != nil {
		return err
	}
	rec := o.marshal()
	b := s.newBatch()
	if o.VersionID != "" {
		if err := b.set(versionKey(bucket, key, o.seq), rec); err != nil {
			return err
		}
	}
	cur, err := s.current(bucket, key)
	if err != nil {
		return err
	}
	if cur != nil && cur.id == o.id {
		if err := b.set(objectKey(bucket, key), rec); err != nil {
			return fmt.Errorf("update %q: %w", key, err)
		}
	}
	return s.commit(b, s.sync)
}
