package fs

import (
	"context"
	"errors"
	"log/slog"
	"syscall"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// errnoTable is the one place where errors become numbers. The first row that matches counts, so
// what is more particular comes first. No row: EIO.
var errnoTable = []struct {
	target error
	errno  syscall.Errno
}{
	{writeback.ErrConflict, syscall.ESTALE},
	{writeback.ErrStale, syscall.ESTALE},
	{writeback.ErrStagingFull, syscall.ENOSPC},
	{writeback.ErrMetaTooLarge, syscall.ENOSPC},
	{writeback.ErrProperty, syscall.EINVAL},
	{writeback.ErrPropertyReadOnly, syscall.EPERM},
	{writeback.ErrPropertyTooLong, syscall.E2BIG},
	{writeback.ErrPoisoned, syscall.EIO},
	{writeback.ErrTooLarge, syscall.EFBIG},
	{writeback.ErrExists, syscall.EEXIST},
	{writeback.ErrRelayLimit, syscall.EOPNOTSUPP},
	{writeback.ErrCopyBytes, syscall.EXDEV}, // then the kernel copies
	{writeback.ErrClosed, syscall.EIO},
	{writeback.ErrNoSuchFile, syscall.ENOENT}, // this one and the next three: for recover, never a mount's
	{writeback.ErrInUse, syscall.EBUSY},
	{writeback.ErrIncomplete, syscall.EIO},
	{writeback.ErrNoService, syscall.EIO},
	{writeback.ErrLocked, syscall.EIO}, // these three end the start of a mount and reach no caller
	{writeback.ErrForeign, syscall.EIO},
	{writeback.ErrFormat, syscall.EIO},

	{context.Canceled, syscall.EINTR}, // the caller was interrupted; flush and fsync never are
	{context.DeadlineExceeded, syscall.ETIMEDOUT},

	{cos.ErrNotFound, syscall.ENOENT},
	{cos.ErrNoSuchBucket, syscall.EIO}, // not ENOENT: nothing was said about the name
	{cos.ErrPrecondition, syscall.ESTALE},
	{cos.ErrNotModified, syscall.EIO},
	{cos.ErrAccessDenied, syscall.EACCES},
	{cos.ErrBadCredentials, syscall.EACCES},
	{cos.ErrNoCredentials, syscall.EACCES},
	{cos.ErrClockSkew, syscall.EACCES},
	{cos.ErrExists, syscall.EEXIST},
	{cos.ErrAppendPosition, syscall.ESTALE},
	{cos.ErrNotAppendable, syscall.ESTALE},
	{cos.ErrInvalidState, syscall.EOPNOTSUPP},
	{cos.ErrInvalidRange, syscall.ESTALE}, // only a shrunken object cannot give the range
	{cos.ErrTooLarge, syscall.EFBIG},
	{cos.ErrKeyInvalid, syscall.EINVAL},
	{cos.ErrInvalidArgument, syscall.EINVAL},
	{cos.ErrInvalidPart, syscall.EIO},
	{cos.ErrSourceChanged, syscall.EIO}, // our own staging file, which nobody else may touch
	{cos.ErrThrottled, syscall.EBUSY},
	{cos.ErrStalled, syscall.ETIMEDOUT},
	{cos.ErrServer, syscall.EIO},
	{cos.ErrBadResponse, syscall.EIO},
	{cos.ErrChecksum, syscall.EIO},
	{cos.ErrUnknownOutcome, syscall.EIO},
	{cos.ErrTransport, syscall.EIO},
	{cos.ErrUnsupported, syscall.EOPNOTSUPP},
	{cos.ErrNoSpace, syscall.EDQUOT},
	{cos.ErrConflict, syscall.EBUSY},

	{cache.ErrBadListing, syscall.EIO},
	{cache.ErrBodyLength, syscall.EIO},
	{cache.ErrLongListing, syscall.EIO},
	{cache.ErrChecksum, syscall.EIO},
	{cache.ErrDiskFormat, syscall.EIO},
	{cache.ErrDiskLocked, syscall.EIO},
	{cache.ErrClosed, syscall.EIO},
}

// toErrno is the number for err; nil is 0. A number inside err is used as it is.
func toErrno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != 0 && !errors.As(err, new(*cos.Error)) {
		return errno
	}
	for _, row := range errnoTable {
		if errors.Is(err, row.target) {
			return row.errno
		}
	}
	return syscall.EIO
}

// fail turns the error of an operation into what the kernel is told, and logs what the number
// hides. Answers that are everyday facts, absence and interruption, are not worth a line.
func (m *Mount) fail(op, key string, err error) syscall.Errno {
	errno := toErrno(err)
	switch {
	case err == nil:
		return 0
	case errno == syscall.ENOENT, errno == syscall.EINTR, errno == syscall.EEXIST, isErrno(err):
		return errno
	}
	level := slog.LevelWarn
	if errno == syscall.EIO {
		level = slog.LevelError
	}
	m.log.LogAttrs(m.ctx, level, "operation failed",
		slog.String("op", op), slog.String("key", key), slog.Any("err", err))
	return errno
}

// isErrno reports whether err is nothing but a number.
func isErrno(err error) bool {
	_, ok := err.(syscall.Errno)
	return ok
}
