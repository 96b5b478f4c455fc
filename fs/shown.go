package fs

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Shown is what stat(2) tells in place of what objects carry; nil replaces nothing. Objects keep, and go on to
// be given, modes and owners of their own, for whoever mounts them without it. The kernel checks access by what
// is shown.
type Shown struct {
	UID, GID *uint32 // owner and group of everything
	Perm     *uint32 // permission bits of everything
	RootPerm *uint32 // permission bits of the top directory; wins over Perm
}

// apply changes what is told of an object; root says that it is the top directory.
func (s *Shown) apply(out *fuse.Attr, root bool) {
	perm := s.Perm
	if root && s.RootPerm != nil {
		perm = s.RootPerm
	}
	if perm != nil {
		out.Mode = out.Mode&typeMask | *perm
	}
	if s.UID != nil {
		out.Uid = *s.UID
	}
	if s.GID != nil {
		out.Gid = *s.GID
	}
}

// mountFlags are the words of mount(8) that the kernel takes as flags of a mount, each with its opposite. Those
// without a bit are understood as words by what is below.
var mountFlags = []struct {
	on, off string
	bit     uintptr
}{
	{"nosuid", "suid", syscall.MS_NOSUID},
	{"nodev", "dev", syscall.MS_NODEV},
	{"noexec", "exec", syscall.MS_NOEXEC},
	{"noatime", "atime", syscall.MS_NOATIME},
	{"nodiratime", "diratime", syscall.MS_NODIRATIME},
	{"sync", "async", syscall.MS_SYNCHRONOUS},
	{"dirsync", "", syscall.MS_DIRSYNC},
}

// IsMountFlag reports whether Options.MountFlags may have word.
func IsMountFlag(word string) bool {
	for _, f := range mountFlags {
		if word != "" && (word == f.on || word == f.off) {
			return true
		}
	}
	return false
}

var errMountFlag = errors.New("not a flag of a mount")

// flagBits returns the bits that words, the last of two opposites, ask for. Nothing said is nosuid and nodev.
func flagBits(words []string) (uintptr, error) {
	bits := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV)
	for _, w := range words {
		if !IsMountFlag(w) {
			return 0, fmt.Errorf("%w: %q", errMountFlag, w)
		}
		for _, f := range mountFlags {
			switch w {
			case f.on:
				bits |= f.bit
			case f.off:
				bits &^= f.bit
			}
		}
	}
	return bits, nil
}

// flagWords are those of bits that fusermount3 is to be told: it begins with nosuid and nodev, and refuses
// their opposites to anyone but root.
func flagWords(bits uintptr) []string {
	var words []string
	for _, f := range mountFlags {
		begins := f.bit&(syscall.MS_NOSUID|syscall.MS_NODEV) != 0
		switch {
		case bits&f.bit != 0 && !begins:
			words = append(words, f.on)
		case bits&f.bit == 0 && begins:
			words = append(words, f.off)
		}
	}
	return words
}
