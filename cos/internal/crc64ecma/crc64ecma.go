package crc64ecma

import "hash/crc64"

var table = crc64.MakeTable(crc64.ECMA)

// Update is the checksum of what crc covers followed by p. That of no bytes is 0.
func Update(crc uint64, p []byte) uint64 { return crc64.Update(crc, table, p) }

// Combine is the checksum of two adjoining pieces from their checksums a and b and the length of the
// second in bytes. It takes a time that grows with the logarithm of the length.
func Combine(a, b uint64, lenB int64) uint64 {
	if lenB <= 0 {
		return a
	}
	return mulMod(xPower8(lenB), a) ^ b
}

// Polynomials over GF(2) are reflected: the top bit is the coefficient of x^0.
const (
	polyOne = 1 << 63
	polyX8  = 1 << 55
)

// xPower8 is x^(8n) modulo the checksum's polynomial: what appending n zero bytes multiplies by.
func xPower8(n int64) uint64 {
	r, square := uint64(polyOne), uint64(polyX8)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			r = mulMod(r, square)
		}
		square = mulMod(square, square)
	}
	return r
}

// mulMod multiplies two polynomials modulo the checksum's.
func mulMod(a, b uint64) uint64 {
	var p uint64
	for ; a != 0; a <<= 1 {
		if a&polyOne != 0 {
			p ^= b
		}
		low := b & 1
		b = b>>1 ^ crc64.ECMA&-low
	}
	return p
}
