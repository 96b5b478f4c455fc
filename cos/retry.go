package cos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// warnAttempts is from which attempt on a retry is worth a warning.
const warnAttempts = 3

// history is what became of an operation's attempts.
type history struct {
	attempts int
	unclear  bool // one of them may have been applied, or may be applied late
	renewed  bool // the cause of one was mended without waiting
}

// do sends a request until it is applied, refused for good, or out of attempts. It returns *Error.
func (c *Client) do(ctx context.Context, r *request) (history, error) {
	var h history
	for {
		h.attempts++
		f := c.attempt(ctx, r, h.attempts)
		if f == nil {
			return h, nil
		}
		f.err.Attempts = h.attempts
		c.logFailure(ctx, r, f)
		h.unclear = h.unclear || f.unclear
		if f.unclear {
			reportUnclear(ctx, r)
		}
		if r.settle != nil && h.unclear && !f.local && ctx.Err() == nil && (f.unclear || !f.retry) {
			switch v, err := r.settle(ctx, f); v {
			case applied:
				return h, nil
			case refused:
				f.err.Err = err
				return h, f.err
			case cannotSay:
				return h, c.final(f, true, err)
			}
		}
		if f.now && h.renewed {
			f.retry = false
		}
		h.renewed = h.renewed || f.now
		if !f.retry || h.attempts >= c.o.Attempts {
			return h, c.final(f, h.unclear, nil)
		}
		if err := c.pause(ctx, h.attempts, f); err != nil {
			f.err.Err = fmt.Errorf("%w: %w", err, f.err.Err)
			return h, c.final(f, h.unclear, nil)
		}
	}
}

// unclearKey is the context key of WithUnclear.
type unclearKey struct{}

// WithUnclear returns a context under which report is called, before the next attempt, for each attempt
// of a changing operation that got no reply although all of it was sent: the service may apply it at any
// later time. op is as in Error; key is "" for DeleteObjects. report must not block.
func WithUnclear(ctx context.Context, report func(op, key string)) context.Context {
	return context.WithValue(ctx, unclearKey{}, report)
}

// reportUnclear tells the context's owner about an attempt of r.
func reportUnclear(ctx context.Context, r *request) {
	if report, ok := ctx.Value(unclearKey{}).(func(op, key string)); ok {
		report(r.op, r.key)
	}
}

// final adds to an error that the outcome is in doubt, if it is.
func (c *Client) final(f *failure, unclear bool, why error) error {
	switch {
	case !unclear:
	case why != nil:
		f.err.Err = fmt.Errorf("%w: %w: %w", ErrUnknownOutcome, f.err.Err, why)
	case !errors.Is(f.err.Err, ErrUnknownOutcome):
		f.err.Err = fmt.Errorf("%w: %w", ErrUnknownOutcome, f.err.Err)
	}
	return f.err
}

// pause waits before the next attempt: a random part of a delay that doubles.
func (c *Client) pause(ctx context.Context, attempt int, f *failure) error {
	if f.now {
		return nil
	}
	ceiling := c.o.MaxDelay
	if shift := attempt - 1; shift < 30 {
		ceiling = min(ceiling, c.o.BaseDelay<<shift)
	}
	d := max(rand.N(ceiling)+1, min(f.after, c.o.MaxDelay))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctxError(ctx)
	}
}

func (c *Client) logFailure(ctx context.Context, r *request, f *failure) {
	level := slog.LevelDebug
	if f.retry && f.err.Attempts >= warnAttempts {
		level = slog.LevelWarn
	}
	c.log.LogAttrs(ctx, level, "request failed",
		slog.String("op", r.op), slog.String("key", r.key), slog.Int("attempt", f.err.Attempts),
		slog.Int("status", f.err.Status), slog.String("code", f.err.Code),
		slog.String("request_id", f.err.RequestID), slog.Any("err", f.err.Err))
}

// refuse is the error of an operation that was not sent.
func refuse(op, key string, err error) error {
	return &Error{Op: op, Key: key, Attempts: 0, Err: err}
}
