package cos

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels an *Error wraps. They name what a caller can act on; the COS code is in Error.Code.
var (
	ErrNotFound        = errors.New("not found")                       // NoSuchKey, NoSuchUpload, HEAD 404
	ErrNoSuchBucket    = errors.New("no such bucket")                  // NoSuchBucket; a HEAD cannot tell it from ErrNotFound
	ErrPrecondition    = errors.New("precondition failed")             // 412
	ErrNotModified     = errors.New("not modified")                    // 304
	ErrAccessDenied    = errors.New("access denied")                   // 403 of any kind but those below
	ErrBadCredentials  = errors.New("credentials refused")             // SignatureDoesNotMatch, InvalidAccessKeyId, ExpiredToken, no usable credentials
	ErrClockSkew       = errors.New("clock skew")                      // RequestTimeTooSkewed, "Request has expired", after correction
	ErrExists          = errors.New("object exists")                   // FileAlreadyExists: forbid-overwrite
	ErrAppendPosition  = errors.New("append position is not the end")  // AppendPositionErr
	ErrNotAppendable   = errors.New("object is not appendable")        // ObjectNotAppendable
	ErrInvalidState    = errors.New("invalid object state")            // InvalidObjectState: archived, or appendable and copied
	ErrInvalidRange    = errors.New("invalid range")                   // 416
	ErrTooLarge        = errors.New("entity too large")                // EntityTooLarge
	ErrKeyInvalid      = errors.New("key not acceptable")              // KeyTooLong, InvalidObjectName, InvalidURI, or refused before sending
	ErrInvalidArgument = errors.New("invalid argument")                // any other 400
	ErrInvalidPart     = errors.New("invalid part")                    // InvalidPart, InvalidPartOrder, EntityTooSmall
	ErrThrottled       = errors.New("throttled")                       // 503 SlowDown
	ErrServer          = errors.New("server error")                    // other 5xx
	ErrBadResponse     = errors.New("bad response")                    // truncated, empty, unparsable, over a bound, or lying
	ErrChecksum        = errors.New("checksum mismatch")               // CRC64, MD5 or BadDigest
	ErrStalled         = errors.New("transfer stalled")                // the watchdog
	ErrUnknownOutcome  = errors.New("outcome unknown")                 // the reply was lost and the object does not tell; it may still apply late
	ErrTransport       = errors.New("cannot reach the server")         // dial, TLS, reset
	ErrUnsupported     = errors.New("not supported by this bucket")    // 405, 501, MAZ, OFS, accelerate
	ErrNoSpace         = errors.New("bucket or account quota is full") // QuotaConflict, AttachmentFull, PaymentRequired
	ErrConflict        = errors.New("conflict")                        // any other 409
	ErrNoCredentials   = errors.New("no credentials found")
	ErrSourceChanged   = errors.New("local file changed while it was uploaded")
)

// Error is the error of every operation that failed. Err is one of the sentinels above, joined with
// the transport's own cause where there is one.
type Error struct {
	Op        string // operation as counted by the server: "PutObject", "UploadPart", ...
	Key       string // object key; empty for bucket operations
	Status    int    // HTTP status; 0 when no answer arrived
	Code      string // COS error code; empty when none was sent (HEAD)
	Message   string // the server's message, bounded
	RequestID string // x-cos-request-id
	Attempts  int    // attempts made; 0 when the operation was refused before sending
	Err       error  // sentinel or cause; never nil
}

// Error formats the facts once, for a log line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		fmt.Fprintf(&b, " %q", e.Key)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d", e.Status)
		if e.Code != "" {
			fmt.Fprintf(&b, " %s", e.Code)
		}
		if e.Message != "" {
			fmt.Fprintf(&b, ": %s", e.Message)
		}
		if e.RequestID != "" {
			fmt.Fprintf(&b, ", request %s", e.RequestID)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap returns the sentinel or cause.
func (e *Error) Unwrap() error { return e.Err }
