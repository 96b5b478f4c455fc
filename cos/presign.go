package cos

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"time"

	"cosfuse/cos/internal/sign"
)

// Presign returns a URL that allows one kind of request on an object until it expires, to anyone who
// holds it. The query's parameters are part of what is signed. With temporary credentials the URL
// ends with them at the latest. An anonymous client returns the plain URL. Nothing is sent, but
// credentials may have to be fetched.
func (c *Client) Presign(ctx context.Context, method, key string, query url.Values, expires time.Duration) (string, error) {
	const op = "Presign"
	if err := CheckKey(key); err != nil {
		return "", refuse(op, key, err)
	}
	if expires <= 0 {
		return "", refuse(op, key, fmt.Errorf("%w: a URL that expires after %v", ErrInvalidArgument, expires))
	}
	s, err := c.newSigner(ctx)
	if err != nil {
		return "", refuse(op, key, fmt.Errorf("%w: %w", ErrBadCredentials, err))
	}
	q := maps.Clone(query)
	if q == nil {
		q = url.Values{}
	}
	u := c.url(key, q)
	if c.ep.direct {
		u.Host = c.ep.host // who holds the URL need not know the address we dial
	}
	if s.anonymous {
		return u.String(), nil
	}
	if s.creds.Token != "" {
		q.Set("x-cos-security-token", s.creds.Token)
	}
	keyTime := sign.KeyTime(s.now.Add(-signBackdate), s.now.Add(expires))
	f := sign.New(s.creds.SecretID, s.creds.SecretKey, keyTime, method, u.Path, q, map[string][]string{"Host": {c.ep.host}})
	u.RawQuery = f.Query()
	if len(q) > 0 {
		u.RawQuery = rawQuery(q) + "&" + f.Query()
	}
	return u.String(), nil
}
