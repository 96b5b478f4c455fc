// Package crc64ecma computes the checksum that the service states in x-cos-hash-crc64ecma: CRC-64/XZ, the
// reflected ECMA-182 polynomial with all bits set before and inverted after. The client and the embedded
// server share it; the values of the service's own documentation, and the official SDK, pin it.
package crc64ecma
