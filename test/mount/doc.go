// Package mount tests the file system through the kernel: real mounts of a bucket on the embedded
// server. Without /dev/fuse, or without the right to mount, its tests are skipped.
package mount
