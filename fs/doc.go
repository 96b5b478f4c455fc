// Package fs shows a bucket as a tree of files through FUSE. It alone speaks to the kernel.
//
// Its nouns:
//
//   - node: one inode the kernel knows. Identity is the node; the key it stands for can change by a
//     rename and is resolved under tree.mu, at the moment of use.
//   - tree: which node has which name in which directory. Only nodes the kernel knows are in it.
//   - object: what a name turned out to be, and as of when. Knowledge comes from four sources, in
//     this order: the Store (what this mount made or changed), a listing of the directory, single
//     answers of the service (facts), and at last the service itself.
//   - handle, dirHandle: one open of a file or of a directory.
//   - scan, habit: in which order the entries of a directory are asked for, and what is done to them, which
//     decides what is asked for before anybody wants it.
//
// Identity rules. Inode numbers are never derived from keys and never used twice. An object that
// somebody else replaces by one of another type gets a new node; one replaced by another version
// keeps its node if nobody has it open. An unlinked or replaced node has no key any more; its open
// handles go on through the File they hold.
//
// Absence. A name is called absent only if the service said so for this very name, or if a complete
// listing younger than the negative TTL does not show it. Every other failure is an error.
//
// Lock order: node.mu -> tree.mu -> writeback.File.mu -> writeback.Store.mu; locks of package cache,
// of facts and of Changes are leaves. None is held while waiting for the network. A rename or removal
// claims its names instead: who needs the key of a claimed node waits for the claim to end.
// Notifications to the kernel are sent by one goroutine that holds no lock, and by Refresh, never from a handler:
// the kernel waits for the page or directory that the very request may have locked.
//
// SEMANTICS.md says what a user may rely on, operation by operation.
package fs
