package writeback

import "errors"

// Errors of this package. Those of the service pass through, wrapped.
var (
	ErrConflict     = errors.New("another writer replaced the object")   // the local bytes are kept
	ErrStale        = errors.New("the version being read is gone")       // replaced or deleted under a reader
	ErrStagingFull  = errors.New("staging space is full")                // at write, never at close
	ErrPoisoned     = errors.New("an earlier write of this file failed") // until truncation to zero or reopen
	ErrMetaTooLarge = errors.New("attributes exceed the metadata limit") // COS keeps 2 KB an object
	ErrTooLarge     = errors.New("file too large for the service")       // 10,000 parts of 5 GiB
	ErrExists       = errors.New("created by another writer meanwhile")  // the loser of an exclusive create
	ErrRelayLimit   = errors.New("object cannot be copied by the service and is too large to relay")
	ErrClosed       = errors.New("store is closed")
)
