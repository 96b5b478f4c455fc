package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fsType is what the mount table shows behind "fuse." for our mounts.
const fsType = "cosfuse"

// checkMachine makes sure that o.mountpoint can be mounted on, resolving the symbolic links in it,
// and that FUSE works here. A mount whose daemon died is taken away first, which say tells. All of
// it is local.
func (c *cli) checkMachine(ctx context.Context, o *mountOptions, say func(string)) error {
	path, err := realPath(o.mountpoint)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return missing(o.mountpoint)
	case err != nil:
		return machineError("check the path and its permissions", "mountpoint: %w", err)
	}
	o.mountpoint = path
	if err := c.clearMount(ctx, path, say); err != nil {
		return err
	}
	if err := checkDirectory(path, o.nonEmpty); err != nil {
		return err
	}
	return c.checkFuse(o.allowOther)
}

func missing(path string) error {
	return machineError("create it: mkdir -p "+path, "mountpoint %s does not exist", path)
}

// clearMount refuses a path that is mounted already and takes a dead mount of ours away.
func (c *cli) clearMount(ctx context.Context, path string, say func(string)) error {
	entry, mounted, err := c.findMount(path)
	if err != nil || !mounted || !entry.fuse() {
		return err
	}
	dead := errors.Is(askMount(path), syscall.ENOTCONN)
	// One that is being killed still has its lock for a moment after the mount is dead.
	if rec, err := c.findRecord(path, entry); err == nil && rec.alive() && !dead {
		return machineError("unmount it first: cosfuse umount "+path,
			"%s is already mounted: process %d serves %s there", path, rec.PID, rec.Source)
	}
	if !dead {
		return machineError("unmount it first: umount "+path,
			"%s is already mounted: %s (%s) is there", path, entry.source, entry.fstype)
	}
	if !entry.ours() {
		return machineError("take it away: umount -l "+path,
			"%s is a dead mount (%s): the process that served it is gone", path, entry.fstype)
	}
	if err := unmount(ctx, path, true); err != nil {
		return machineError("take it away: umount -l "+path, "%s is a dead mount of cosfuse: %w", path, err)
	}
	say("the process that served " + path + " had died; its dead mount was taken away (umount -l)")
	return nil
}

// answerTime is how long a mount is waited for that may hang.
const answerTime = 2 * time.Second

// askMount asks the process behind a mount, which nothing but statfs does for sure. The error is
// context.DeadlineExceeded if there is no answer.
func askMount(path string) error {
	answer := make(chan error, 1)
	// Not waited for: nothing ends the question but the end of the mount, or of this process.
	go func() { answer <- unix.Statfs(path, &unix.Statfs_t{}) }()
	late := time.NewTimer(answerTime)
	defer late.Stop()
	select {
	case err := <-answer:
		return err
	case <-late.C:
		return context.DeadlineExceeded
	}
}

func checkDirectory(path string, nonEmpty bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return missing(path)
	case err != nil:
		return machineError("check the path and its permissions", "mountpoint: %w", err)
	case !info.IsDir():
		return machineError("give a directory", "mountpoint %s is not a directory", path)
	}
	if os.Getuid() != 0 && unix.Access(path, unix.W_OK) != nil {
		return machineError("use a directory of your own, or mount as root", "you may not write to mountpoint %s", path)
	}
	if nonEmpty {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return machineError("check its permissions", "mountpoint: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	switch {
	case len(names) > 0:
		return machineError("use an empty directory, or --nonempty to hide what is in it while mounted",
			"mountpoint %s is not empty: it holds %q", path, names[0])
	case !errors.Is(err, io.EOF):
		return machineError("check it with ls", "mountpoint: %w", err)
	}
	return nil
}

// checkFuse makes sure that this user can mount FUSE file systems here.
func (c *cli) checkFuse(allowOther bool) error {
	f, err := os.OpenFile(c.devFuse, os.O_RDWR, 0)
	switch {
	case errors.Is(err, iofs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return machineError("load the kernel module with \"modprobe fuse\"; a container needs "+
			"--device /dev/fuse --cap-add SYS_ADMIN", "there is no %s", c.devFuse)
	case errors.Is(err, iofs.ErrPermission):
		return machineError("have root run chmod 666 "+c.devFuse+"; a container needs --device /dev/fuse --cap-add SYS_ADMIN",
			"%s cannot be opened: %w", c.devFuse, err)
	case err != nil:
		return machineError("is FUSE set up on this machine?", "%w", err)
	}
	f.Close()
	if os.Getuid() == 0 {
		return nil
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		return machineError("install it (Debian: apt install fuse3), or mount as root",
			"there is no fusermount3, which mounts for users other than root")
	}
	if allowOther && !userAllowOther("/etc/fuse.conf") {
		return machineError("have root add the line user_allow_other to /etc/fuse.conf, or leave out --allow-other",
			"users other than root may not use --allow-other here")
	}
	return nil
}

// userAllowOther tells whether the administrator lets users pass allow_other.
func userAllowOther(conf string) bool {
	text, err := os.ReadFile(conf)
	if err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "user_allow_other" {
			return true
		}
	}
	return false
}

// unmount takes the mount at path away; lazy does so while it is in use too, for its users when they
// are done. An error for a busy mount is syscall.EBUSY for root and fusermount3's words for others.
func unmount(ctx context.Context, path string, lazy bool) error {
	if os.Getuid() == 0 {
		flags := unix.UMOUNT_NOFOLLOW
		if lazy {
			flags |= unix.MNT_DETACH
		}
		return unix.Unmount(path, flags)
	}
	args := []string{"-u", "--", path}
	if lazy {
		args = []string{"-u", "-z", "--", path}
	}
	out, err := exec.CommandContext(ctx, "fusermount3", args...).CombinedOutput()
	if err != nil && len(out) > 0 {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return err
}
