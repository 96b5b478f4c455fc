package store

import (
	"errors"
	"io"
	"strings"
)

// ErrConflict refuses a rename that would mix a file with a directory or fill one that is in use.
var ErrConflict = errors.New("path is taken")

// Rename gives an object, or every object below a directory, another key, all at once. It is for
// buckets with metadata acceleration, which have no versions. forbid refuses to replace an object.
// Its cost grows with the number of objects moved, and nothing else is changed meanwhile.
func (s *Store) Rename(bucket, from, to string, forbid bool) error {
	s.config.Lock()
	defer s.config.Unlock()
	stripe := &s.keys[s.stripe(bucket, to)] // readers of what is replaced
	stripe.Lock()
	defer stripe.Unlock()

	from, to = strings.TrimSuffix(from, "/"), strings.TrimSuffix(to, "/")
	if from == to || strings.HasPrefix(to, from+"/") {
		return ErrConflict
	}
	b := s.newBatch()
	file, err := s.current(bucket, from)
	if err != nil {
		return err
	}
	if file != nil {
		err = s.renameFile(b, bucket, file, to, forbid)
	} else {
		err = s.renameTree(b, bucket, from, to)
	}
	if err != nil {
		return err
	}
	return s.commit(b, s.sync)
}

func (s *Store) renameFile(b *batch, bucket string, o *Object, to string, forbid bool) error {
	below, err := s.anyBelow(bucket, to+"/")
	if err != nil {
		return err
	}
	if below {
		return ErrConflict
	}
	prev, err := s.current(bucket, to)
	if err != nil {
		return err
	}
	if prev != nil {
		if forbid {
			return ErrConflict
		}
		if err := b.forget(prev.extents, prev.id); err != nil {
			return err
		}
	}
	return errors.Join(b.del(objectKey(bucket, o.Key)), b.set(objectKey(bucket, to), o.marshal()))
}

// renameTree moves what is below a directory. The target may be an empty directory.
func (s *Store) renameTree(b *batch, bucket, from, to string) error {
	target, err := s.current(bucket, to)
	if err != nil {
		return err
	}
	used := target != nil
	space := bucketPrefix(spaceObject, bucket)
	err = s.scan(objectKey(bucket, to+"/"), func(k, _ []byte) error {
		used = used || len(k) > len(space)+len(to)+1
		if used {
			return io.EOF
		}
		return nil
	})
	if err != nil {
		return err
	}
	if used {
		return ErrConflict
	}
	moved := false
	err = s.scan(objectKey(bucket, from+"/"), func(k, v []byte) error {
		moved = true
		rest := string(k[len(space)+len(from):])
		return errors.Join(b.del(k), b.set(objectKey(bucket, to+rest), v))
	})
	if err == nil && !moved {
		return ErrNoKey
	}
	return err
}

// anyBelow reports whether any key begins with prefix.
func (s *Store) anyBelow(bucket, prefix string) (bool, error) {
	found := false
	err := s.scan(objectKey(bucket, prefix), func(_, _ []byte) error {
		found = true
		return io.EOF
	})
	return found, err
}
