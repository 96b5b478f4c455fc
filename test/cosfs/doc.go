// Package cosfs tests that buckets are shared with COSFS and s3fs: what they wrote shows right here, and what is
// written here shows right there. Objects as they write them are part of the tests; the programs themselves
// take part where they are: COSFS if the variable COSFS names its binary, s3fs if it is installed.
package cosfs
