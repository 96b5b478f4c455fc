// Package journal records, in a crash-safe store, what a mount has acknowledged but COS does not have:
// files with dirty bytes, attribute changes, deletions that wait, directory renames under way, and the
// multipart uploads that must not be left behind.
//
// A Batch is atomic. Commit(Sync) returns when it would survive a power cut; Commit(NoSync) may be lost
// with the process, but never out of order: what a later batch says is there only if all earlier ones
// are. Records are JSON with a version of their own, so that an older daemon refuses what it does not
// understand instead of guessing.
//
// A Journal is safe for concurrent use, and at most one process has it open.
package journal
