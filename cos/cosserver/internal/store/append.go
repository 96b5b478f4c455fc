package store

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"

	"cosfuse/cos/internal/crc64ecma"
)

// tailLimit is the size up to which appended bytes are written behind the object's last file instead
// of staying in a file of their own, so that an object of many small appends is one file and one of
// large appends has no more than its size over tailLimit.
const tailLimit = 4 << 20

// Append adds a body to the end of an appendable object, which must be at position, or creates one
// if there is none and position is 0. It fails with *PositionError, ErrNotAppendable, or ErrTooLarge
// if the object would exceed limit. It uses st up.
func (s *Store) Append(bucket, key string, position int64, st *Staged, a Attrs, limit int64) (*Object, error) {
	defer st.Discard()
	if st.Size > tailLimit { // it keeps its file: sync before the lock
		if err := s.syncNew(st.file); err != nil {
			return nil, err
		}
	}
	defer s.lock(objectName{bucket, key})()
	cur, err := s.current(bucket, key)
	if err != nil {
		return nil, err
	}
	if err := appendable(cur, position, st.Size, limit); err != nil {
		return nil, err
	}
	if cur != nil && st.Size == 0 {
		return cur, nil
	}
	o := cur
	if cur == nil {
		o = &Object{Attrs: a, Key: key, Appendable: true, id: newID()}
	}
	b := s.newBatch()
	if err := s.grow(b, o, st); err != nil {
		return nil, err
	}
	o.Modified = s.now()
	o.CRC64 = crc64ecma.Combine(o.CRC64, st.CRC64, st.Size)
	o.ETag = appendETag(o, st)
	if err := b.set(objectKey(bucket, key), o.marshal()); err != nil {
		return nil, err
	}
	if err := s.commit(b, s.sync); err != nil {
		return nil, err
	}
	st.done()
	return o, nil
}

func appendable(cur *Object, position, size, limit int64) error {
	length := int64(0)
	if cur != nil {
		if !cur.Appendable {
			return ErrNotAppendable
		}
		length = cur.Size
	}
	if position != length {
		return &PositionError{Length: length}
	}
	if length+size > limit {
		return ErrTooLarge
	}
	return nil
}

// appendETag is the MD5 of the first append, and after that a value that changes with each append
// and says nothing about the content.
func appendETag(o *Object, st *Staged) string {
	if o.ETag == "" {
		return st.ETag()
	}
	sum := md5.Sum([]byte(o.ETag + st.ETag() + strconv.FormatInt(o.Size, 10)))
	return hex.EncodeToString(sum[:])
}

// grow adds the body to o's extents.
func (s *Store) grow(b *batch, o *Object, st *Staged) error {
	if st.Size == 0 {
		return nil
	}
	o.Size += st.Size
	if st.Size > tailLimit {
		x := extent{st.id, 0, st.Size}
		o.extents = append(o.extents, x)
		return b.refer([]extent{x}, o.id)
	}
	if n := len(o.extents); n > 0 {
		last := &o.extents[n-1]
		if err := s.writeTail(*last, st); err != nil {
			return fmt.Errorf("write behind data file %s: %w", last.file, err)
		}
		last.size += st.Size
		return nil
	}
	x := extent{newFileID(), 0, st.Size}
	f, err := s.create(x.file)
	if err != nil {
		return err
	}
	defer f.Close() // synced by then
	if err := st.writeTo(f, 0); err != nil {
		return err
	}
	if err := s.syncNew(f); err != nil {
		return err
	}
	o.extents = append(o.extents, x)
	return b.refer([]extent{x}, o.id)
}

// writeTail writes the body behind the last extent of an appendable object. That extent is the end of
// its file as far as any record knows, and only the object's own appends write there.
func (s *Store) writeTail(last extent, st *Staged) error {
	f, err := os.OpenFile(s.path(last.file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // synced by then
	if err := st.writeTo(f, last.off+last.size); err != nil {
		return err
	}
	if !s.syncs() {
		return nil
	}
	return f.Sync()
}

// writeTo copies the body into f at off.
func (st *Staged) writeTo(f *os.File, off int64) error {
	if st.file == nil {
		_, err := f.WriteAt(st.small, off)
		return err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return err
	}
	if _, err := st.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := f.ReadFrom(st.file) // the kernel copies
	return err
}
