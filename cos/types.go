package cos

import (
	"io"
	"net/http"
	"time"
)

// Limits of the service. Sizes are bytes.
const (
	MaxKeyBytes    = 850               // UTF-8, before encoding
	MaxMetaBytes   = 2048              // names and values of x-cos-meta-* together
	MaxPutBytes    = 5 << 30           // one put, one part, one copy, and an appendable object
	MinPartBytes   = 1 << 20           // parts but the last
	MaxParts       = 10000             // part numbers 1..MaxParts
	MaxObjectBytes = 50000 * (1 << 30) // multipart
	MaxDeleteKeys  = 1000              // one DeleteObjects
	MaxListKeys    = 1000              // one page
)

// Headers are the properties of an object that a put, an append that creates, an initiate and a
// replacing copy can set. The zero value sets none: the service then uses its defaults.
type Headers struct {
	ContentType        string
	CacheControl       string
	ContentDisposition string
	ContentEncoding    string
	ContentLanguage    string
	Expires            string            // as sent, RFC 1123
	Meta               map[string]string // without the x-cos-meta- prefix; names are lower-cased, "_" is refused, values are sent as they are and must be printable ASCII
	StorageClass       string            // "" = STANDARD
	ACL                string            // x-cos-acl; "" = inherit the bucket's
	GrantRead          string            // x-cos-grant-read: id="uin",...
	GrantWrite         string
	GrantReadACP       string
	GrantWriteACP      string
	GrantFullControl   string
	Tagging            string // K1=V1&K2=V2, URL-encoded
	SSE                SSE
}

// SSE selects server-side encryption. The zero value is none.
type SSE struct {
	Algorithm         string // x-cos-server-side-encryption: AES256 or cos/kms
	KMSKeyID          string
	KMSContext        string // base64 JSON
	CustomerAlgorithm string // SSE-C: AES256
	CustomerKey       string // base64 of the key; never logged
	CustomerKeyMD5    string // base64
}

// Conditions restrict an operation to a version of the object. Zero fields are not sent.
type Conditions struct {
	IfMatch           string // ETag, quoted or not
	IfNoneMatch       string
	IfModifiedSince   time.Time
	IfUnmodifiedSince time.Time
}

// ObjectInfo is what HEAD and GET tell of an object.
type ObjectInfo struct {
	Key          string
	Size         int64     // of the whole object
	ETag         string    // without quotes
	LastModified time.Time // whole seconds
	CRC64        uint64    // of the whole object; valid if HasCRC64
	HasCRC64     bool      // old objects carry none
	Appendable   bool
	NextAppend   int64 // x-cos-next-append-position, -1 if not sent
	VersionID    string
	StorageTier  string
	Restore      string  // x-cos-restore
	Headers      Headers // ACL and Tagging are not told and stay empty; StorageClass "" = STANDARD
	RequestID    string
	ServerTime   time.Time // the answer's Date
	Raw          http.Header
}

// HeadOptions of Head.
type HeadOptions struct {
	VersionID  string
	Conditions Conditions
	SSE        SSE // SSE-C trio only
}

// GetOptions of Get. Off and Size name a range: Size 0 means to the end, Size < 0 with Off 0 means
// the last -Size bytes. Off 0 and Size 0 get the whole object with no Range header.
type GetOptions struct {
	Off, Size    int64
	VersionID    string
	Conditions   Conditions
	TrafficLimit int64 // bit/s per connection, 819200..838860800; 0 = none
	SSE          SSE
	Response     ResponseOverride
}

// ResponseOverride sets response headers of a signed GET (response-content-type and so on).
type ResponseOverride struct {
	ContentType, ContentLanguage, Expires, CacheControl, ContentDisposition, ContentEncoding string
}

// GetResult is an object or a range of one being read. The caller closes Body. Reading Body to its
// end returns io.EOF only if every byte of the range arrived; a short body is ErrBadResponse and a
// whole object whose CRC64 does not match is ErrChecksum. Body is not retried once it has begun:
// the caller asks again for what it misses.
type GetResult struct {
	ObjectInfo
	Off  int64 // first byte of Body within the object
	Len  int64 // bytes Body will yield
	Body io.ReadCloser
}

// PutOptions of Put and Upload.
type PutOptions struct {
	Headers         Headers
	ForbidOverwrite bool   // ErrExists if the key exists; void on versioned buckets
	ContentMD5      string // base64; "" = none
	EnableMD5       bool   // compute Content-MD5 here
	TrafficLimit    int64
	Progress        func(done, total int64) // called as bytes are acknowledged, from several goroutines one at a time
}

// PutResult of Put, CompleteMultipart and Upload.
type PutResult struct {
	ETag       string // without quotes
	CRC64      uint64
	HasCRC64   bool
	VersionID  string
	Location   string // Complete only
	RequestID  string
	ServerTime time.Time // the answer's Date; Last-Modified of the new version is within a second or so of it
	Settled    bool      // the reply was lost and the object proved that the operation had been applied
	Unclear    bool      // an attempt before the one that succeeded got no reply: it may still apply, late
}

// AppendOptions of Append. Headers count only when the append creates the object.
type AppendOptions struct {
	Headers      Headers
	ContentMD5   string
	EnableMD5    bool
	TrafficLimit int64
}

// AppendResult of Append. Next is the object's length after the append.
type AppendResult struct {
	ETag       string
	Next       int64
	RequestID  string
	ServerTime time.Time
	Settled    bool // the reply was lost and the object's content proved that the append had been applied
}

// InitiateOptions of InitiateMultipart.
type InitiateOptions struct {
	Headers Headers
}

// PartOptions of UploadPart.
type PartOptions struct {
	ContentMD5   string
	EnableMD5    bool
	TrafficLimit int64
	SSE          SSE // SSE-C trio only
}

// Part is one uploaded part, as ListParts tells it and as Complete wants it.
type Part struct {
	Number       int
	ETag         string // without quotes
	Size         int64
	CRC64        uint64 // valid if HasCRC64; ListParts does not tell it
	HasCRC64     bool
	LastModified time.Time
}

// Source names an object to copy from. The zero Bucket, Region and Endpoint mean the client's own.
type Source struct {
	Bucket, Region string
	Key            string
	VersionID      string
	Conditions     Conditions // sent as x-cos-copy-source-If-*; each failure is ErrPrecondition
	SSE            SSE        // SSE-C trio of the source
}

// CopyPartOptions of UploadPartCopy. Size 0 copies the whole source.
type CopyPartOptions struct {
	Source    Source
	Off, Size int64
	SSE       SSE
}

// CopyOptions of Copy. Replace sets x-cos-metadata-directive: Replaced; without it the metadata is
// the source's and Headers may carry only storage class, ACL, grants and SSE, none of which the
// service inherits. A copy of an object onto itself needs Replace.
type CopyOptions struct {
	Source          Source
	Replace         bool
	ReplaceTagging  bool
	Headers         Headers
	ForbidOverwrite bool
}

// CopyResult of Copy and UploadPartCopy.
type CopyResult struct {
	ETag            string
	CRC64           uint64
	HasCRC64        bool
	LastModified    time.Time
	VersionID       string
	SourceVersionID string
	RequestID       string
	Settled         bool // as in PutResult
	Unclear         bool
}

// CompleteOptions of CompleteMultipart. Size and CRC64, when known, are what an unclear outcome and
// the answer are checked against.
type CompleteOptions struct {
	ForbidOverwrite bool
	Size            int64  // expected size of the object; 0 = not checked
	CRC64           uint64 // expected, valid if HasCRC64
	HasCRC64        bool
}

// ListPartsOptions of ListParts: one page.
type ListPartsOptions struct {
	MaxParts         int // 0 = 1000
	PartNumberMarker int
	EncodingType     string // "" = url; decoded before it is returned
}

// ListPartsResult is one page of parts in ascending order.
type ListPartsResult struct {
	Parts        []Part
	Truncated    bool
	NextMarker   int
	StorageClass string
	Initiator    string
	Owner        string
}

// ListUploadsOptions of ListUploads: one page.
type ListUploadsOptions struct {
	Prefix, Delimiter         string
	KeyMarker, UploadIDMarker string
	MaxUploads                int    // 0 = 1000
	EncodingType              string // "" = url
}

// UploadInfo is one multipart upload under way.
type UploadInfo struct {
	Key, UploadID, StorageClass string
	Initiated                   time.Time
	Initiator, Owner            string
}

// ListUploadsResult is one page.
type ListUploadsResult struct {
	Uploads                           []UploadInfo
	CommonPrefixes                    []string
	Truncated                         bool
	NextKeyMarker, NextUploadIDMarker string
}

// ListOptions of List: one page of GET Bucket.
type ListOptions struct {
	Prefix, Delimiter, Marker string
	MaxKeys                   int // 0 = 1000
}

// ListEntry is one object of a listing.
type ListEntry struct {
	Key          string
	Size         int64
	ETag         string // without quotes
	LastModified time.Time
	StorageClass string // as listed: STANDARD included
}

// ListPage is one page of a listing. When Truncated, NextMarker is not empty and sorts after the
// request's marker: anything else is ErrBadResponse.
type ListPage struct {
	Entries        []ListEntry
	CommonPrefixes []string
	Truncated      bool
	NextMarker     string
	ServerTime     time.Time
}

// DeleteOptions of Delete.
type DeleteOptions struct {
	VersionID string
}

// DeleteError is a key that DeleteMany could not delete.
type DeleteError struct {
	Key string
	Err error // *Error
}

// BucketInfo is what HEAD Bucket tells.
type BucketInfo struct {
	Region     string
	MAZ        bool   // multi-AZ: no append
	OFS        bool   // metadata-accelerated
	Versioning string // "", "Enabled", "Suspended"; "unknown" when the caller may not ask
	ServerTime time.Time
}

// Grant is one line of an ACL.
type Grant struct {
	GranteeID  string // uin or URI of a group
	Permission string // READ, WRITE, READ_ACP, WRITE_ACP, FULL_CONTROL
}

// ACL of an object.
type ACL struct {
	Canned string // x-cos-acl header of the answer: default, private, public-read, ...
	Owner  string
	Grants []Grant
}
