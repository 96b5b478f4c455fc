package treemodel

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// result is what an operation answers.
type result struct {
	errno syscall.Errno
	data  []byte // read bytes, a link's target, or names in order
	size  int64  // of stat
	mode  uint32 // of stat

	stored bool // the error came after bytes were taken in: they must not be lost
}

// String describes the result.
func (r result) String() string {
	if r.errno != 0 {
		return fmt.Sprintf("errno %d (%v)", r.errno, r.errno)
	}
	return fmt.Sprintf("ok, %s, size %d, mode %04o", brief(r.data), r.size, r.mode)
}

func (r result) equal(o result) bool {
	return r.errno == o.errno && bytes.Equal(r.data, o.data) && r.size == o.size && r.mode == o.mode
}

// errnoOf takes the number out of an error of package os or syscall.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return errno
	}
	return syscall.EIO
}

// disk runs operations on a directory: of a mount, or of any other file system.
type disk struct {
	dir string
	fds [slots]int // -1 = not open
}

func newDisk(dir string) *disk {
	d := &disk{dir: dir}
	for i := range d.fds {
		d.fds[i] = -1
	}
	return d
}

func (d *disk) path(p string) string { return filepath.Join(d.dir, p) }

// retry repeats what a signal interrupted; the runtime sends itself many.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// open is open(2).
func (d *disk) open(p string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = syscall.Open(d.path(p), flags|syscall.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// run carries out one operation.
//
// Long: one flat switch over the operations.
func (d *disk) run(o Op) (r result) {
	var err error
	switch o.Op {
	case "open":
		if d.fds[o.Slot] >= 0 {
			return r
		}
		fd, err := d.open(o.Path, o.Flags, o.Mode)
		if err != nil {
			return result{errno: errnoOf(err)}
		}
		d.fds[o.Slot] = fd
		return r
	case "write":
		if fd := d.fds[o.Slot]; fd >= 0 {
			err = pwrite(fd, content(o.Seed, o.Len), o.Off)
		}
	case "read":
		if fd := d.fds[o.Slot]; fd >= 0 {
			r.data, err = pread(fd, o.Len, o.Off)
		}
	case "ftruncate":
		if fd := d.fds[o.Slot]; fd >= 0 {
			err = retry(func() error { return syscall.Ftruncate(fd, o.Len) })
		}
	case "fsync":
		if fd := d.fds[o.Slot]; fd >= 0 {
			r.stored = true
			err = retry(func() error { return syscall.Fsync(fd) })
		}
	case "close":
		if fd := d.fds[o.Slot]; fd >= 0 {
			d.fds[o.Slot] = -1
			r.stored = true
			err = syscall.Close(fd)
		}
	case "put":
		r.stored, err = d.writeFile(o.Path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, o.Mode, content(o.Seed, o.Len), 0)
	case "append":
		r.stored, err = d.writeFile(o.Path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_APPEND, o.Mode, content(o.Seed, o.Len), 0)
	case "patch":
		r.stored, err = d.writeFile(o.Path, syscall.O_RDWR, 0, content(o.Seed, o.Len), o.Off)
	case "copy":
		r.stored, err = d.copyFile(o.Path, o.To, o.Mode)
	case "splice":
		if fd := d.fds[o.Slot]; fd >= 0 {
			err = d.splice(o.Path, fd, o.Off, o.Len)
		}
	case "get":
		r.data, err = d.readFile(o.Path)
	case "truncate":
		err = retry(func() error { return syscall.Truncate(d.path(o.Path), o.Len) })
	case "unlink":
		err = retry(func() error { return syscall.Unlink(d.path(o.Path)) })
	case "mkdir":
		err = retry(func() error { return syscall.Mkdir(d.path(o.Path), o.Mode) })
	case "rmdir":
		err = retry(func() error { return syscall.Rmdir(d.path(o.Path)) })
	case "rename":
		err = retry(func() error { return syscall.Rename(d.path(o.Path), d.path(o.To)) })
	case "symlink":
		err = retry(func() error { return syscall.Symlink(o.To, d.path(o.Path)) })
	case "readlink":
		var target string
		target, err = os.Readlink(d.path(o.Path))
		r.data = []byte(target)
	case "chmod":
		err = retry(func() error { return syscall.Chmod(d.path(o.Path), o.Mode) })
	case "utimes":
		ts := []unix.Timespec{{Sec: o.Off}, {Sec: o.Off, Nsec: o.Off % 1e9}}
		err = retry(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, d.path(o.Path), ts, 0) })
	case "stat":
		r, err = d.stat(o.Path)
	case "readdir":
		r.data, err = d.names(o.Path)
	default:
		err = syscall.ENOSYS
	}
	r.errno = errnoOf(err)
	return r
}

func pwrite(fd int, p []byte, off int64) error {
	for {
		n := 0
		err := retry(func() (err error) {
			n, err = syscall.Pwrite(fd, p, off)
			return err
		})
		if err != nil || n == len(p) {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
}

// pread reads n bytes at off, fewer only at the end.
func pread(fd int, n, off int64) ([]byte, error) {
	out := make([]byte, 0, n)
	for int64(len(out)) < n {
		var k int
		err := retry(func() (err error) {
			k, err = syscall.Pread(fd, out[len(out):n], off+int64(len(out)))
			return err
		})
		if err != nil {
			return nil, err
		}
		if k == 0 {
			break
		}
		out = out[:len(out)+k]
	}
	if n == 0 { // an empty read still says whether reading is allowed
		_, err := syscall.Pread(fd, nil, off)
		return nil, err
	}
	return out, nil
}

// writeFile opens, writes once and closes. The error is the first; written says that the file had taken the bytes.
func (d *disk) writeFile(p string, flags int, mode uint32, data []byte, off int64) (written bool, err error) {
	fd, err := d.open(p, flags, mode)
	if err != nil {
		return false, err
	}
	err = pwrite(fd, data, off)
	written = err == nil
	if cerr := syscall.Close(fd); err == nil {
		err = cerr
	}
	return written, err
}

// copyFile is what cp does. The error is the first; taken is as stored in result.
func (d *disk) copyFile(from, to string, mode uint32) (taken bool, err error) {
	src, err := d.open(from, syscall.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer syscall.Close(src) // it is only read from
	var st syscall.Stat_t
	if err := syscall.Fstat(src, &st); err != nil {
		return false, err
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return false, syscall.EISDIR
	}
	dst, err := d.open(to, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, mode)
	if err != nil {
		return false, err
	}
	err = copyRange(dst, src, 0, math.MaxInt32)
	taken = err == nil
	if cerr := syscall.Close(dst); err == nil {
		err = cerr
	}
	return taken, err
}

// splice copies a range of a file to the same place of an open one.
func (d *disk) splice(from string, dst int, off, n int64) error {
	src, err := d.open(from, syscall.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(src) // it is only read from
	return copyRange(dst, src, off, n)
}

// copyRange is copy_file_range(2) until all is copied, or the source ends.
func copyRange(dst, src int, off, n int64) error {
	in, out := off, off
	for {
		k := 0
		err := retry(func() (err error) {
			k, err = unix.CopyFileRange(src, &in, dst, &out, int(off+n-in), 0)
			return err
		})
		if err != nil || k == 0 || in == off+n {
			return err
		}
	}
}

func (d *disk) readFile(p string) ([]byte, error) {
	fd, err := d.open(p, syscall.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		var more []byte
		if more, err = pread(fd, 1<<20, int64(len(out))); err != nil || len(more) == 0 {
			break
		}
		out = append(out, more...)
	}
	if cerr := syscall.Close(fd); err == nil {
		err = cerr
	}
	return out, err
}

func (d *disk) stat(p string) (result, error) {
	var st syscall.Stat_t
	if err := retry(func() error { return syscall.Lstat(d.path(p), &st) }); err != nil {
		return result{}, err
	}
	r := result{mode: st.Mode & syscall.S_IFMT}
	switch r.mode {
	case syscall.S_IFREG:
		r.mode, r.size = st.Mode, st.Size
	case syscall.S_IFDIR:
		r.mode = st.Mode
	}
	return r, nil
}

// names is what a directory holds, in order.
func (d *disk) names(p string) ([]byte, error) {
	fd, err := d.open(p, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), p)
	list, err := f.Readdirnames(-1)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	slices.Sort(list)
	return []byte(strings.Join(list, " ")), err
}

// closeAll closes what is open. On a dead mount closing fails, and that is right.
func (d *disk) closeAll() {
	for i, fd := range d.fds {
		if fd >= 0 {
			_ = syscall.Close(fd)
			d.fds[i] = -1
		}
	}
}

// look finds everything there is: by reading directories, or by asking for every name of the alphabet.
func (d *disk) look(ask bool) (map[string]seen, error) {
	if ask {
		out := map[string]seen{}
		return out, d.ask("", out)
	}
	out := map[string]seen{}
	err := filepath.WalkDir(d.dir, func(p string, e iofs.DirEntry, err error) error {
		if err != nil || p == d.dir {
			return err
		}
		rel, err := filepath.Rel(d.dir, p)
		if err != nil {
			return err
		}
		s, err := d.lookAt(rel)
		if err == nil {
			out[rel] = s
		}
		return err
	})
	return out, err
}

// ask adds what is at and below dir to out. Between mounts it takes the place of reading directories: there,
// names that the mount made or removed itself may be out of date for longer than other names.
func (d *disk) ask(dir string, out map[string]seen) error {
	for _, name := range names {
		p := filepath.Join(dir, name)
		s, err := d.lookAt(p)
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		out[p] = s
		if s.kind != directory {
			continue
		}
		if err := d.ask(p, out); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) lookAt(p string) (seen, error) {
	var st syscall.Stat_t
	if err := retry(func() error { return syscall.Lstat(d.path(p), &st) }); err != nil {
		return seen{}, fmt.Errorf("lstat %s: %w", p, err)
	}
	s := seen{mode: st.Mode & 0o7777, mtime: time.Unix(st.Mtim.Unix())}
	var err error
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		s.kind = directory
	case syscall.S_IFLNK:
		s.kind = link
		s.target, err = os.Readlink(d.path(p))
	default:
		s.data, err = d.readFile(p)
		if err == nil && int64(len(s.data)) != st.Size {
			err = fmt.Errorf("%d bytes read, but stat said %d", len(s.data), st.Size)
		}
	}
	if err != nil {
		return s, fmt.Errorf("look at %s: %w", p, err)
	}
	return s, nil
}
