package cos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxErrorBody = 64 << 10
	maxXMLBody   = 8 << 20
	maxMessage   = 512 // bytes of a server's message kept in an Error
)

// failure is an attempt that did not succeed, and what may be done about it.
type failure struct {
	err       *Error
	retry     bool          // sending again may help
	unclear   bool          // the service may have applied the operation, or may still
	throttled bool          // the service asks for less
	now       bool          // no need to wait before sending again: the cause has been mended
	after     time.Duration // the service asks to wait so long
	local     bool          // nothing was sent
}

// attempt sends the request once. A nil failure is success.
func (c *Client) attempt(ctx context.Context, r *request, n int) *failure {
	limit := &c.limit
	if r.body != nil {
		limit = &c.sendLimit
	}
	if err := limit.acquire(ctx); err != nil {
		return c.localFailure(r, err)
	}
	f := c.exchange(ctx, r, n)
	limit.release(f != nil && f.throttled, f == nil)
	return f
}

func (c *Client) exchange(ctx context.Context, r *request, n int) *failure {
	s, err := c.newSigner(ctx)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrBadCredentials, err)
		}
		return c.localFailure(r, err)
	}
	actx, cancel := context.WithCancelCause(ctx)
	guard := c.newWatchdog(r, cancel)
	var sent *sentBody
	if r.body != nil {
		sent = &sentBody{src: r.body, size: r.size, guard: guard}
	}
	done := func() {
		guard.rest()
		cancel(nil)
		if sent != nil {
			sent.wait()
		}
	}
	var connected atomic.Bool
	req := c.build(httptrace.WithClientTrace(actx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), r, n, sent, s)
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		f := c.transportFailure(actx, r, err, connected.Load(), sent)
		done()
		return f
	}
	guard.rest()
	c.clock.learn(resp.Header)
	a := &answer{Response: resp, ctx: actx, sent: sent, guard: guard}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{guardedReader{resp.Body, guard}, resp.Body}
	a.done = func() { resp.Body.Close(); done() }
	f := c.judge(actx, r, a, s)
	if f != nil || !r.stream {
		a.done()
	}
	return f
}

// judge turns an answer into success or failure.
func (c *Client) judge(ctx context.Context, r *request, a *answer, s signer) *failure {
	if a.StatusCode < 200 || a.StatusCode > 299 {
		return c.refusal(r, a, s)
	}
	err := r.read(a)
	if err == nil {
		return nil
	}
	var in *inBodyError
	if errors.As(err, &in) {
		return c.classify(r, a.StatusCode, in.doc, a.Header, s)
	}
	if cause := ctxError(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	f := &failure{err: c.newError(r, a.StatusCode, errorDoc{RequestID: a.Header.Get("X-Cos-Request-Id")}, err)}
	mismatch := errors.Is(err, ErrChecksum)
	f.retry = !errors.Is(err, errFinal)
	f.unclear = r.mutates && !mismatch
	return f
}

// errFinal is wrapped by a read that no further attempt can mend.
var errFinal = errors.New("not retried")

// errorDoc is the service's error document.
type errorDoc struct {
	XMLName   xml.Name
	Code      string
	Message   string
	RequestID string `xml:"RequestId"`
}

// inBodyError is an error document that arrived with a status of success.
type inBodyError struct{ doc errorDoc }

func (e *inBodyError) Error() string { return e.doc.Code + ": " + e.doc.Message }

// refusal reads the error document of an answer that is not 2xx.
func (c *Client) refusal(r *request, a *answer, s signer) *failure {
	var doc errorDoc
	if r.method != http.MethodHead {
		// A body cut short or not XML leaves the status, which decides anyway.
		if b, err := io.ReadAll(io.LimitReader(a.Body, maxErrorBody)); err == nil || len(b) > 0 {
			if xml.Unmarshal(b, &doc) != nil || doc.XMLName.Local != "Error" {
				doc = errorDoc{}
			}
		}
	}
	return c.classify(r, a.StatusCode, doc, a.Header, s)
}

// classify decides what an error of the service means for the operation.
func (c *Client) classify(r *request, status int, doc errorDoc, h http.Header, s signer) *failure {
	if doc.RequestID == "" {
		doc.RequestID = h.Get("X-Cos-Request-Id")
	}
	err := sentinel(status, doc.Code, doc.Message)
	if r.key == "" && err == ErrNotFound && doc.Code == "" {
		err = ErrNoSuchBucket
	}
	f := &failure{err: c.newError(r, status, doc, err)}
	switch {
	case errors.Is(err, ErrThrottled):
		f.retry, f.throttled = true, true
		f.after = retryAfter(h)
	case errors.Is(err, ErrServer):
		f.retry, f.unclear = true, r.mutates
		f.throttled = status == http.StatusServiceUnavailable
	case errors.Is(err, ErrTransport): // the service saw the body arrive too slowly or cut short
		f.retry = true
	case errors.Is(err, ErrChecksum):
		f.retry = r.ownMD5
	case (status == http.StatusForbidden || errors.Is(err, ErrClockSkew)) && c.clock.stale(s.offset):
		f.retry, f.now = true, true
	case errors.Is(err, ErrBadCredentials) && doc.Code != "SignatureDoesNotMatch" && !s.anonymous:
		f.retry = c.renew(s.creds)
		f.now = f.retry
	}
	return f
}

// renew asks the provider to replace credentials the service refused.
func (c *Client) renew(used Credentials) bool {
	r, ok := c.creds.(interface{ Invalidate(Credentials) bool })
	return ok && r.Invalidate(used)
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > int(time.Hour/time.Second) {
		return 0
	}
	return time.Duration(n) * time.Second
}

// transportFailure classifies an attempt that brought no answer.
func (c *Client) transportFailure(ctx context.Context, r *request, err error, connected bool, sent *sentBody) *failure {
	whole := true
	if sent != nil {
		// A body cut short is discarded by the service: then there is no doubt.
		_, whole = sent.complete()
		if src := sent.failed(); src != nil {
			return &failure{err: c.newError(r, 0, errorDoc{}, src)}
		}
	}
	f := &failure{unclear: r.mutates && connected && whole, retry: true}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrStalled):
		err = fmt.Errorf("%w: %w", ErrStalled, ErrTransport)
	case cause != nil:
		err, f.retry = ctxError(ctx), false
	default:
		f.retry = !permanent(err)
		err = fmt.Errorf("%w: %w", ErrTransport, err)
	}
	f.err = c.newError(r, 0, errorDoc{}, err)
	return f
}

// ctxError is why a context ended: its error and its cause, or nil.
func ctxError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case err == nil || err == cause:
		return err
	case errors.Is(cause, ErrStalled):
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// permanent tells failures that another attempt meets again.
func permanent(err error) bool {
	var cert *tls.CertificateVerificationError
	var auth x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &cert) || errors.As(err, &auth) || errors.As(err, &host)
}

func (c *Client) localFailure(r *request, err error) *failure {
	return &failure{err: c.newError(r, 0, errorDoc{}, err), local: true}
}

func (c *Client) newError(r *request, status int, doc errorDoc, err error) *Error {
	msg := doc.Message
	if len(msg) > maxMessage {
		msg = strings.ToValidUTF8(msg[:maxMessage], "") + "..."
	}
	return &Error{
		Op: r.op, Key: r.key, Status: status, Code: doc.Code, Message: msg,
		RequestID: doc.RequestID, Attempts: 1, Err: err,
	}
}
