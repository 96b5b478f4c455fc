package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

const installLong = `Put this program where mount(8), umount(8) and fstab find it.

It is copied to /usr/local/bin/cosfuse, and linked to as
  /sbin/mount.cosfuse        mount -t cosfuse, and "cosfuse" in /etc/fstab
  /sbin/mount.fuse.cosfuse   mount -t fuse.cosfuse
  /sbin/umount.fuse.cosfuse  umount returns when everything is committed, and says what could not be
With --cosfs also as
  /usr/local/bin/cosfs       takes the command line of COSFS, and shows what COSFS does
  /sbin/mount.fuse.cosfs     for lines of /etc/fstab with the type fuse.cosfs
Nothing that is not ours is replaced. To run it again is to bring everything up to date; a mount goes on with
the program that it was started with. --remove takes away what is ours.`

// installation is what install puts where.
type installation struct {
	root  string // everything is below it
	cosfs bool
}

// Where things are installed.
const (
	programPath = "/usr/local/bin/cosfuse"
	cosfsPath   = "/usr/local/bin/cosfs"
)

// linkPaths lead to programPath: those that always do, and those that --cosfs adds.
var (
	linkPaths  = []string{"/sbin/mount.cosfuse", "/sbin/mount.fuse.cosfuse", "/sbin/umount.fuse.cosfuse"}
	cosfsPaths = []string{cosfsPath, "/sbin/mount.fuse.cosfs"}
)

func (c *cli) installCommand() *cobra.Command {
	var i installation
	remove := false
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Let mount(8) and fstab find this program",
		Long:  installLong,
		Example: "  sudo ./cosfuse install\n" +
			"  sudo mount -t cosfuse photos-1250000000:/2024 /mnt -o region=ap-guangzhou,credentials=/etc/cosfuse.credentials",
		Args: func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args) },
		RunE: func(*cobra.Command, []string) error {
			if remove {
				return i.remove()
			}
			return i.install()
		},
	}
	cmd.Flags().BoolVar(&i.cosfs, "cosfs", false, "also take the place of COSFS")
	cmd.Flags().StringVar(&i.root, "root", "/", "put everything below `DIR`, as a package is made")
	cmd.Flags().BoolVar(&remove, "remove", false, "take away what was installed")
	return cmd
}

func (i installation) at(path string) string { return filepath.Join(i.root, path) }

// install changes nothing if something is in the way.
func (i installation) install() error {
	links := linkPaths
	if i.cosfs {
		links = slices.Concat(links, cosfsPaths)
	}
	for _, path := range links {
		if state, err := i.link(path); err != nil {
			return installError(err)
		} else if state == foreign {
			return machineError("remove it if it is not needed any more", "%s is there and not ours", i.at(path))
		}
	}
	if err := i.copyProgram(); err != nil {
		return installError(err)
	}
	for _, path := range links {
		if err := i.makeLink(path); err != nil {
			return installError(err)
		}
	}
	return nil
}

// remove takes away what leads to the program, and then the program.
func (i installation) remove() error {
	for _, path := range slices.Concat(linkPaths, cosfsPaths) {
		state, err := i.link(path)
		if err == nil && state == ours {
			err = os.Remove(i.at(path))
		}
		if err != nil {
			return installError(err)
		}
	}
	if err := os.Remove(i.at(programPath)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return installError(err)
	}
	return nil
}

func installError(err error) error {
	if errors.Is(err, iofs.ErrPermission) {
		return machineError("run it as root: sudo cosfuse install", "install: %w", err)
	}
	return machineError("", "install: %w", err)
}

// linkState is what is in the place of a link.
type linkState int

const (
	vacant  linkState = iota
	ours              // it leads to the program
	foreign           // something else
)

func (i installation) link(path string) (linkState, error) {
	info, err := os.Lstat(i.at(path))
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return vacant, nil
	case err != nil:
		return foreign, err
	case info.Mode()&iofs.ModeSymlink == 0:
		return foreign, nil
	}
	target, err := os.Readlink(i.at(path))
	if err != nil {
		return foreign, err
	}
	if target == programPath {
		return ours, nil
	}
	return foreign, nil
}

func (i installation) makeLink(path string) error {
	if err := os.MkdirAll(filepath.Dir(i.at(path)), 0o755); err != nil {
		return err
	}
	err := os.Symlink(programPath, i.at(path))
	if errors.Is(err, iofs.ErrExist) {
		return nil // ours: install looked
	}
	return err
}

// copyProgram replaces the program as a whole, so that one that runs goes on undisturbed, and not at all if
// it is there already.
func (i installation) copyProgram() (err error) {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to := i.at(programPath)
	if same, err := sameContent(from, to); same || err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".cosfuse.*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error matters more
		}
	}()
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	return os.Rename(f.Name(), to)
}

// sameContent compares an open file with the one at path and leaves it at its beginning.
func sameContent(f *os.File, path string) (bool, error) {
	other, err := os.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer other.Close()
	if info, err := other.Stat(); err != nil || !info.Mode().IsRegular() {
		return false, errors.Join(err, fmt.Errorf("%s is not a program", path))
	}
	mine, errMine := digest(f)
	theirs, errTheirs := digest(other)
	_, err = f.Seek(0, io.SeekStart)
	return mine == theirs, errors.Join(errMine, errTheirs, err)
}

func digest(r io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	return [sha256.Size]byte(h.Sum(nil)), err
}
