package store

import "time"

// Pair is a name and a value. Pairs are kept in the order given.
type Pair struct{ Name, Value string }

// Grant gives a grantee a permission.
type Grant struct {
	Grantee    string
	Permission string // READ, WRITE, READ_ACP, WRITE_ACP, FULL_CONTROL
}

// ACL is a canned name, "" for the default one, and grants.
type ACL struct {
	Canned string
	Grants []Grant
}

// SSE tells how a client asked for an object to be encrypted. The store keeps the wish, not the
// encryption: bytes are stored as they came.
type SSE struct {
	Algorithm      string // AES256, cos/kms
	KMSKeyID       string
	KMSContext     string
	CustomerKeyMD5 string // SSE-C: what readers must present
}

// Attrs are what a client can say about an object besides its bytes.
type Attrs struct {
	Headers      []Pair // Content-Type and so on, in wire spelling
	Meta         []Pair // user metadata, lower-case names without the prefix
	StorageClass string // "" = STANDARD
	ACL          ACL
	Tags         []Pair
	SSE          SSE
}

// Bucket is a bucket's state.
type Bucket struct {
	Name       string
	Created    time.Time
	Versioning string // "", "Enabled", "Suspended"
	MAZ, OFS   bool
	ACL        ACL
}

// Object is one version of an object, or a delete marker.
type Object struct {
	Attrs
	Key          string // not stored in the record: it is in the index key
	Size         int64
	ETag         string // without quotes
	CRC64        uint64
	Modified     time.Time // millisecond resolution
	Appendable   bool
	DeleteMarker bool
	VersionID    string    // "" in a bucket that never had versioning
	RestoreReady time.Time // archive classes: when the restore under way ends; zero = none
	RestoreUntil time.Time // and until when the copy can be read

	id      id
	seq     uint64
	extents []extent
}

// extent is the range [off, off+size) of a data file or inline value.
type extent struct {
	file      id
	off, size int64
}

// Upload is a multipart upload under way.
type Upload struct {
	Attrs
	Key       string // from the index key
	ID        string // from the index key
	Initiated time.Time
}

// Part is one part of an upload.
type Part struct {
	Number   int
	Size     int64
	ETag     string // without quotes
	CRC64    uint64
	Modified time.Time
	Copied   bool // by UploadPartCopy

	id      id
	extents []extent
}

const (
	objectVersion = 1
	uploadVersion = 1
	partVersion   = 1
	bucketVersion = 1
	doneVersion   = 1
)

func (o *Object) marshal() []byte {
	e := newEncoder(objectVersion)
	e.bytes(o.id[:])
	e.uint(o.seq)
	e.int(o.Size)
	e.string(o.ETag)
	e.uint(o.CRC64)
	e.time(o.Modified)
	e.bool(o.Appendable)
	e.bool(o.DeleteMarker)
	e.string(o.VersionID)
	e.time(o.RestoreReady)
	e.time(o.RestoreUntil)
	e.attrs(&o.Attrs)
	e.extents(o.extents)
	return e.b
}

func unmarshalObject(key string, b []byte) (*Object, error) {
	d := newDecoder("object", b, objectVersion)
	o := &Object{Key: key}
	d.id(&o.id)
	o.seq = d.uint()
	o.Size = d.int()
	o.ETag = d.string()
	o.CRC64 = d.uint()
	o.Modified = d.time()
	o.Appendable = d.bool()
	o.DeleteMarker = d.bool()
	o.VersionID = d.string()
	o.RestoreReady = d.time()
	o.RestoreUntil = d.time()
	d.attrs(&o.Attrs)
	o.extents = d.extents()
	return o, d.err
}

func (u *Upload) marshal() []byte {
	e := newEncoder(uploadVersion)
	e.time(u.Initiated)
	e.attrs(&u.Attrs)
	return e.b
}

func unmarshalUpload(key, uploadID string, b []byte) (*Upload, error) {
	d := newDecoder("upload", b, uploadVersion)
	u := &Upload{Key: key, ID: uploadID, Initiated: d.time()}
	d.attrs(&u.Attrs)
	return u, d.err
}

func (p *Part) marshal() []byte {
	e := newEncoder(partVersion)
	e.bytes(p.id[:])
	e.int(p.Size)
	e.string(p.ETag)
	e.uint(p.CRC64)
	e.time(p.Modified)
	e.bool(p.Copied)
	e.extents(p.extents)
	return e.b
}

func unmarshalPart(number int, b []byte) (*Part, error) {
	d := newDecoder("part", b, partVersion)
	p := &Part{Number: number}
	d.id(&p.id)
	p.Size = d.int()
	p.ETag = d.string()
	p.CRC64 = d.uint()
	p.Modified = d.time()
	p.Copied = d.bool()
	p.extents = d.extents()
	return p, d.err
}

func (b *Bucket) marshal() []byte {
	e := newEncoder(bucketVersion)
	e.time(b.Created)
	e.string(b.Versioning)
	e.bool(b.MAZ)
	e.bool(b.OFS)
	e.acl(&b.ACL)
	return e.b
}

func unmarshalBucket(name string, v []byte) (*Bucket, error) {
	d := newDecoder("bucket", v, bucketVersion)
	b := &Bucket{Name: name}
	b.Created = d.time()
	b.Versioning = d.string()
	b.MAZ = d.bool()
	b.OFS = d.bool()
	d.acl(&b.ACL)
	return b, d.err
}

func (c *Completed) marshal() []byte {
	e := newEncoder(doneVersion)
	e.string(c.ETag)
	e.string(c.VersionID)
	e.uint(c.CRC64)
	return e.b
}

func unmarshalCompleted(v []byte) (Completed, error) {
	d := newDecoder("completed upload", v, doneVersion)
	c := Completed{ETag: d.string(), VersionID: d.string(), CRC64: d.uint()}
	return c, d.err
}
