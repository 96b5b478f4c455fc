package cos

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Client speaks for one bucket. Make it with New; it is safe for concurrent use.
type Client struct {
	o      Options // filled
	bucket string
	ep     endpoint
	creds  Provider // nil = anonymous
	own    io.Closer
	log    *slog.Logger
	rt     http.RoundTripper
	clock  serverClock
	limit  limiter // of requests without a body

	// sendLimit is of those with one, which may be read from the service itself while it is sent: if
	// both waited for the same room, the reading would wait for its own end.
	sendLimit limiter
}

// New returns a client for a bucket. It sends nothing; HeadBucket tells whether bucket and
// credentials are good. It fails with ErrInvalidArgument if bucket, region or endpoint are malformed.
func New(o Options) (*Client, error) {
	o, err := o.filled()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	if err := new(request).setTrafficLimit(o.TrafficLimit); err != nil {
		return nil, err
	}
	ep, err := newEndpoint(o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		o:      o,
		bucket: o.Bucket,
		ep:     ep,
		log:    o.Logger,
		rt:     o.HTTPTransport,
		clock:  serverClock{local: o.Clock, log: o.Logger},
		limit:  limiter{wide: o.MaxConns, clock: o.Clock},

		sendLimit: limiter{wide: o.MaxConns, clock: o.Clock},
	}
	c.creds, c.own = keepFresh(o.Credentials, o.Logger, func() time.Time { t, _ := c.clock.now(); return t })
	if c.rt == nil {
		c.rt = newTransport(o, ep)
	}
	return c, nil
}

// Bucket returns the bucket's name, APPID included.
func (c *Client) Bucket() string { return c.bucket }

// Region returns the bucket's region as configured or found in the endpoint; it may be empty with a
// custom domain.
func (c *Client) Region() string { return c.ep.region }

// Format shows the bucket, and nothing of the credentials, under every verb.
func (c *Client) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "client of "+c.bucket) // a fmt.State takes what it is given
}

// Close drops idle connections and waits for a refresh of credentials under way. Operations must
// have ended.
func (c *Client) Close() error {
	if t, ok := c.rt.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	if c.own == nil {
		return nil
	}
	return c.own.Close()
}

const (
	idleTimeout    = 50 * time.Second // below what servers and middleboxes commonly allow
	keepAlive      = 30 * time.Second
	connBuffer     = 64 << 10
	maxHeaderBytes = 64 << 10
)

// newTransport is an HTTP/1.1 pool: one connection per transfer carries more than streams sharing
// one, and objects stored compressed must come back as they are.
func newTransport(o Options, ep endpoint) *http.Transport {
	d := net.Dialer{Timeout: o.DialTimeout, KeepAlive: keepAlive}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    o.DialTimeout,
		MaxIdleConns:           o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxConns,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true,
		WriteBufferSize:        connBuffer,
		ReadBufferSize:         connBuffer,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if ep.direct {
		// The certificate to expect is the bucket's, not that of the address dialled.
		t.TLSClientConfig = &tls.Config{ServerName: ep.host, MinVersion: tls.VersionTLS12}
	}
	return t
}
