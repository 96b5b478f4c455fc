package writeback

import (
	"context"
	"errors"
	"fmt"

	"cosfuse/cos"
)

// Fetch begins to read the bytes [off, off+size) of version v of key, for a cache.FetchFunc that Files of
// that version may share: a File that reads what came of it takes another version for ErrStale. It blocks
// until the header of the answer is there. The caller closes Body.
func (s *Store) Fetch(ctx context.Context, key string, v Version, off, size int64) (*cos.GetResult, error) {
	r, err := s.Client.Get(ctx, key, &cos.GetOptions{Off: off, Size: size, Conditions: cos.Conditions{IfMatch: v.ETag}})
	switch {
	case errors.Is(err, cos.ErrNotFound), errors.Is(err, cos.ErrPrecondition), errors.Is(err, cos.ErrInvalidRange):
		return nil, fmt.Errorf("%w: %w", errVersionGone, err)
	case err != nil:
		return nil, err
	case r.ETag != v.ETag:
		_ = r.Body.Close() // another version's bytes: not wanted
		return nil, fmt.Errorf("%w: %q is now %s", errVersionGone, key, r.ETag)
	}
	return r, nil
}

// checksum is the CRC64 of v's content, if the service told it.
func (v Version) checksum() (sum uint64, ok bool) { return v.CRC64, v.HasCRC64 }
