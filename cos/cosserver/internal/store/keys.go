package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

// Key spaces of the index. Each key begins with one of these bytes.
const (
	spaceFormat  = 'F' // format version
	spaceBucket  = 'B' // B bucket                           -> Bucket
	spaceObject  = 'o' // o bucket 00 key                    -> Object, the current version
	spaceVersion = 'v' // v bucket 00 esc(key) 00 01 ^seq    -> Object, every version of a versioned bucket
	spaceUpload  = 'u' // u bucket 00 esc(key) 00 01 id      -> Upload
	spacePart    = 'p' // p id number                        -> part
	spaceDone    = 'd' // d id                               -> how a completed upload ended
	spaceInline  = 'i' // i file                             -> bytes of a small body
	spaceRef     = 'r' // r file owner                       -> nothing; the owner's record uses the file
	spaceGarbage = 'g' // g file                             -> nothing; a reference went, look whether it was the last
)

// id names a data file, an inline value or a record.
type id [16]byte

func newID() id {
	var d id
	rand.Read(d[:]) // never fails
	return d
}

func newFileID() id   { d := newID(); d[0] &^= 0x80; return d }
func newInlineID() id { d := newID(); d[0] |= 0x80; return d }

// inline reports whether the bytes named by d live in the index.
func (d id) inline() bool { return d[0]&0x80 != 0 }

func (d id) String() string { return hex.EncodeToString(d[:]) }

func idKey(space byte, d id) []byte { return append([]byte{space}, d[:]...) }

func refKey(file, owner id) []byte { return append(idKey(spaceRef, file), owner[:]...) }

func bucketKey(bucket string) []byte { return append([]byte{spaceBucket}, bucket...) }

// bucketPrefix is what all keys of a bucket begin with in a space.
func bucketPrefix(space byte, bucket string) []byte {
	k := make([]byte, 0, len(bucket)+2+64)
	k = append(k, space)
	k = append(k, bucket...)
	return append(k, 0)
}

func objectKey(bucket, key string) []byte {
	return append(bucketPrefix(spaceObject, bucket), key...)
}

// appendEscaped writes s so that escaped strings sort like s and none contains 00 01, which
// terminates them.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return b
}

// unescape undoes appendEscaped up to the terminator and returns what follows it.
func unescape(b []byte) (s string, rest []byte, ok bool) {
	if i := bytes.IndexByte(b, 0); i >= 0 && i+1 < len(b) && b[i+1] == 1 {
		return string(b[:i]), b[i+2:], true
	}
	var out []byte
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		if b[i+1] == 1 {
			return string(out), b[i+2:], true
		}
		out = append(out, 0)
		i++
	}
	return "", nil, false
}

// keyPrefix is what the records of one key begin with in the version and upload spaces.
func keyPrefix(space byte, bucket, key string) []byte {
	return append(appendEscaped(bucketPrefix(space, bucket), key), 0, 1)
}

// versionKey sorts the newest version of a key first.
func versionKey(bucket, key string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(keyPrefix(spaceVersion, bucket, key), ^seq)
}

func uploadKey(bucket, key, uploadID string) []byte {
	return append(keyPrefix(spaceUpload, bucket, key), uploadID...)
}

func partPrefix(uploadID string) []byte {
	return append(append([]byte{spacePart}, uploadID...), 0)
}

func partKey(uploadID string, number int) []byte {
	return binary.BigEndian.AppendUint16(partPrefix(uploadID), uint16(number))
}

func doneKey(uploadID string) []byte { return append([]byte{spaceDone}, uploadID...) }

// after returns the smallest key greater than all that begin with prefix, or nil if there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
