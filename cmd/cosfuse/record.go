package main

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// state is how far a daemon has come.
type state string

const (
	stateStarting state = "starting"
	stateMounted  state = "mounted"
	stateDraining state = "draining" // not mounted any more; committing what is left
	stateEnded    state = "ended"    // everything was committed
	stateFailed   state = "failed"   // something was not
)

// record is what a daemon tells others, in the lock file of its cache directory. The lock, not the
// record, says whether it lives: the kernel releases it with the process.
type record struct {
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Mountpoint string    `json:"mountpoint"`
	Source     string    `json:"source"`
	State      state     `json:"state"`
	Error      string    `json:"error,omitempty"` // stateFailed: what was not committed
	LogFile    string    `json:"log_file,omitempty"`

	cacheDir string // where it was read from
}

const lockName = "daemon.lock"

// same is true of two looks at one daemon.
func (r record) same(other record) bool { return r.PID == other.PID && r.Started.Equal(other.Started) }

// alive reports whether the daemon that wrote r still lives.
func (r record) alive() bool {
	f, err := os.Open(filepath.Join(r.cacheDir, lockName))
	if err != nil {
		return false
	}
	defer f.Close() // and with it the lock, if we got it
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return false
	}
	now, err := readRecord(r.cacheDir)
	return err == nil && now.same(r)
}

// readRecord reads the record in a cache directory. One that is just being written is not readable
// and gives an error; the caller asks again.
func readRecord(cacheDir string) (record, error) {
	text, err := os.ReadFile(filepath.Join(cacheDir, lockName))
	if err != nil {
		return record{}, err
	}
	r := record{cacheDir: cacheDir}
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", filepath.Join(cacheDir, lockName), err)
	}
	return r, nil
}

// cacheLock is a cache directory that belongs to this process, until it ends.
type cacheLock struct {
	file *os.File
	rec  record
	link string // the runtime file that leads here; empty until mounted
}

// errLocked says that another daemon holds the cache directory.
var errLocked = errors.New("cache directory in use")

// flock locks f without waiting. It returns errLocked if another process has a lock that excludes this one.
func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errLocked
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// lockCache takes the lock of dir without waiting. It returns errLocked if another process has it.
func lockCache(dir string, rec record) (*cacheLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	rec.cacheDir = dir
	l := &cacheLock{file: f, rec: rec}
	return l, l.tell(stateStarting, nil)
}

// tell publishes a new state.
func (l *cacheLock) tell(s state, failed error) error {
	l.rec.State = s
	if failed != nil {
		l.rec.Error = failed.Error()
	}
	text, err := json.Marshal(l.rec)
	if err != nil {
		return err
	}
	// In place, because the lock belongs to this file: padded to replace all of a longer record in
	// the one write.
	if info, err := l.file.Stat(); err == nil && int64(len(text)) < info.Size() {
		text = append(text, strings.Repeat(" ", int(info.Size())-len(text))...)
	}
	_, err = l.file.WriteAt(text, 0)
	return err
}

// publish lets others find the record by its mountpoint.
func (l *cacheLock) publish(dirs []string) error {
	var last error
	for _, dir := range dirs {
		if last = makePrivate(dir, 0o755); last != nil {
			continue
		}
		sweep(dir)
		path := filepath.Join(dir, linkName(l.rec.Mountpoint))
		if last = os.Remove(path); last != nil && !errors.Is(last, iofs.ErrNotExist) {
			continue
		}
		if last = os.Symlink(l.rec.cacheDir, path); last == nil {
			l.link = path
			return nil
		}
	}
	return last
}

// sweep removes links that daemons left which died, once their cache directory is gone, too.
func sweep(dir string) {
	links, err := filepath.Glob(filepath.Join(dir, linkPrefix+"*"))
	if err != nil {
		return
	}
	for _, link := range links {
		if _, err := os.Stat(link); errors.Is(err, iofs.ErrNotExist) {
			_ = os.Remove(link) // by somebody else, or next time
		}
	}
}

// close gives the directory back.
func (l *cacheLock) close() error {
	if l.link != "" {
		if dir, err := os.Readlink(l.link); err == nil && dir == l.rec.cacheDir {
			os.Remove(l.link) // else it stays, and leads to a record that says "ended"
		}
	}
	return l.file.Close()
}

// makePrivate creates dir if need be and makes sure that nobody else can put things there.
func makePrivate(dir string, mode iofs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not a directory of ours alone", dir)
	}
	return nil
}

// ownedBy guards against links laid out by somebody else, in /tmp say.
func ownedBy(dir string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && int(st.Uid) == uid
}

// linkPrefix begins the names of links in a runtime directory.
const linkPrefix = "mount-"

// linkName is the name of a mountpoint in a runtime directory.
func linkName(mountpoint string) string { return linkPrefix + shortHash(mountpoint) }

// runtimeDirs are the places, best first, where the daemons of a user leave their links.
func runtimeDirs(uid int, getenv func(string) string) []string {
	id := strconv.Itoa(uid)
	var dirs []string
	if xdg := getenv("XDG_RUNTIME_DIR"); uid != 0 && uid == os.Getuid() && filepath.IsAbs(xdg) {
		dirs = append(dirs, filepath.Join(xdg, "cosfuse"))
	}
	if uid == 0 {
		dirs = append(dirs, "/run/cosfuse")
	} else {
		dirs = append(dirs, filepath.Join("/run/user", id, "cosfuse"))
	}
	return append(dirs, filepath.Join("/tmp", "cosfuse-"+id))
}

// errNoRecord says that no daemon could be found for a mountpoint.
var errNoRecord = errors.New("no record of a daemon")

// findRecord finds the daemon that serves, or last served, mountpoint: through its runtime link, or
// for a mount that is still there, through the process that holds its connection open. entry may be
// zero. The error is errNoRecord if there is none.
func (c *cli) findRecord(mountpoint string, entry mountEntry) (record, error) {
	uids := []int{os.Getuid(), 0}
	if entry.device != "" && entry.uid >= 0 {
		uids = append([]int{entry.uid}, uids...)
	}
	for _, uid := range uids {
		for _, dir := range c.runtimeDir(uid) {
			cacheDir, err := os.Readlink(filepath.Join(dir, linkName(mountpoint)))
			if err != nil || !ownedBy(dir, uid) {
				continue
			}
			if r, err := readRecord(cacheDir); err == nil && r.Mountpoint == mountpoint {
				return r, nil
			}
		}
	}
	if dir, ok := cacheDirOfConnection(entry.device); ok {
		if r, err := readRecord(dir); err == nil && r.Mountpoint == mountpoint {
			return r, nil
		}
	}
	return record{}, errNoRecord
}

// cacheDirOfConnection finds the process that has the FUSE device open for the mount with the given
// major:minor, and from the lock it holds, its cache directory. Kernels that do not show connections
// in fdinfo, and processes of other users, cannot be found so.
func cacheDirOfConnection(device string) (string, bool) {
	_, minor, ok := strings.Cut(device, ":")
	if !ok {
		return "", false
	}
	infos, err := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	if err != nil {
		return "", false
	}
	want := []string{"fuse_connection:", minor}
	for _, info := range infos {
		fd := strings.Replace(info, "/fdinfo/", "/fd/", 1)
		if target, err := os.Readlink(fd); err != nil || filepath.Base(target) != "fuse" {
			continue
		}
		text, err := os.ReadFile(info)
		if err != nil || !slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), want)
		}) {
			continue
		}
		if dir, ok := openLock(filepath.Dir(fd)); ok {
			return dir, true
		}
	}
	return "", false
}

// openLock finds a daemon's lock file among open descriptors.
func openLock(fdDir string) (string, bool) {
	fds, err := filepath.Glob(filepath.Join(fdDir, "*"))
	if err != nil {
		return "", false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && filepath.Base(target) == lockName {
			return filepath.Dir(target), true
		}
	}
	return "", false
}
