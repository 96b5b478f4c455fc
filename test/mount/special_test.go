package mount

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// TestPipesAndSockets checks that they join programs of this machine, and are kept as what they are, without
// what went through them.
func TestPipesAndSockets(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	must(t, unix.Mkfifo(v.Path("pipe"), 0o640))
	through := make(chan error, 1)
	go func() { through <- os.WriteFile(v.Path("pipe"), []byte("through"), 0) }()
	wantFile(t, v.Path("pipe"), []byte("through"))
	must(t, <-through)

	dir, err := os.Open(v.Dir) // the name of a socket may have 108 bytes: too few for the path
	must(t, err)
	address := fmt.Sprintf("/proc/self/fd/%d/socket", dir.Fd())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	c, err := net.Dial("unix", address)
	must(t, err)
	must(t, errors.Join(c.Close(), l.Close()))
	_, err = net.Dial("unix", address)
	wantErrno(t, "nobody listens", err, syscall.ECONNREFUSED)
	must(t, dir.Close())

	v.Remount(t)
	wantNames(t, v.Dir, "pipe", "socket")
	if got := stat(t, v.Path("pipe")).Mode; got != syscall.S_IFIFO|0o640 {
		t.Errorf("the pipe has mode %o", got)
	}
	if got := stat(t, v.Path("socket")).Mode & syscall.S_IFMT; got != syscall.S_IFSOCK {
		t.Errorf("the socket is of type %o", got)
	}
	for _, key := range []string{"pipe", "socket"} {
		if body, _ := object(t, v.Bucket, key); len(body) != 0 {
			t.Errorf("object %s holds %q", key, body)
		}
	}
}

// TestLocksEndAtTheMount checks that locks hold between programs that use one mount, and tell another mount of the
// bucket nothing.
func TestLocksEndAtTheMount(t *testing.T) {
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{})
	put(t, b, "f", []byte("x"))
	one, other := b.Mount(t, mounttest.Options{Log: true}), b.Mount(t, mounttest.Options{Log: true})
	open := func(v *mounttest.Volume) int {
		fd, err := unix.Open(v.Path("f"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { must(t, unix.Close(fd)) })
		return fd
	}
	kinds := []struct {
		name string
		lock func(fd int) error
	}{
		{"flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }},
		{"fcntl", func(fd int) error {
			return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			first, second, far := open(one), open(one), open(other)
			wantErrno(t, "the first", k.lock(first), 0)
			wantErrno(t, "a second by the same mount", k.lock(second), syscall.EAGAIN)
			wantErrno(t, "one by another mount", k.lock(far), 0)
			wantErrno(t, "the first once more", k.lock(first), 0)
		})
	}
}

// TestHardLinksAreRefused checks that no way to make one does anything.
func TestHardLinksAreRefused(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("f"), []byte("x"))
	must(t, os.Mkdir(v.Path("d"), 0o755))
	wantErrno(t, "link", syscall.Link(v.Path("f"), v.Path("g")), syscall.EPERM)
	wantErrno(t, "link into a directory", syscall.Link(v.Path("f"), v.Path("d", "g")), syscall.EPERM)
	f, err := os.Open(v.Path("f"))
	must(t, err)
	err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, v.Path("g"), unix.AT_SYMLINK_FOLLOW)
	wantErrno(t, "link to an open file", err, syscall.EPERM)
	must(t, f.Close())
	if st := stat(t, v.Path("f")); st.Nlink != 1 {
		t.Errorf("%d links", st.Nlink)
	}
	v.Stop(t)
	wantKeys(t, v.Bucket, "d/", "f")
}
