package crc64ecma

import "testing"

// TestLongLengths combines over lengths that no buffer has: zeros appended in two ways.
func TestLongLengths(t *testing.T) {
	if got, want := xPower8(1<<40), mulMod(xPower8(1<<39), xPower8(1<<39)); got != want {
		t.Errorf("xPower8 = %x, want %x", got, want)
	}
	if got, want := Combine(Combine(7, 0, 1<<33), 0, 1<<33), Combine(7, 0, 1<<34); got != want {
		t.Errorf("combined in two steps %x, in one %x", got, want)
	}
}
