package store

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"cosfuse/cos/internal/crc64ecma"
)

const (
	inlineLimit = 16 << 10  // bodies up to this live in the index
	copyBuffer  = 256 << 10 // bytes moved at a time
)

var bufferPool = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}

// Staged is a body that has been received and is no object's yet. It is used up by the operation it
// is given to, or thrown away by Discard.
type Staged struct {
	Size  int64
	MD5   [md5.Size]byte
	CRC64 uint64

	s     *Store
	small []byte   // the whole body, if at most inlineLimit
	file  *os.File // else where it is
	id    id
}

// ETag is the MD5 in hexadecimal.
func (st *Staged) ETag() string { return hex.EncodeToString(st.MD5[:]) }

// Stage receives a body until io.EOF. Any other error, a short body included, leaves nothing.
func (s *Store) Stage(r io.Reader) (*Staged, error) {
	buf := bufferPool.Get().(*[]byte)
	defer bufferPool.Put(buf)
	n, err := fill(r, (*buf)[:inlineLimit+1])
	st := &Staged{s: s}
	sum := md5.New()
	switch {
	case errors.Is(err, io.EOF):
		st.small = append([]byte{}, (*buf)[:n]...)
		st.take(sum, st.small)
	case err != nil:
		return nil, err
	default:
		if err := st.receive(r, sum, *buf, n); err != nil {
			st.Discard()
			return nil, err
		}
	}
	sum.Sum(st.MD5[:0])
	return st, nil
}

// fill reads until b is full or r fails. Unlike io.ReadFull it passes r's error on as it is, so that
// a body that ended and one that was cut short can be told apart.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if n == len(b) {
		return n, nil
	}
	return n, err
}

func (st *Staged) take(sum hash.Hash, b []byte) {
	sum.Write(b)
	st.CRC64 = crc64ecma.Update(st.CRC64, b)
	st.Size += int64(len(b))
}

// receive writes a body whose first n bytes are in buf to a new data file.
func (st *Staged) receive(r io.Reader, sum hash.Hash, buf []byte, n int) error {
	st.id = newFileID()
	f, err := st.s.create(st.id)
	if err != nil {
		return fmt.Errorf("create a data file: %w", err)
	}
	st.file = f
	for err == nil {
		st.take(sum, buf[:n])
		if _, err := f.Write(buf[:n]); err != nil {
			return fmt.Errorf("write a data file: %w", err)
		}
		n, err = fill(r, buf)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	st.take(sum, buf[:n])
	if _, err := f.Write(buf[:n]); err != nil {
		return fmt.Errorf("write a data file: %w", err)
	}
	return nil
}

// settle makes the body durable and names it in b, which must be committed next. Without bytes there
// is nothing to name.
func (st *Staged) settle(b *batch) ([]extent, error) {
	if st.Size == 0 {
		return nil, nil
	}
	if st.file == nil {
		st.id = newInlineID()
		err := b.set(idKey(spaceInline, st.id), st.small)
		return []extent{{st.id, 0, st.Size}}, err
	}
	if err := st.s.syncNew(st.file); err != nil {
		return nil, fmt.Errorf("sync a data file: %w", err)
	}
	return []extent{{st.id, 0, st.Size}}, nil
}

// done ends the use of a body that is an object's now.
func (st *Staged) done() {
	if st.file != nil {
		st.file.Close() // everything is written and synced
		st.file = nil
	}
}

// Discard throws a body away. It does nothing to one that was used.
func (st *Staged) Discard() {
	if st == nil || st.file == nil {
		return
	}
	st.file.Close() // its bytes do not matter any more
	st.file = nil
	if err := st.s.remove(st.id); err != nil {
		st.s.log.Warn("garbage kept until the next start", "err", err)
	}
}

// emptyETag is the ETag of no bytes.
const emptyETag = "d41d8cd98f00b204e9800998ecf8427e"

// digest reads the bytes of a part and fills in what they tell.
func (p *Part) digest(r io.Reader) error {
	buf := bufferPool.Get().(*[]byte)
	defer bufferPool.Put(buf)
	sum := md5.New()
	for {
		n, err := r.Read(*buf)
		sum.Write((*buf)[:n])
		p.CRC64 = crc64ecma.Update(p.CRC64, (*buf)[:n])
		p.Size += int64(n)
		if errors.Is(err, io.EOF) {
			p.ETag = hex.EncodeToString(sum.Sum(nil))
			return nil
		}
		if err != nil {
			return err
		}
	}
}
