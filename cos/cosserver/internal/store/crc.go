package store

import "hash/crc64"

// crcTable is the reflected ECMA-182 polynomial, the one of x-cos-hash-crc64ecma.
var crcTable = crc64.MakeTable(crc64.ECMA)

// combineCRC returns the checksum of A followed by B from those of A and B and the length of B.
// It multiplies crcA by x^(8*lenB) modulo the polynomial, bit by bit of lenB.
func combineCRC(crcA, crcB uint64, lenB int64) uint64 {
	if lenB <= 0 {
		return crcA
	}
	// In reflected form the highest bit is x^0, so x^8 is 1<<55.
	power := uint64(1) << 55
	for n := uint64(lenB); n > 0; n >>= 1 {
		if n&1 != 0 {
			crcA = multiplyCRC(crcA, power)
		}
		power = multiplyCRC(power, power)
	}
	return crcA ^ crcB
}

// multiplyCRC multiplies two polynomials over GF(2), reflected, modulo the table's polynomial.
func multiplyCRC(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << 63; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ crc64.ECMA
		} else {
			b >>= 1
		}
	}
	return product
}
