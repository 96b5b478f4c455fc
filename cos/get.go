package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Get starts reading an object or a range of one. It returns once the header of the answer is there;
// ctx governs reading Body too, and the caller closes Body. A range beyond the object, and any range
// of an empty one, is ErrInvalidRange.
func (c *Client) Get(ctx context.Context, key string, o *GetOptions) (*GetResult, error) {
	const op = "GetObject"
	if o == nil {
		o = &GetOptions{}
	}
	r, err := c.getRequest(op, key, o)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	var res GetResult
	r.read = func(a *answer) (err error) {
		if res, err = getResult(key, o, a); err != nil {
			return err
		}
		res.Body = newObjectBody(op, &res, a)
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &res, nil
}

func (c *Client) getRequest(op, key string, o *GetOptions) (*request, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if o.Off < 0 || o.Size < 0 && o.Off != 0 {
		return nil, fmt.Errorf("%w: range of %d bytes at %d", ErrInvalidRange, o.Size, o.Off)
	}
	r := &request{op: op, method: http.MethodGet, key: key, stream: true, query: url.Values{}}
	if o.VersionID != "" {
		r.query.Set("versionId", o.VersionID)
	}
	for name, v := range map[string]string{
		"response-content-type":        o.Response.ContentType,
		"response-content-language":    o.Response.ContentLanguage,
		"response-expires":             o.Response.Expires,
		"response-cache-control":       o.Response.CacheControl,
		"response-content-disposition": o.Response.ContentDisposition,
		"response-content-encoding":    o.Response.ContentEncoding,
	} {
		if v != "" {
			r.query.Set(name, v)
		}
	}
	r.setHeader("Range", rangeHeader(o.Off, o.Size))
	r.setConditions("", o.Conditions)
	r.setCustomerKey(ssePrefix, o.SSE)
	return r, r.setTrafficLimit(orDefault(o.TrafficLimit, c.o.TrafficLimit))
}

func rangeHeader(off, size int64) string {
	switch {
	case size < 0:
		return "bytes=" + strconv.FormatInt(size, 10)
	case size > 0:
		return fmt.Sprintf("bytes=%d-%d", off, off+size-1)
	case off > 0:
		return fmt.Sprintf("bytes=%d-", off)
	}
	return ""
}

// getResult checks that the answer is of the range that was asked for.
func getResult(key string, o *GetOptions, a *answer) (GetResult, error) {
	info, err := objectInfo(key, a.Header)
	if err != nil {
		return GetResult{}, err
	}
	if a.ContentLength < 0 {
		return GetResult{}, fmt.Errorf("%w: no Content-Length", ErrBadResponse)
	}
	res := GetResult{ObjectInfo: info, Len: a.ContentLength}
	switch {
	case a.StatusCode == http.StatusOK:
		res.Size = a.ContentLength
	case a.StatusCode != http.StatusPartialContent || rangeHeader(o.Off, o.Size) == "":
		return GetResult{}, fmt.Errorf("%w: status %d", ErrBadResponse, a.StatusCode)
	default:
		if err := res.setRange(a.Header.Get("Content-Range")); err != nil {
			return GetResult{}, err
		}
	}
	if off, size := o.window(res.Size); off != res.Off || size != res.Len {
		return GetResult{}, fmt.Errorf("%w: %d bytes at %d of %d where %d at %d were due",
			ErrBadResponse, res.Len, res.Off, res.Size, size, off)
	}
	return res, nil
}

// window is what the options mean for an object of the given size.
func (o *GetOptions) window(object int64) (off, size int64) {
	switch {
	case o.Size < 0:
		size = min(-o.Size, object)
		return object - size, size
	case o.Size == 0:
		return o.Off, object - o.Off
	}
	return o.Off, min(o.Size, object-o.Off)
}

// setRange reads "bytes first-last/size".
func (g *GetResult) setRange(s string) error {
	spec, ok := strings.CutPrefix(s, "bytes ")
	bounds, total, ok2 := strings.Cut(spec, "/")
	first, last, ok3 := strings.Cut(bounds, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || errors.Join(err1, err2, err3) != nil || from < 0 || to < from || size <= to {
		return fmt.Errorf("%w: Content-Range %q", ErrBadResponse, s)
	}
	if to-from+1 != g.Len {
		return fmt.Errorf("%w: Content-Range %q with %d bytes", ErrBadResponse, s, g.Len)
	}
	g.Off, g.Size = from, size
	return nil
}

// objectBody checks length and, of a whole object, CRC64 while it is read.
type objectBody struct {
	a     *answer
	fail  func(error) error
	left  int64
	crc   uint64
	want  uint64
	check bool
	err   error // what the last Read returned, repeated
}

func newObjectBody(op string, g *GetResult, a *answer) *objectBody {
	status, key, id := a.StatusCode, g.Key, g.RequestID
	return &objectBody{
		a:     a,
		left:  g.Len,
		want:  g.CRC64,
		check: g.HasCRC64 && g.Off == 0 && g.Len == g.Size,
		fail: func(err error) error {
			return &Error{Op: op, Key: key, Status: status, RequestID: id, Attempts: 1, Err: err}
		},
	}
}

func (b *objectBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.left == 0 {
		b.err = b.end()
		return 0, b.err
	}
	n, err := b.a.Body.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.check {
		b.crc = CRC64Update(b.crc, p[:n])
	}
	if b.left == 0 {
		b.err = b.end()
		return n, b.err
	}
	if err != nil {
		b.err = b.fail(b.broken(err))
	}
	return n, b.err
}

// end is what follows the last byte.
func (b *objectBody) end() error {
	if b.check && b.crc != b.want {
		return b.fail(fmt.Errorf("%w: read CRC64 %d, the object's is %d", ErrChecksum, b.crc, b.want))
	}
	return io.EOF
}

// broken explains why bytes are missing.
func (b *objectBody) broken(err error) error {
	if cause := ctxError(b.a.ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, ErrTransport)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %d bytes missing: %w", ErrBadResponse, b.left, err)
}

// Close releases the connection, which can serve again if Body was read to its end.
func (b *objectBody) Close() error {
	if b.err == nil {
		b.err = b.fail(http.ErrBodyReadAfterClose)
	}
	if b.a.done != nil {
		b.a.done()
		b.a.done = nil
	}
	return nil
}
