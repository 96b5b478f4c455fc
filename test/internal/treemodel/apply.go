package treemodel

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"
)

// open is one open file of the model.
type openFile struct {
	n     *inode
	flags int
}

func (f *openFile) reads() bool  { return f.flags&syscall.O_ACCMODE != syscall.O_WRONLY }
func (f *openFile) writes() bool { return f.flags&syscall.O_ACCMODE != syscall.O_RDONLY }

// machine is the model: a tree and what is open.
type machine struct {
	*tree
	fds [slots]*openFile
}

func newMachine() *machine { return &machine{tree: newTree()} }

// clone copies the machine.
func (m *machine) clone() *machine {
	copied := map[*inode]*inode{}
	c := &machine{tree: m.tree.clone(copied)}
	for i, f := range m.fds {
		if f != nil {
			c.fds[i] = &openFile{n: f.n.clone(copied), flags: f.flags}
		}
	}
	return c
}

// isOpen reports whether a slot has n open.
func (m *machine) isOpen(n *inode) bool {
	return slices.ContainsFunc(m.fds[:], func(f *openFile) bool { return f != nil && f.n == n })
}

// run is what the operation must answer, and changes the tree.
//
// Long: one flat switch over the operations.
func (m *machine) run(o Op) (r result) {
	switch o.Op {
	case "open":
		if m.fds[o.Slot] == nil {
			var n *inode
			if n, r.errno = m.open(o.Path, o.Flags, o.Mode); r.errno == 0 {
				m.fds[o.Slot] = &openFile{n: n, flags: o.Flags}
			}
		}
	case "write":
		if f := m.fds[o.Slot]; f != nil {
			r.errno = f.write(content(o.Seed, o.Len), o.Off)
		}
	case "read":
		if f := m.fds[o.Slot]; f != nil && !f.reads() {
			r.errno = syscall.EBADF
		} else if f != nil && f.n.kind == directory {
			r.errno = syscall.EISDIR
		} else if f != nil && o.Off < int64(len(f.n.data)) {
			r.data = f.n.data[o.Off:min(o.Off+o.Len, int64(len(f.n.data)))]
		}
	case "ftruncate":
		if f := m.fds[o.Slot]; f != nil && !f.writes() {
			r.errno = syscall.EINVAL
		} else if f != nil {
			f.n.truncate(o.Len)
		}
	case "fsync":
		if f := m.fds[o.Slot]; f != nil && !f.n.nameless {
			f.n.ack()
		}
	case "close":
		if f := m.fds[o.Slot]; f != nil {
			m.fds[o.Slot] = nil
			if f.writes() { // a descriptor that cannot write sends nothing
				f.n.close()
			}
		}
	case "put":
		r.errno = m.writeFile(o.Path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, o.Mode, content(o.Seed, o.Len), 0)
	case "append":
		r.errno = m.writeFile(o.Path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_APPEND, o.Mode, content(o.Seed, o.Len), 0)
	case "patch":
		r.errno = m.writeFile(o.Path, syscall.O_RDWR, 0, content(o.Seed, o.Len), o.Off)
	case "copy":
		r.errno = m.copyFile(o.Path, o.To, o.Mode)
	case "splice":
		if f := m.fds[o.Slot]; f != nil {
			r.errno = m.splice(o.Path, f, o.Off, o.Len)
		}
	case "get":
		var n *inode
		if n, r.errno = m.open(o.Path, syscall.O_RDONLY, 0); r.errno == 0 {
			r.data = n.data
			if n.kind == directory {
				r.errno = syscall.EISDIR
			}
		}
	case "truncate":
		var n *inode
		if n, r.errno = m.truncate(o.Path, o.Len); r.errno == 0 && !m.isOpen(n) {
			n.ack()
		}
	case "unlink":
		r.errno = m.unlink(o.Path)
	case "mkdir":
		r.errno = m.mkdir(o.Path, o.Mode)
	case "rmdir":
		r.errno = m.rmdir(o.Path)
	case "rename":
		r.errno = m.rename(o.Path, o.To)
	case "symlink":
		r.errno = m.symlink(o.To, o.Path)
	case "readlink":
		var n *inode
		_, _, n, r.errno = m.walk(o.Path)
		switch {
		case r.errno != 0:
		case n == nil:
			r.errno = syscall.ENOENT
		case n.kind != link:
			r.errno = syscall.EINVAL
		default:
			r.data = []byte(n.target)
		}
	case "chmod":
		var n *inode
		if n, r.errno = m.follow(o.Path); r.errno == 0 {
			n.mode = o.Mode
		}
	case "utimes":
		var n *inode
		if n, r.errno = m.follow(o.Path); r.errno == 0 {
			n.mtime, n.timed, n.dated = time.Unix(o.Off, o.Off%1e9), n.kind == file, false
		}
	case "stat":
		r = m.stat(o.Path)
	case "readdir":
		var n *inode
		if n, r.errno = m.follow(o.Path); r.errno == 0 && n.kind != directory {
			r.errno = syscall.ENOTDIR
		} else if r.errno == 0 {
			r.data = []byte(strings.Join(slices.Sorted(maps.Keys(n.kids)), " "))
		}
	default:
		r.errno = syscall.ENOSYS
	}
	return r
}

// open is open(2), in the order in which the kernel looks.
func (m *machine) open(p string, flags int, mode uint32) (*inode, syscall.Errno) {
	parent, name, n, errno := m.walk(p)
	create, excl := flags&syscall.O_CREAT != 0, flags&syscall.O_EXCL != 0
	switch {
	case errno != 0:
		return nil, errno
	case n == nil && !create:
		return nil, syscall.ENOENT
	case n == nil:
		n = parent.create(name, &inode{mode: mode})
		for _, f := range m.fds { // a new object at the name of an unlinked file that is still read
			if f != nil && f.n.nameless {
				f.n.stale = true
			}
		}
		return n, 0
	case create && excl:
		return nil, syscall.EEXIST
	case n.kind == link:
		return nil, syscall.ENOENT
	case n.kind == directory && (create || flags&syscall.O_ACCMODE != syscall.O_RDONLY):
		return nil, syscall.EISDIR
	}
	if flags&syscall.O_TRUNC != 0 {
		n.truncate(0)
	}
	return n, 0
}

func (f *openFile) write(p []byte, off int64) syscall.Errno {
	switch {
	case !f.writes():
		return syscall.EBADF
	case len(p) == 0:
		return 0
	case f.flags&syscall.O_APPEND != 0:
		off = int64(len(f.n.data))
	}
	f.n.writeAt(p, off)
	return 0
}

// close acknowledges what was written. A file that is only empty is committed a moment after close
// returned: that acknowledges nothing.
func (n *inode) close() {
	if n.wrote && !n.nameless {
		n.ack()
	}
}

func (m *machine) writeFile(p string, flags int, mode uint32, data []byte, off int64) syscall.Errno {
	n, errno := m.open(p, flags, mode)
	if errno != 0 {
		return errno
	}
	f := &openFile{n: n, flags: flags}
	errno = f.write(data, off)
	n.close()
	return errno
}

// copyFile is what cp does.
func (m *machine) copyFile(from, to string, mode uint32) syscall.Errno {
	src, errno := m.open(from, syscall.O_RDONLY, 0)
	switch {
	case errno != 0:
		return errno
	case src.kind == directory:
		return syscall.EISDIR
	}
	dst, errno := m.open(to, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, mode)
	if errno != 0 {
		return errno
	}
	if len(src.data) > 0 {
		dst.writeAt(src.data, 0)
	}
	dst.close()
	return 0
}

// splice is copy_file_range(2) of the same range of another file, in the order in which the kernel looks.
func (m *machine) splice(from string, f *openFile, off, n int64) syscall.Errno {
	src, errno := m.open(from, syscall.O_RDONLY, 0)
	if errno != 0 {
		return errno
	}
	n = max(0, min(n, int64(len(src.data))-off))
	switch {
	case src.kind == directory || f.n.kind == directory:
		return syscall.EISDIR
	case !f.writes() || f.flags&syscall.O_APPEND != 0:
		return syscall.EBADF
	case src == f.n && n > 0:
		return syscall.EINVAL
	case n > 0:
		f.n.writeAt(src.data[off:off+n], off)
	}
	return 0
}

func (m *machine) stat(p string) result {
	_, _, n, errno := m.walk(p)
	switch {
	case errno != 0:
		return result{errno: errno}
	case n == nil:
		return result{errno: syscall.ENOENT}
	}
	switch n.kind {
	case directory:
		return result{mode: syscall.S_IFDIR | n.mode}
	case link:
		return result{mode: syscall.S_IFLNK}
	}
	return result{mode: syscall.S_IFREG | n.mode, size: int64(len(n.data))}
}
