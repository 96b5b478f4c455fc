package fs

import (
	"errors"
	"slices"
	"syscall"
	"testing"
)

func TestFlagBits(t *testing.T) {
	const usual = syscall.MS_NOSUID | syscall.MS_NODEV
	tests := []struct {
		words      []string
		bits       uintptr
		fusermount []string
	}{
		{nil, usual, nil},
		{[]string{"nosuid", "nodev"}, usual, nil},
		{[]string{"suid", "dev", "noexec", "sync"}, syscall.MS_NOEXEC | syscall.MS_SYNCHRONOUS, []string{"suid", "dev", "noexec", "sync"}},
		{[]string{"noexec", "exec", "noatime"}, usual | syscall.MS_NOATIME, []string{"noatime"}},
	}
	for _, tt := range tests {
		bits, err := flagBits(tt.words)
		if err != nil || bits != tt.bits {
			t.Errorf("%v: %#x, %v, want %#x", tt.words, bits, err, tt.bits)
		}
		if got := flagWords(bits); !slices.Equal(got, tt.fusermount) {
			t.Errorf("%v: words for fusermount3 %v, want %v", tt.words, got, tt.fusermount)
		}
	}
	for _, w := range []string{"", "nonsense", "ro"} {
		if _, err := flagBits([]string{w}); !errors.Is(err, errMountFlag) {
			t.Errorf("%q: %v, want an error", w, err)
		}
	}
}
