package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Bucket returns a bucket's state.
func (s *Store) Bucket(name string) (Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[name]
	if !ok {
		return Bucket{}, ErrNoBucket
	}
	return *b, nil
}

// Buckets returns all buckets by name.
func (s *Store) Buckets() []Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Bucket, 0, len(s.buckets))
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		out = append(out, *s.buckets[name])
	}
	return out
}

// CreateBucket adds a bucket. It fails with ErrBucketExists.
func (s *Store) CreateBucket(b Bucket) error {
	s.config.Lock()
	defer s.config.Unlock()
	if _, err := s.Bucket(b.Name); err == nil {
		return ErrBucketExists
	}
	b.Created = s.now()
	return s.putBucketLocked(b)
}

func (s *Store) putBucketLocked(b Bucket) error {
	if err := s.db.Set(bucketKey(b.Name), b.marshal(), s.sync); err != nil {
		return fmt.Errorf("store bucket %q: %w", b.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[b.Name] = &b
	return nil
}

// DeleteBucket removes an empty bucket: one without objects, versions and uploads.
func (s *Store) DeleteBucket(name string) error {
	s.config.Lock()
	defer s.config.Unlock()
	if _, err := s.Bucket(name); err != nil {
		return err
	}
	for _, space := range []byte{spaceObject, spaceVersion, spaceUpload} {
		prefix := bucketPrefix(space, name)
		it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			return err
		}
		found := it.First()
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return err
		}
		if found {
			return ErrBucketNotEmpty
		}
	}
	if err := s.db.Delete(bucketKey(name), s.sync); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
	return nil
}

// SetBucketACL replaces a bucket's ACL.
func (s *Store) SetBucketACL(name string, acl ACL) error {
	s.config.Lock()
	defer s.config.Unlock()
	b, err := s.Bucket(name)
	if err != nil {
		return err
	}
	b.ACL = acl
	return s.putBucketLocked(b)
}

// SetVersioning turns versioning on ("Enabled") or suspends it ("Suspended"). The first time, every
// object there is becomes the version "null" of its key, which takes time in proportion.
func (s *Store) SetVersioning(name, status string) error {
	s.config.Lock()
	defer s.config.Unlock()
	b, err := s.Bucket(name)
	if err != nil {
		return err
	}
	if b.Versioning == "" {
		// A crash on the way is harmless: until the bucket's record says so, versions are not looked
		// at, and the next attempt writes the same ones again.
		if err := s.adoptLocked(name); err != nil {
			return fmt.Errorf("turn objects into versions: %w", err)
		}
	}
	b.Versioning = status
	return s.putBucketLocked(b)
}

func (s *Store) adoptLocked(bucket string) error {
	prefix := bucketPrefix(spaceObject, bucket)
	return s.scan(prefix, func(k, v []byte) error {
		o, err := unmarshalObject(string(k[len(prefix):]), v)
		if err != nil {
			return err
		}
		o.VersionID, o.seq = nullVersion, 1
		rec := o.marshal()
		return errors.Join(
			s.db.Set(versionKey(bucket, o.Key, o.seq), rec, pebble.NoSync),
			s.db.Set(objectKey(bucket, o.Key), rec, pebble.NoSync))
	})
}
