package cos

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Options configure a Client. Bucket is required, and Region or an Endpoint that names it; the zero
// value of everything else is a default that suits a file system.
type Options struct {
	// Endpoint names the service, "http://cos.ap-guangzhou.myqcloud.com" for example: the bucket
	// becomes the first label of its host unless it is that already. Without a scheme it is https.
	// An IP address or localhost is dialled as it is, and the Host header names the bucket in
	// REGION. Empty means https://cos.REGION.myqcloud.com.
	Endpoint string
	// EndpointIsBucket says that Endpoint is a custom domain bound to the bucket, sent as it is.
	EndpointIsBucket bool
	Region           string // "ap-guangzhou"; empty = as Endpoint says
	Bucket           string // NAME-APPID

	Credentials Provider     // nil = anonymous: nothing is signed
	Logger      *slog.Logger // nil = discard

	MaxConns      int           // idle connections kept, and the width the throttle recovers to; 0 = 64
	Attempts      int           // per operation, the first included; 0 = 8
	BaseDelay     time.Duration // back-off before the second attempt is at most this, then doubles; 0 = 100 ms
	MaxDelay      time.Duration // and never exceeds this; 0 = 20 s
	StallTimeout  time.Duration // a transfer in which no byte moves for so long is ended; 0 = 30 s
	HeaderTimeout time.Duration // wait for the answer once the request is sent, five times that for copies and Complete; 0 = 2 min
	DialTimeout   time.Duration // and TLS handshake; 0 = 10 s
	UserAgent     string        // "" = cosfuse
	TrafficLimit  int64         // of each transfer that states none itself, in bit/s, 819200..838860800; 0 = none

	// SkipAppendMD5 leaves out comparing the MD5 the service returns for appended bytes. It saves
	// about 1.5 s of CPU per GiB appended and leaves corruption in transit unnoticed.
	SkipAppendMD5 bool

	Clock         func() time.Time  // nil = time.Now
	HTTPTransport http.RoundTripper // nil = one of our own; others must not follow redirects or decompress, and must close bodies
}

// Defaults of Options.
const (
	defaultMaxConns      = 64
	defaultAttempts      = 8
	defaultBaseDelay     = 100 * time.Millisecond
	defaultMaxDelay      = 20 * time.Second
	defaultStallTimeout  = 30 * time.Second
	defaultHeaderTimeout = 2 * time.Minute
	defaultDialTimeout   = 10 * time.Second
	defaultUserAgent     = "cosfuse"
	slowAnswerFactor     = 5
)

// filled returns o with every default in place.
func (o Options) filled() (Options, error) {
	if o.MaxConns < 0 || o.Attempts < 0 || o.BaseDelay < 0 || o.MaxDelay < 0 ||
		o.StallTimeout < 0 || o.HeaderTimeout < 0 || o.DialTimeout < 0 {
		return o, errors.New("cos: a negative limit in the options")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.MaxConns = orDefault(o.MaxConns, defaultMaxConns)
	o.Attempts = orDefault(o.Attempts, defaultAttempts)
	o.BaseDelay = orDefault(o.BaseDelay, defaultBaseDelay)
	o.MaxDelay = orDefault(o.MaxDelay, defaultMaxDelay)
	o.StallTimeout = orDefault(o.StallTimeout, defaultStallTimeout)
	o.HeaderTimeout = orDefault(o.HeaderTimeout, defaultHeaderTimeout)
	o.DialTimeout = orDefault(o.DialTimeout, defaultDialTimeout)
	o.UserAgent = orDefault(o.UserAgent, defaultUserAgent)
	return o, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
