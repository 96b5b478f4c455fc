package store

import (
	"encoding/hex"
	"fmt"
	"io"
)

// nullVersion is the ID of what was written while versioning was off or suspended.
const nullVersion = "null"

// installVersion adds to b what makes o the newest version of its key.
func (s *Store) installVersion(b *batch, bucket, status string, o *Object) error {
	seq, err := s.nextSeq(bucket, o.Key)
	if err != nil {
		return err
	}
	o.seq = seq
	o.VersionID = fmt.Sprintf("%016x%s", seq, hex.EncodeToString(o.id[:8]))
	if status != "Enabled" {
		o.VersionID = nullVersion
		if err := s.dropNull(b, bucket, o.Key); err != nil {
			return err
		}
	}
	rec := o.marshal()
	if err := b.set(versionKey(bucket, o.Key, seq), rec); err != nil {
		return err
	}
	if o.DeleteMarker {
		return b.del(objectKey(bucket, o.Key))
	}
	return b.set(objectKey(bucket, o.Key), rec)
}

// nextSeq orders a key's versions: by the clock, but never back.
func (s *Store) nextSeq(bucket, key string) (uint64, error) {
	seq := uint64(s.clock().UnixNano())
	err := s.versionsOf(bucket, key, func(o *Object) error {
		seq = max(seq, o.seq+1)
		return io.EOF
	})
	return seq, err
}

// versionsOf calls f for each version of a key, newest first.
func (s *Store) versionsOf(bucket, key string, f func(*Object) error) error {
	return s.scan(keyPrefix(spaceVersion, bucket, key), func(_, v []byte) error {
		o, err := unmarshalObject(key, v)
		if err != nil {
			return err
		}
		return f(o)
	})
}

// version finds a version by its ID.
func (s *Store) version(bucket, key, versionID string) (*Object, error) {
	state, err := s.Bucket(bucket)
	if err != nil {
		return nil, err
	}
	if state.Versioning == "" {
		return s.onlyVersion(bucket, key, versionID)
	}
	var found *Object
	err = s.versionsOf(bucket, key, func(o *Object) error {
		if o.VersionID != versionID {
			return nil
		}
		found = o
		return io.EOF
	})
	if err == nil && found == nil {
		return nil, ErrNoVersion
	}
	return found, err
}

// onlyVersion serves a version ID in a bucket without versions: there is "null" at most.
func (s *Store) onlyVersion(bucket, key, versionID string) (*Object, error) {
	if versionID != nullVersion {
		return nil, ErrNoVersion
	}
	o, err := s.current(bucket, key)
	if err == nil && o == nil {
		return nil, ErrNoVersion
	}
	return o, err
}

func (s *Store) dropNull(b *batch, bucket, key string) error {
	return s.versionsOf(bucket, key, func(o *Object) error {
		if o.VersionID != nullVersion {
			return nil
		}
		if err := s.dropVersion(b, bucket, o); err != nil {
			return err
		}
		return io.EOF
	})
}

func (s *Store) dropVersion(b *batch, bucket string, o *Object) error {
	if err := b.del(versionKey(bucket, o.Key, o.seq)); err != nil {
		return err
	}
	return b.forget(o.extents, o.id)
}

func (s *Store) deleteToMarker(b *batch, bucket, status, key string) (Deleted, error) {
	marker := &Object{Key: key, DeleteMarker: true, id: newID(), Modified: s.now()}
	if err := s.installVersion(b, bucket, status, marker); err != nil {
		return Deleted{}, err
	}
	return Deleted{Marker: true, VersionID: marker.VersionID}, nil
}

// deleteVersion removes one version for good; the next older one becomes current if it was that.
func (s *Store) deleteVersion(b *batch, bucket, key, versionID string) (Deleted, error) {
	var gone, newest, next *Object
	err := s.versionsOf(bucket, key, func(o *Object) error {
		switch {
		case o.VersionID == versionID:
			gone = o
		case newest == nil && gone == nil:
			newest = o
		case gone != nil && next == nil:
			next = o
		}
		if gone != nil && (newest != nil || next != nil) {
			return io.EOF
		}
		return nil
	})
	if err != nil || gone == nil {
		return Deleted{VersionID: versionID}, err
	}
	if err := s.dropVersion(b, bucket, gone); err != nil {
		return Deleted{}, err
	}
	d := Deleted{Marker: gone.DeleteMarker, VersionID: versionID}
	if newest != nil {
		return d, nil // an older version went
	}
	if next == nil || next.DeleteMarker {
		return d, b.del(objectKey(bucket, key))
	}
	return d, b.set(objectKey(bucket, key), next.marshal())
}
