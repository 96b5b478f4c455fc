package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/s2"
)

// A record is a header of headerSize bytes, the key, the ETag and the body. Numbers are little-endian.
//
//	 0  4  magic: live or dead
//	 4  4  crc32c of everything from byte 8 to the body
//	 8  4  bytes of the body as stored
//	12  4  bytes of the block
//	16  4  crc32c of the body as stored
//	20  4  encoding of the body
//	24  8  index of the block in the object
//	32  8  bytes of the object
//	40  8  bytes of the object's whole blocks
//	48  4  bytes of the key
//	52  4  bytes of the ETag
//
// Dead differs from live in the magic alone, so that a scan can step over it.
const (
	headerSize = 56
	magicLive  = 0x31626663 // "cfb1"
	magicDead  = 0x30626663 // "cfb0"

	maxKey   = 4 << 10
	maxETag  = 1 << 10
	maxBlock = 64 << 20

	maxRecord = headerSize + maxKey + maxETag + maxBlock
)

const (
	rawBody = iota
	s2Body
)

var (
	errDamaged = errors.New("damaged record")
	errDead    = errors.New("dropped record")
)

func castagnoli(p ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for _, b := range p {
		sum = crc32.Update(sum, table, b)
	}
	return sum
}

// Object names one content whose blocks are kept, and how it is cut into blocks.
type Object struct {
	key, etag        string
	size, blockBytes int64
	hash             uint64 // of all of the above
	keyHash          uint64 // of the key alone
}

// NewObject returns the name of an object of size bytes in blocks of blockBytes.
func NewObject(key, etag string, size, blockBytes int64) *Object {
	o := &Object{key: key, etag: etag, size: size, blockBytes: blockBytes, keyHash: hashKey(key)}
	p := make([]byte, 0, len(key)+len(etag)+24)
	p = binary.LittleEndian.AppendUint64(p, uint64(size))
	p = binary.LittleEndian.AppendUint64(p, uint64(blockBytes))
	p = binary.LittleEndian.AppendUint64(p, uint64(len(key)))
	p = append(append(p, key...), etag...)
	sum := sha256.Sum256(p)
	o.hash = binary.LittleEndian.Uint64(sum[:])
	return o
}

func hashKey(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(sum[:])
}

// block is the hash of one block.
func (o *Object) block(idx int64) uint64 {
	x := o.hash + uint64(idx)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// version tells the versions of one key apart.
func (o *Object) version() uint32 { return uint32(o.hash >> 32) }

// storable reports whether a block of n bytes of o can be written at all.
func (o *Object) storable(n int) bool {
	return len(o.key) <= maxKey && len(o.etag) <= maxETag && n > 0 && n <= maxBlock
}

// header is a record's, decoded.
type header struct {
	live             bool
	stored, size     uint32
	sum              uint32
	encoding         uint32
	idx              int64
	objSize          int64
	blockBytes       int64
	keySize, tagSize uint32
}

// parseHeader decodes the fixed part of a record. What it says is not verified yet, but bounded.
func parseHeader(p []byte) (header, error) {
	if len(p) < headerSize {
		return header{}, errDamaged
	}
	le := binary.LittleEndian
	h := header{
		stored: le.Uint32(p[8:]), size: le.Uint32(p[12:]), sum: le.Uint32(p[16:]), encoding: le.Uint32(p[20:]),
		idx: int64(le.Uint64(p[24:])), objSize: int64(le.Uint64(p[32:])), blockBytes: int64(le.Uint64(p[40:])),
		keySize: le.Uint32(p[48:]), tagSize: le.Uint32(p[52:]),
	}
	switch magic := le.Uint32(p); {
	case magic == magicLive:
		h.live = true
	case magic != magicDead:
		return header{}, errDamaged
	}
	if h.keySize > maxKey || h.tagSize > maxETag || h.size > maxBlock || h.stored > h.size {
		return header{}, errDamaged
	}
	return h, nil
}

func (h *header) nameSize() int64 { return int64(h.keySize) + int64(h.tagSize) }

// recordSize is the number of bytes of the whole record.
func (h *header) recordSize() int64 { return headerSize + h.nameSize() + int64(h.stored) }

// checkHead verifies the header and names of a record that starts with p.
func (h *header) checkHead(p []byte) error {
	end := headerSize + h.nameSize()
	if int64(len(p)) < end || castagnoli(p[8:end]) != binary.LittleEndian.Uint32(p[4:]) {
		return errDamaged
	}
	return nil
}

// object returns the object a verified head names.
func (h *header) object(p []byte) *Object {
	names := p[headerSize : headerSize+h.nameSize()]
	return NewObject(string(names[:h.keySize]), string(names[h.keySize:]), h.objSize, h.blockBytes)
}

// encoder makes records. It reuses its buffers.
type encoder struct{ rec, packed []byte }

// record returns the record of a block, valid until the next call.
func (e *encoder) record(o *Object, idx int64, p []byte) []byte {
	body, encoding := e.pack(p)
	le := binary.LittleEndian
	rec := append(e.rec[:0], make([]byte, headerSize)...)
	rec = append(append(rec, o.key...), o.etag...)
	head := len(rec)
	rec = append(rec, body...)
	le.PutUint32(rec, magicLive)
	le.PutUint32(rec[8:], uint32(len(body)))
	le.PutUint32(rec[12:], uint32(len(p)))
	le.PutUint32(rec[16:], castagnoli(body))
	le.PutUint32(rec[20:], encoding)
	le.PutUint64(rec[24:], uint64(idx))
	le.PutUint64(rec[32:], uint64(o.size))
	le.PutUint64(rec[40:], uint64(o.blockBytes))
	le.PutUint32(rec[48:], uint32(len(o.key)))
	le.PutUint32(rec[52:], uint32(len(o.etag)))
	le.PutUint32(rec[4:], castagnoli(rec[8:head]))
	e.rec = rec
	return rec
}

const (
	sampleBytes = 4 << 10 // of each place that is looked at before compressing
	minEstimate = 0.05    // below it, samples of what is compressed already lie
)

// pack compresses p if that saves an eighth. Photographs, films and archives are told by a few
// samples, at a small part of the cost of trying.
func (e *encoder) pack(p []byte) (body []byte, encoding uint32) {
	if !worthPacking(p) {
		return p, rawBody
	}
	if n := s2.MaxEncodedLen(len(p)); cap(e.packed) < n {
		e.packed = make([]byte, n)
	}
	packed := s2.Encode(e.packed[:cap(e.packed)], p)
	if len(packed) > len(p)-len(p)/8 {
		return p, rawBody
	}
	return packed, s2Body
}

func worthPacking(p []byte) bool {
	if len(p) <= 3*sampleBytes {
		return true
	}
	for _, off := range []int{0, (len(p) - sampleBytes) / 2, len(p) - sampleBytes} {
		if compress.Estimate(p[off:off+sampleBytes]) >= minEstimate {
			return true
		}
	}
	return false
}

// decode verifies that rec is the record of block idx of o and puts the block into p, whose content
// is undefined after an error.
func decode(rec []byte, o *Object, idx int64, p []byte) error {
	h, body, err := verify(rec)
	if err != nil {
		return err
	}
	names := rec[headerSize : headerSize+h.nameSize()]
	same := h.idx == idx && h.objSize == o.size && h.blockBytes == o.blockBytes && int(h.size) == len(p) &&
		bytes.Equal(names[:h.keySize], []byte(o.key)) && bytes.Equal(names[h.keySize:], []byte(o.etag))
	if !same {
		return errDamaged
	}
	return unpack(p, body, h.encoding)
}

// verify checks the checksums of a whole record and returns its parts.
func verify(rec []byte) (header, []byte, error) {
	h, err := parseHeader(rec)
	if err != nil {
		return header{}, nil, err
	}
	if err := h.checkHead(rec); err != nil {
		return header{}, nil, err
	}
	if h.recordSize() != int64(len(rec)) {
		return header{}, nil, errDamaged
	}
	if !h.live {
		return header{}, nil, errDead
	}
	body := rec[headerSize+h.nameSize():]
	if castagnoli(body) != h.sum {
		return header{}, nil, errDamaged
	}
	return h, body, nil
}

func unpack(p, body []byte, encoding uint32) error {
	switch encoding {
	case rawBody:
		if copy(p, body) == len(p) && len(body) == len(p) {
			return nil
		}
	case s2Body:
		if n, err := s2.DecodedLen(body); err != nil || n != len(p) {
			return errDamaged
		}
		if _, err := s2.Decode(p, body); err == nil {
			return nil
		}
	}
	return errDamaged
}

// A segment's index is its entries and a trailer, at the end of the file.
//
//	entry:    8 hash of the block, 8 of the key, 4 version, 4 offset, 4 bytes of the record, 4 zero
//	trailer:  8 where the index begins, 4 entries, 4 crc32c of the index up to here, 8 magic
const (
	entrySize   = 32
	trailerSize = 24
	indexMagic  = 0x3130786469626663 // "cfbidx01"
)

// entry says where a block is in a segment.
type entry struct {
	hash, key uint64
	version   uint32
	off, size uint32
}

// appendIndex appends the index of a segment whose records end at end.
func appendIndex(p []byte, end int64, entries []entry) []byte {
	le := binary.LittleEndian
	start := len(p)
	for _, e := range entries {
		p = le.AppendUint64(p, e.hash)
		p = le.AppendUint64(p, e.key)
		p = le.AppendUint32(p, e.version)
		p = le.AppendUint32(p, e.off)
		p = le.AppendUint32(p, e.size)
		p = le.AppendUint32(p, 0)
	}
	p = le.AppendUint64(p, uint64(end))
	p = le.AppendUint32(p, uint32(len(entries)))
	p = le.AppendUint32(p, castagnoli(p[start:]))
	return le.AppendUint64(p, indexMagic)
}

// parseTrailer returns where the index of a file of size bytes begins, if its last bytes are a trailer.
func parseTrailer(p []byte, size int64) (off int64, ok bool) {
	le := binary.LittleEndian
	if len(p) != trailerSize || le.Uint64(p[16:]) != indexMagic {
		return 0, false
	}
	off = int64(le.Uint64(p))
	return off, off >= 0 && size-off == int64(le.Uint32(p[8:]))*entrySize+trailerSize
}

// parseIndex returns the entries of an index that begins at off and goes to the end of its file.
func parseIndex(p []byte, off int64) ([]entry, bool) {
	le := binary.LittleEndian
	sum := len(p) - trailerSize + 12
	if castagnoli(p[:sum]) != le.Uint32(p[sum:]) {
		return nil, false
	}
	entries := make([]entry, 0, len(p)/entrySize)
	for p := p[:len(p)-trailerSize]; len(p) >= entrySize; p = p[entrySize:] {
		e := entry{
			hash: le.Uint64(p), key: le.Uint64(p[8:]), version: le.Uint32(p[16:]),
			off: le.Uint32(p[20:]), size: le.Uint32(p[24:]),
		}
		if int64(e.off)+int64(e.size) > off || e.size < headerSize || e.size > maxRecord {
			return nil, false
		}
		entries = append(entries, e)
	}
	return entries, true
}
