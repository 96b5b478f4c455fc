// Package gates holds what operations cost: unmodified programs work on a real mount of the embedded
// server, and the requests and bytes that they cause must stay within a budget. Nothing here depends on
// how long something takes.
//
// Without /dev/fuse, or without the right to mount, its tests are skipped.
package gates
