// Package writeback turns random writes into whole objects.
//
// A Store owns everything this mount knows of keys that COS does not show yet: files being written,
// names created, removed or renamed a moment ago, attributes waiting to be sent. Its nouns:
//
//   - File: the write state of one inode. A base (the object version it started from, or absent)
//     overlaid by extents; dirty ones are in staging files. Identity is the inode: the key may
//     change by a rename until the very start of a commit.
//   - Commit: freeze one point in time, plan (put, append, multipart, patch), run, verify, move the
//     base on. A commit never publishes anything but one state the file really had.
//   - Source: an object of another File, bytes of which a File wants the service to copy at its commit. Who
//     changes or deletes an object first sees to those who want copies of it.
//   - Turn: the right to work on keys. Operations on one key never overtake each other, and one
//     that reads a key (copy, patch, rename) is an operation on it.
//   - Local: what Store knows of a name beyond what a listing shows. It is laid over every listing
//     until a listing that began after the change agrees with it.
//
// Invariants: (1) every dirty byte is in a staging file, or in an unfinished upload that is then never
// aborted; what was acknowledged without being in COS is in the journal too (FORMAT.md); (2) a base changes only after the service
// confirmed the commit; (3) a FLUSH with no byte written since create, truncation to zero or the
// last commit commits nothing; (4) a commit derived from a base that somebody else replaced fails
// with ErrConflict and keeps the local bytes.
//
// Options.Failpoint is called between the steps that a crash could separate; failpoint.go names them.
//
// All methods are safe for concurrent use. No lock is held over a network call. Lock order: a turn, then
// File.mu, then Store.mu; the locks of the queues (turns, lazyQueue, removals, late, pacer, budget, copies) are leaves.
// Two Files are never locked at once.
package writeback
