package cos

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Append adds size bytes to the end of an appendable object, which must be position bytes long; at
// position 0 it creates the object if there is none. Another length is ErrAppendPosition: the
// position works as a compare-and-swap.
//
// An append without a reply is not sent again blindly: the object's length tells whether it has been
// applied, and what stands at position is read back and compared. If that cannot be done the error
// is ErrUnknownOutcome.
func (c *Client) Append(ctx context.Context, key string, position int64, body io.ReaderAt, size int64, o *AppendOptions) (*AppendResult, error) {
	const op = "AppendObject"
	if o == nil {
		o = &AppendOptions{}
	}
	r, err := c.appendRequest(op, key, position, body, size, o)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	var res AppendResult
	r.read = func(a *answer) (err error) {
		if err := discard(a); err != nil {
			return err
		}
		res, err = c.appendResult(a, position, body, size)
		return err
	}
	r.settle = c.settleAppend(r, position, &res)
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &res, nil
}

func (c *Client) appendRequest(op, key string, position int64, body io.ReaderAt, size int64, o *AppendOptions) (*request, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	switch {
	case position < 0:
		return nil, fmt.Errorf("%w: append position %d", ErrInvalidArgument, position)
	case position > MaxPutBytes-size:
		return nil, fmt.Errorf("%w: appending makes %d bytes, at most %d are allowed", ErrTooLarge, position+size, int64(MaxPutBytes))
	}
	r := &request{
		op: op, method: http.MethodPost, key: key, mutates: true,
		query: url.Values{"append": nil, "position": {strconv.FormatInt(position, 10)}},
	}
	if err := r.setBody(body, size, o.ContentMD5, o.EnableMD5); err != nil {
		return nil, err
	}
	if err := r.setTrafficLimit(orDefault(o.TrafficLimit, c.o.TrafficLimit)); err != nil {
		return nil, err
	}
	return r, r.setAll(o.Headers)
}

func (c *Client) appendResult(a *answer, position int64, body io.ReaderAt, size int64) (AppendResult, error) {
	res := AppendResult{
		ETag:       trimETag(a.Header.Get("Etag")),
		Next:       position + size,
		RequestID:  a.Header.Get(headerRequestID),
		ServerTime: serverTime(a.Header),
	}
	if s := a.Header.Get("X-Cos-Next-Append-Position"); s != "" && s != strconv.FormatInt(res.Next, 10) {
		return res, fmt.Errorf("%w: next append position %q after %d bytes at %d (%w)", ErrBadResponse, s, size, position, errFinal)
	}
	// Despite its name the header is the MD5 of the bytes of this append; a real SHA1 is longer.
	sum := a.Header.Get("X-Cos-Content-Sha1")
	if c.o.SkipAppendMD5 || len(sum) != 2*md5Size {
		return res, nil
	}
	want, err := md5Of(body, size)
	if err != nil {
		return res, fmt.Errorf("%w (%w)", err, errFinal)
	}
	if got, err := hex.DecodeString(sum); err != nil || !bytes.Equal(got, want) {
		return res, fmt.Errorf("%w: sent MD5 %x, appended %s (%w)", ErrChecksum, want, sum, errFinal)
	}
	return res, nil
}

const md5Size = md5.Size

// settleAppend looks at the object after an attempt of which nothing came back.
func (c *Client) settleAppend(r *request, position int64, res *AppendResult) func(context.Context, *failure) (verdict, error) {
	return func(ctx context.Context, f *failure) (verdict, error) {
		if !f.unclear && !errors.Is(f.err, ErrAppendPosition) {
			return resend, nil // refused for another reason, which stands
		}
		info, err := c.Head(ctx, r.key, nil)
		switch {
		case errors.Is(err, ErrNotFound):
			return resend, nil // nothing was created; the service will say if position is wrong now
		case err != nil:
			return cannotSay, err
		case info.Size == position && r.size > 0:
			return c.notApplied(f)
		case info.Size < position+r.size:
			return refused, ErrAppendPosition
		}
		same, err := c.holds(ctx, r, position)
		if err != nil {
			return cannotSay, err
		}
		if !same {
			return refused, ErrAppendPosition
		}
		*res = AppendResult{
			ETag: info.ETag, Next: position + r.size, RequestID: info.RequestID,
			ServerTime: info.ServerTime, Settled: true,
		}
		return applied, nil
	}
}

// notApplied allows another attempt: should the lost one be applied late, position refuses one of
// the two.
func (c *Client) notApplied(f *failure) (verdict, error) {
	if errors.Is(f.err, ErrAppendPosition) {
		return refused, ErrAppendPosition // refused although the length fits: do not insist
	}
	return resend, nil
}

// holds reads back the range that the append would have written and compares it. A read that breaks
// off is taken up again.
func (c *Client) holds(ctx context.Context, r *request, position int64) (bool, error) {
	var same int64
	for n := 1; same < r.size; n++ {
		equal, differ, err := c.compareFrom(ctx, r, position, same)
		same += equal
		switch {
		case differ:
			return false, nil
		case err == nil:
			return true, nil
		case n >= c.o.Attempts || !errors.Is(err, ErrBadResponse) && !errors.Is(err, ErrTransport):
			return false, err
		}
		if err := c.pause(ctx, n, &failure{}); err != nil {
			return false, err
		}
	}
	return true, nil
}

const compareBuffer = 64 << 10

// compareFrom compares the object with the body from an offset in the body on. It returns how many
// bytes are equal and whether the next ones differ.
func (c *Client) compareFrom(ctx context.Context, r *request, position, from int64) (equal int64, differ bool, err error) {
	g, err := c.Get(ctx, r.key, &GetOptions{Off: position + from, Size: r.size - from})
	if errors.Is(err, ErrInvalidRange) || err == nil && g.Len < r.size-from {
		if g != nil {
			err = g.Body.Close()
		}
		return 0, true, err // it has shrunk
	}
	if err != nil {
		return 0, false, err
	}
	defer g.Body.Close()
	theirs, ours := make([]byte, compareBuffer), make([]byte, compareBuffer)
	for left := g.Len; left > 0; {
		n := min(left, compareBuffer)
		if _, err := io.ReadFull(g.Body, theirs[:n]); err != nil {
			return equal, false, err
		}
		if _, err := io.ReadFull(io.NewSectionReader(r.body, from+equal, n), ours[:n]); err != nil {
			return equal, false, fmt.Errorf("%w: %w", errSource, err)
		}
		if !bytes.Equal(theirs[:n], ours[:n]) {
			return equal, true, nil
		}
		equal, left = equal+n, left-n
	}
	return equal, false, nil
}
