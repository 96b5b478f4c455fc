package writeback

import "cosfuse/cos"

// The part ladder of new files: part sizes by position, so that offset and part number follow from each
// other while the final size is still unknown. It begins with small parts, for parallelism, and doubles
// every ladderStep parts up to the largest part the service takes.
const (
	ladderFirst = 8 << 20
	ladderStep  = 128
)

// ladderReach is the size that MaxParts parts of the ladder hold: 42 TiB.
var ladderReach = partOff(cos.MaxParts + 1)

// partOff returns where part n (from 1) begins.
func partOff(n int) int64 {
	var off int64
	size, left := int64(ladderFirst), n-1
	for left > 0 {
		k := min(left, ladderStep)
		if size >= cos.MaxPutBytes {
			size, k = cos.MaxPutBytes, left
		}
		off += int64(k) * size
		left -= k
		size *= 2
	}
	return off
}

// partAt returns the number of the part that holds off.
func partAt(off int64) int {
	n := 1
	for size := int64(ladderFirst); ; size *= 2 {
		if size >= cos.MaxPutBytes {
			return n + int(off/cos.MaxPutBytes)
		}
		if off < ladderStep*size {
			return n + int(off/size)
		}
		off -= ladderStep * size
		n += ladderStep
	}
}

// partSize returns the size of part n of a file that goes on behind it.
func partSize(n int) int64 { return partOff(n+1) - partOff(n) }
