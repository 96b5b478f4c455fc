// Package posix holds a mount to what POSIX says of each system call, in tables, and to a model of a file
// under random operations, on every path that bytes can take. fio and stress-ng, if they are there, do the
// same in their ways.
package posix
