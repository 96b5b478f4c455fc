// Package treemodel runs operations on mounts and on a tree in memory, and compares the two: every result
// and error number, the tree and its bytes, after the death of a mount what had been acknowledged, and in
// the end the bucket.
//
// An Op is plain data; lists of them are drawn from a seed by a Mix, or written down. A World is a bucket
// on the embedded server and one or two mounts of it, each in a process of its own, so that it can die.
package treemodel
