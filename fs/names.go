package fs

import (
	"strings"
	"syscall"
	"unicode/utf8"

	"cosfuse/cos"
)

// aliasSuffix ends the names by which a path reaches what it otherwise could not: the object "a" of
// a bucket that has a directory "a/" too.
//
// A component of a key that does not end in the suffix is its own name. To keep the mapping
// reversible, suffixes that a component really has are doubled in its name, and one more of them
// means "the object, not the directory". So the number of suffixes at the end of a name tells
// everything: even, half of them belong to the key; odd, an object that a directory hides.
const aliasSuffix = ".~object"

// maxNameBytes is NAME_MAX.
const maxNameBytes = 255

// component is one component of a key as a path names it.
type component struct {
	seg    string // as in the key
	hidden bool   // the object seg, in the shadow of a directory seg
}

// name returns what readdir shows for c. ok is false if it is longer than a name may be.
func (c component) name() (name string, ok bool) {
	base, n := cutSuffixes(c.seg)
	n *= 2
	if c.hidden {
		n++
	}
	name = base + strings.Repeat(aliasSuffix, n)
	return name, len(name) <= maxNameBytes
}

// parseName is the inverse of component.name. It refuses names that no key can carry: the service
// keeps keys as UTF-8, without four of the control characters.
func parseName(name string) (component, syscall.Errno) {
	switch {
	case len(name) > maxNameBytes:
		return component{}, syscall.ENAMETOOLONG
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return component{}, syscall.EINVAL
	case !utf8.ValidString(name), strings.ContainsAny(name, cos.RefusedInKeys):
		return component{}, syscall.EILSEQ
	}
	base, n := cutSuffixes(name)
	c := component{seg: base + strings.Repeat(aliasSuffix, n/2), hidden: n%2 == 1}
	if c.seg == "" || c.seg == "." || c.seg == ".." { // a name of suffixes only
		return component{}, syscall.EINVAL
	}
	return c, 0
}

// KeyOf returns the key that path, names below the mountpoint with slashes between them, has as an object in
// a mount of prefix; "" stands for all that is mounted. alone says that the path means that object only, and
// not the directory of the same name with what is below it. The error is the errno that a name which no key
// can carry has from the mount.
func KeyOf(prefix, path string) (key string, alone bool, err error) {
	if path == "" {
		return prefix, false, nil
	}
	var segs []string
	for name := range strings.SplitSeq(path, "/") {
		c, errno := parseName(name)
		if errno != 0 {
			return "", false, errno
		}
		if alone {
			return "", false, syscall.ENOTDIR // what a directory hides is none
		}
		segs, alone = append(segs, c.seg), c.hidden
	}
	key = prefix + strings.Join(segs, "/")
	if errno := checkKey(key); errno != 0 {
		return "", false, errno
	}
	return key, alone, nil
}

// PathOf is the inverse of KeyOf, but that it takes no object for one in the shadow of a directory. The path
// of a directory ends in "/", as its key does.
func PathOf(prefix, key string) string {
	segs := strings.Split(strings.TrimPrefix(key, prefix), "/")
	for i, seg := range segs {
		segs[i], _ = component{seg: seg}.name()
	}
	return strings.Join(segs, "/")
}

// cutSuffixes takes every alias suffix off the end of s.
func cutSuffixes(s string) (base string, n int) {
	base = s
	for {
		rest, ok := strings.CutSuffix(base, aliasSuffix)
		if !ok || rest == "" {
			return base, n
		}
		base, n = rest, n+1
	}
}

// checkKey refuses keys that are longer than the service takes.
func checkKey(key string) syscall.Errno {
	if len(key) > cos.MaxKeyBytes {
		return syscall.ENAMETOOLONG
	}
	return 0
}

// isDirKey reports whether key names a directory.
func isDirKey(key string) bool { return strings.HasSuffix(key, "/") }

// splitKey cuts key into its directory ("" or ending in "/") and its last component.
func splitKey(key string) (dir, seg string) {
	trimmed := strings.TrimSuffix(key, "/")
	i := strings.LastIndexByte(trimmed, '/')
	return trimmed[:i+1], trimmed[i+1:]
}
