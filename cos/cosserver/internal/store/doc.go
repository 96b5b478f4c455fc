// Package store keeps the objects of an embedded COS server in a local directory.
//
// A Store has an index, a Pebble database under index/, and data files under data/, sharded by the
// first byte of their random names. The index maps every key to its Object record: size, ETag,
// checksum, attributes, and the extents that hold its bytes. An extent is a range of a data file, or
// of a value inside the index when the body was at most 16 KiB, so that a small put costs one
// synced write and no file.
//
// Promises:
//
//   - An operation is one index batch, so it happened or it did not. Bytes are written and synced
//     (file, then directory) before the batch that names them is committed, and the batch is synced
//     before the method returns. A crash leaves at most data files nobody names; Open removes them.
//     With Options.NoSync nothing is synced: a crash of the process keeps the data, one of the
//     machine may not.
//   - Bytes once indexed never change. Appending writes beyond the indexed length of the object's
//     last file, and the batch that follows moves the length; what a crash leaves behind the length
//     is overwritten by the next append.
//   - Copies share bytes. Each (file, record) pair is a reference key in the index; a file goes when
//     its last reference went and nobody reads it any more.
//   - Writers of one key take turns on a lock that is only ever held for local work; bodies are
//     received before it is taken, so the last to finish wins.
//
// A Store is safe for concurrent use. One process at a time may have a directory open.
package store
