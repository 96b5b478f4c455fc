// Package cache keeps what was learnt from the bucket and is still true: bytes of objects (Blocks),
// directory listings (Dirs) and small facts about names, in memory (Table) and on disk (Notes). It is a
// cache, never a store: anything in it may be gone at the next call and is then fetched again.
//
// Blocks serves reads of object versions. An ObjectID names one content, so a block never goes
// stale: a replaced object has another ETag and therefore another ObjectID. A Reader is one open
// file; it recognises sequential streams and reads ahead of them, as far as the latency and the
// bandwidth that it measures make worth while. Prefetch does the same across small files. Behind the
// memory there may be a directory on disk, which outlives the process; what it returns was verified,
// and when it fails the cache goes on without it.
//
// Dirs serves complete listings. Nothing partial is ever kept or returned as complete, so that an
// entry missing from a Listing was missing from the bucket when the listing began.
//
// The package does not know how to reach the bucket: FetchFunc and ListFunc do. They run under the
// lifetime context given to the constructor, not under the context of the caller who happened to
// ask first, because other callers share the result. A caller whose context ends stops waiting; the
// request itself ends when nobody waits for it any more.
//
// All methods of all types are safe for concurrent use. No lock is held while a FetchFunc or
// ListFunc runs, and none of the package's locks is ever held while calling out, so every lock here
// is a leaf for the caller. Close returns after the last goroutine has ended.
package cache
