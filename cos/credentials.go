package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Credentials sign requests. Printing or logging them shows the secret ID's beginning and no more.
type Credentials struct {
	SecretID  string
	SecretKey string
	Token     string    // of temporary credentials
	Expires   time.Time // zero = never
}

// Provider hands out credentials. Credentials may block, honours ctx, and is called by several
// goroutines at once. A provider that looked in its place and found none returns ErrNoCredentials.
// It need not cache: a Client wraps every provider but Static and *Refresher in a Refresher.
type Provider interface {
	Credentials(ctx context.Context) (Credentials, error)
}

// redacted is what every form of printing shows.
func (c Credentials) redacted() string {
	if c.SecretID == "" {
		return "no credentials"
	}
	shown := c.SecretID[:min(len(c.SecretID)/2, 8)]
	if c.Token != "" {
		return shown + "... (temporary)"
	}
	return shown + "..."
}

// String redacts.
func (c Credentials) String() string { return c.redacted() }

// Format redacts under every verb.
func (c Credentials) Format(s fmt.State, _ rune) {
	// A fmt.State takes what it is given.
	_, _ = io.WriteString(s, c.redacted())
}

// LogValue redacts.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalText redacts, for encoders that know neither of the above.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.redacted()), nil }

// check explains why credentials cannot be used, or returns nil.
func (c Credentials) check() error {
	switch {
	case c.SecretID == "" && c.SecretKey == "":
		return ErrNoCredentials
	case c.SecretID == "":
		return fmt.Errorf("%w: a secret key without its secret ID", ErrBadCredentials)
	case c.SecretKey == "":
		return fmt.Errorf("%w: a secret ID without its secret key", ErrBadCredentials)
	case strings.ContainsFunc(c.SecretID+c.SecretKey+c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%w: a blank or an unprintable character in them", ErrBadCredentials)
	}
	return nil
}

// expired tells whether they end within the margin.
func (c Credentials) expired(now time.Time, margin time.Duration) bool {
	return !c.Expires.IsZero() && !now.Add(margin).Before(c.Expires)
}

// Static provides the same credentials for ever.
type Static struct {
	Value Credentials
}

// Credentials returns the value, or ErrNoCredentials if it is empty.
func (s Static) Credentials(context.Context) (Credentials, error) { return s.Value, s.Value.check() }

// Env reads COS_SECRET_ID, COS_SECRET_KEY and COS_SESSION_TOKEN; failing the first two, the
// TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and TENCENTCLOUD_SESSION_TOKEN that other tools use.
type Env struct {
	Lookup func(name string) string // nil = os.Getenv
}

// Credentials reads the environment now.
func (e Env) Credentials(context.Context) (Credentials, error) {
	get := e.Lookup
	if get == nil {
		get = os.Getenv
	}
	for _, prefix := range []string{"COS_", "TENCENTCLOUD_"} {
		c := Credentials{
			SecretID:  get(prefix + "SECRET_ID"),
			SecretKey: get(prefix + "SECRET_KEY"),
			Token:     get(prefix + "SESSION_TOKEN"),
		}
		err := c.check()
		if errors.Is(err, ErrNoCredentials) {
			continue
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("environment %sSECRET_ID and %sSECRET_KEY: %w", prefix, prefix, err)
		}
		return c, nil
	}
	return Credentials{}, fmt.Errorf("environment has no COS_SECRET_ID and COS_SECRET_KEY: %w", ErrNoCredentials)
}

// Chain asks one provider after the other until one has credentials. Any error but ErrNoCredentials
// ends the search: credentials that are there but broken are not to be passed over in silence.
type Chain []Provider

// Credentials asks each provider in turn.
func (c Chain) Credentials(ctx context.Context) (Credentials, error) {
	var tried []error
	for _, p := range c {
		creds, err := p.Credentials(ctx)
		if !errors.Is(err, ErrNoCredentials) {
			return creds, err
		}
		tried = append(tried, err)
	}
	if len(tried) == 0 {
		return Credentials{}, ErrNoCredentials
	}
	return Credentials{}, errors.Join(tried...)
}
