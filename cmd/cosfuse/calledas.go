package main

import (
	"path/filepath"
	"slices"
	"strings"
)

// invocation is what the arguments of a process come to.
type invocation struct {
	args   []string // those of cosfuse
	helper bool     // mount(8) or umount(8) started it
}

// Exit codes that mount(8) and umount(8) pass on.
const (
	mountUsage  = 1
	mountFailed = 32
)

// status turns an exit code of ours into the one that the caller expects.
func (i invocation) status(code int) int {
	switch {
	case !i.helper || code == exitOK:
		return code
	case code == exitUsage:
		return mountUsage
	}
	return mountFailed
}

// calledAs reads the name that the program was called by, args[0]: as a helper of mount(8) or umount(8), or as
// cosfs, it takes the arguments that those take. COSFS's arguments may also follow "cosfuse mount", or "cosfuse"
// alone: that is how mount.fuse(8) starts the file system of a type "fuse.cosfuse".
func calledAs(args []string) (invocation, error) {
	name := filepath.Base(args[0])
	switch {
	case strings.HasPrefix(name, "umount."):
		args, err := umountHelperArgs(args[1:])
		return invocation{args: args, helper: true}, err
	case strings.HasPrefix(name, "mount."):
		args, err := mountHelperArgs(args[1:], strings.HasSuffix(name, "."+cosfsName))
		return invocation{args: args, helper: true}, err
	case name == cosfsName:
		args, err := cosfsArgs(args[1:])
		return invocation{args: args}, err
	}
	args = args[1:]
	if len(args) > 1 && namesBucket(args[0]) {
		args = slices.Concat([]string{"mount"}, args)
	}
	if len(args) > 0 && args[0] == "mount" {
		args = slices.Concat(args[:1], bareSwitches(args[1:]))
	}
	return invocation{args: args}, nil
}

// cosfsName is the name of the program whose arguments we take, too.
const cosfsName = "cosfs"

// namesBucket is true of BUCKET-APPID[:/PREFIX], which no command looks like.
func namesBucket(arg string) bool {
	bucket, _, _ := strings.Cut(arg, ":")
	return bucketName.MatchString(bucket)
}

// cosfsArgs are those of a command line of COSFS.
func cosfsArgs(args []string) ([]string, error) {
	switch {
	case slices.Contains(args, "--version"):
		return []string{"version"}, nil
	case slices.Contains(args, "-u"):
		return nil, usageError("leave out -u: each mount aborts what uploads of its own nobody needs any more",
			"-u, which removes unfinished uploads, is not here")
	}
	return slices.Concat([]string{"mount", "-o", cosfsName}, bareSwitches(args)), nil
}

// bareSwitches replaces the switches of COSFS and libfuse that are none of ours by words for -o.
func bareSwitches(args []string) []string {
	words := map[string]string{"-d": "debug", "--debug": "debug", "-s": "single_thread"}
	var out []string
	value := false // the argument belongs to the one before
	for i, a := range args {
		word, ok := words[a]
		switch {
		case a == "--" && !value:
			return append(out, args[i:]...)
		case ok && !value:
			out = append(out, "-o", word)
			continue
		}
		value = a == "-o" && !value
		out = append(out, a)
	}
	return out
}

// helperArgs are what mount(8) and umount(8) tell their helpers.
type helperArgs struct {
	operands []string
	options  []string // lists
	switches map[rune]bool
}

// readHelper reads arguments in which the switches in flags take nothing, -o, -t and -N a value.
func readHelper(args []string, flags string) (helperArgs, error) {
	h := helperArgs{switches: map[rune]bool{}}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		if len(a) < 2 || a[0] != '-' {
			h.operands = append(h.operands, a)
			continue
		}
		if a == "--" {
			h.operands = append(h.operands, args...)
			break
		}
		for at, r := range a[1:] {
			if strings.ContainsRune(flags, r) {
				h.switches[r] = true
				continue
			}
			if !strings.ContainsRune("otN", r) {
				return h, usageError("mount(8) starts this program by itself", "unknown switch -%c", r)
			}
			value := a[1+at+1:]
			if value == "" {
				if len(args) == 0 {
					return h, usageError("mount(8) starts this program by itself", "switch -%c needs a value", r)
				}
				value, args = args[0], args[1:]
			}
			switch r {
			case 'o':
				h.options = append(h.options, value)
			case 'N':
				return h, usageError("run it in that namespace: nsenter --mount="+value+" mount ...", "-N is not known to cosfuse")
			}
			break
		}
	}
	return h, nil
}

// mountHelperArgs are those of mount(8)'s helper: SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE].
func mountHelperArgs(args []string, asCOSFS bool) ([]string, error) {
	h, err := readHelper(args, "sfnv")
	if err != nil {
		return nil, err
	}
	if len(h.operands) != 2 {
		return nil, usageError("mount(8) starts this program by itself: mount -t cosfuse BUCKET-APPID:/PREFIX DIR -o OPTIONS",
			"want a source and a directory, have %d arguments", len(h.operands))
	}
	words := []string{"fsname=" + escapeWord(h.operands[0])}
	for r, word := range map[rune]string{'s': "sloppy", 'f': "fake"} {
		if h.switches[r] {
			words = append(words, word)
		}
	}
	if asCOSFS {
		words = append(words, cosfsName)
	}
	out := []string{"mount", "-o", strings.Join(words, ",")}
	for _, list := range h.options {
		out = append(out, "-o", list)
	}
	return append(out, "--", h.operands[0], h.operands[1]), nil
}

// umountHelperArgs are those of umount(8)'s helper: DIR [-flnrv] [-t TYPE]. To force is left out: it would end
// the daemon's connection and with it what is written and not committed.
func umountHelperArgs(args []string) ([]string, error) {
	h, err := readHelper(args, "flnrv")
	if err != nil {
		return nil, err
	}
	if len(h.operands) != 1 {
		return nil, usageError("umount(8) starts this program by itself: umount DIR", "want a directory, have %d arguments", len(h.operands))
	}
	out := []string{"umount"}
	if h.switches['l'] {
		out = append(out, "--lazy", "--no-wait")
	}
	return append(out, "--", h.operands[0]), nil
}
