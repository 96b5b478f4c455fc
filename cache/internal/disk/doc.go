// Package disk keeps blocks of object versions in a directory, behind those in memory. It is a
// cache: a block may be gone at any time, and one that does not prove to be what was asked for is
// never returned.
//
// # Layout
//
// Blocks are packed into segments, files that are only appended to, of 1/256 of the cache each. A
// record in a segment is a header with the key, ETag, size, block size, index and length it stands
// for and checksums of itself and of the body, then key, ETag and body. A full segment ends with an
// index of its records.
//
// One file per block was rejected: a million blocks are a million inodes to create, to delete, and to
// visit at every start. One sparse file per object serves large objects, but a tree of small ones
// is again a file each, holes come in pages of the filesystem so that compression gains little, and
// to learn what is there takes a system call per extent. Segments make every write sequential, cost
// a small object only its bytes, need nothing special of the filesystem, and start by reading one
// index of 32 bytes per block from each of about 256 files: 0.6 s for a million blocks in the page
// cache.
//
// What is where is known from memory alone, at 90 to 120 bytes per block: the index holds hashes and
// places. Names are on disk, where each read compares them, so that equal hashes cost a miss.
//
// # Eviction
//
// The oldest segment goes first, as a whole. Those of its blocks that were read since they were
// written move to the newest segment, up to half of the bytes: a clock with one hand whose marks are
// in memory, so that a read writes nothing. Space of blocks that were dropped or replaced returns
// with their segment.
//
// # Crashes
//
// Nothing is synced. A segment without a valid index, as a crash leaves it, is read record by record
// up to the first that is not whole; bodies are checked when they are read. A dropped block is
// marked in place, so that it does not come back with such a segment.
//
// All methods are safe for concurrent use. One goroutine writes; the only lock guards memory and is
// never held over I/O. The first I/O error turns the cache off with one message of level Error: from
// then on everything is a miss.
package disk
