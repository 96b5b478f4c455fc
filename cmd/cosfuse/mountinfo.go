package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// mountEntry is one line of the kernel's table of mounts.
type mountEntry struct {
	device     string // major:minor
	mountpoint string
	fstype     string // "fuse.NAME" for a FUSE file system
	source     string
	uid        int // who mounted it; -1 if the file system does not tell
}

// fuse is true of file systems that a process serves.
func (e mountEntry) fuse() bool { return e.fstype == "fuse" || strings.HasPrefix(e.fstype, "fuse.") }

// ours is true of what this command mounts.
func (e mountEntry) ours() bool { return e.fstype == "fuse."+fsType }

// findMount returns the topmost mount whose mountpoint is exactly path; ok is false if there is none.
func (c *cli) findMount(path string) (top mountEntry, ok bool, err error) {
	f, err := os.Open(c.mountinfo)
	if err != nil {
		return mountEntry{}, false, machineError("is /proc mounted?", "table of mounts: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e, err := parseMount(lines.Text())
		if err != nil {
			return mountEntry{}, false, err
		}
		if e.mountpoint == path {
			top, ok = e, true // a later line is mounted above an earlier one
		}
	}
	return top, ok, lines.Err()
}

// parseMount reads a line: "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTS [TAG...] - TYPE SOURCE SUPEROPTS".
func parseMount(line string) (mountEntry, error) {
	front, back, ok := strings.Cut(line, " - ")
	head, tail := strings.Fields(front), strings.Fields(back)
	if !ok || len(head) < 6 || len(tail) < 1 {
		return mountEntry{}, fmt.Errorf("table of mounts: cannot read %q", line)
	}
	e := mountEntry{device: head[2], mountpoint: unescape(head[4]), fstype: tail[0], uid: -1}
	if len(tail) > 1 {
		e.source = unescape(tail[1])
	}
	for opt := range strings.SplitSeq(tail[len(tail)-1], ",") {
		if v, ok := strings.CutPrefix(opt, "user_id="); ok {
			if uid, err := strconv.Atoi(v); err == nil {
				e.uid = uid
			}
		}
	}
	return e, nil
}

// unescape undoes the kernel's \040 for a blank and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// maxLinks bounds how many symbolic links realPath follows, as the kernel does.
const maxLinks = 40

// realPath resolves the symbolic links in path without asking anything of what it leads to, which may
// be a mountpoint whose daemon is gone or hangs.
func realPath(path string) (string, error) {
	for range maxLinks {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(abs))
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing yet: the caller finds out
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", &os.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
}
