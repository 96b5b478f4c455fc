// Package cosserver is a COS-compatible object server that can be embedded in a program or a test.
//
// A Server keeps buckets in a local directory: bytes in files, an ordered crash-safe index beside
// them. What it acknowledged is on disk, multipart uploads under way included, unless
// Options.NoSync says otherwise. Server-side encryption is only acted out: bytes are stored as they
// came.
//
// It speaks the COS XML API over HTTP: put, append, get, head, copy, delete, multipart uploads,
// listings, versions, ACLs, tags, restore and the bucket calls; signatures in headers and in
// presigned URLs; the service's limits, header spelling and error documents. Where the service's
// documents leave something open, Switches choose, and their zero value is the strict reading.
//
// For tests it can be made to misbehave. A Rule names requests by what they mean, the operation, key,
// part, position and attempt, never by how many came before, and says what goes wrong with them and
// when. A Shape adds latency and limits bandwidth. Stats count requests and bytes per operation, and
// Log tells what happened in which order and what overlapped. AdminHandler offers the same over HTTP.
//
// All methods are safe for concurrent use. A Server starts no goroutine of its own; each Listener has
// one, and its Close waits for it.
package cosserver
