// Package model runs random operations on a mount and on a tree in memory, and wants them to agree: on
// every result and error number, on the tree and its bytes, after a kill on what had been acknowledged,
// and in the end on what is in the bucket.
//
// A list of operations that fails is made shorter while it still fails, and printed together with its seed
// and with the command that runs it again. Lists that once failed are kept in known_test.go.
package model
