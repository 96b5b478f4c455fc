package cosserver

import (
	"log/slog"
	"time"
)

// DefaultBucket is the bucket made when Options names none.
const DefaultBucket = "local-1250000000"

// DefaultRegion is the region a server says it is in when Options names none.
const DefaultRegion = "ap-local"

// Options of Open. The zero value, with a Dir, is a server that anyone who can reach it may use.
type Options struct {
	Dir     string   // where everything is kept; created if absent, locked against a second process
	Buckets []Bucket // created if absent; those that exist keep their state. None = DefaultBucket
	Region  string   // "" = DefaultRegion

	// Credentials by secret ID. With none, every request is accepted and signatures are not looked
	// at. Otherwise a signature must be right, and an unsigned request needs Anonymous or an ACL that
	// lets everyone in.
	Credentials map[string]Credential
	Anonymous   bool // accept unsigned requests, and those signed the S3 way, as the owner's

	Switches Switches
	LogSize  int              // requests Log remembers; 0 = 16384, at some 200 bytes each
	Logger   *slog.Logger     // nil discards
	Clock    func() time.Time // nil = time.Now. Delays and rates always use the real clock
	NoSync   bool             // acknowledge before bytes are on disk: a machine that stops loses some
}

// Bucket is a bucket to create.
type Bucket struct {
	Name       string // NAME-APPID
	Versioning string // "", "Enabled" or "Suspended"
	MAZ        bool   // multi-AZ: refuses append
	OFS        bool   // metadata acceleration: offers rename
	ACL        string // "" or "private", "public-read", "public-read-write"
}

// Credential is a secret key, permanent or temporary.
type Credential struct {
	SecretKey string
	Token     string    // must come along with each request; "" = permanent
	Expires   time.Time // zero = never
}

// Switches decide what the service's documents leave open, and turn on behaviour that only some
// buckets show. The zero value is the strict reading: what passes here should pass there.
type Switches struct {
	PathStyle          bool          // serve /BUCKET/KEY on hosts that name no bucket
	S3Headers          bool          // take x-amz-* for x-cos-*, and answer with both, as programs made for S3 need
	MinPart            int64         // bytes of an uploaded part but the last; 0 = 1 MiB, < 0 = no minimum
	MinCopiedPart      int64         // the same for copied parts; 0 = 5 MiB, < 0 = no minimum
	PartGaps           bool          // let part numbers of a complete have gaps
	RepeatComplete     bool          // answer a repeated complete like the first instead of 404
	CopyAppendable     bool          // let appendable objects be copied; the copy is normal
	MissingAppend404   bool          // an append behind the end of nothing is 404 instead of 409
	HideAppendPosition bool          // do not tell the right position with AppendPositionErr
	HideAppendCRC      bool          // no CRC64 header for appends and appendable objects
	ConditionalPut     bool          // honour If-Match and If-None-Match of a put instead of ignoring them
	PadComplete        bool          // send white space before the answer of a complete
	ForceDownload      bool          // answer like buckets made since 2024: downloads are attachments, .apk and .ipa refused
	RestoreTime        time.Duration // how long a restore of an archived object takes; 0 = a minute
	ListingLag         time.Duration // listings show the state of this long ago
}

func (s *Switches) minPart(copied bool) int64 {
	switch {
	case copied && s.MinCopiedPart == 0:
		return 5 << 20
	case copied:
		return s.MinCopiedPart
	case s.MinPart == 0:
		return 1 << 20
	}
	return s.MinPart
}
