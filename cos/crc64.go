package cos

import "cosfuse/cos/internal/crc64ecma"

// CRC64 is the checksum of p as x-cos-hash-crc64ecma states it; that of no bytes is 0.
func CRC64(p []byte) uint64 { return crc64ecma.Update(0, p) }

// CRC64Update is the checksum of what crc covers followed by p.
func CRC64Update(crc uint64, p []byte) uint64 { return crc64ecma.Update(crc, p) }

// CRC64Combine is the checksum of two adjoining pieces from their checksums a and b and the length
// of the second in bytes. It takes a time that grows with the logarithm of the length.
func CRC64Combine(a, b uint64, lenB int64) uint64 { return crc64ecma.Combine(a, b, lenB) }
