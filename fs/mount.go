package fs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/cache"
)

// Mount is a mounted bucket.
type Mount struct {
	o      Options
	log    *slog.Logger
	dir    string
	ctx    context.Context // the mount's lifetime: work that must finish runs under it
	cancel context.CancelFunc

	server *fuse.Server
	root   *node
	tree   *tree
	facts  *facts
	dirs   *cache.Dirs
	born   *cache.Table[*cache.Listing] // empty listings of directories that were made here

	windows *windows
	counts  *cache.Table[count] // by directory: of the last listing that proves absence

	hiddenOnce sync.Once
	scouts     chan struct{}  // one slot for each directory that is listed ahead
	bg         sync.WaitGroup // the notifier and scouts
	done       chan struct{}  // closed when all of it has ended
}

// New mounts the bucket on the directory mountpoint and returns when the mount answers. ctx is the
// mount's lifetime: when it ends, requests to the service end with errors, but the mount stays until
// it is unmounted. The caller calls Wait, in the end, and closes the Store after that.
func New(ctx context.Context, mountpoint string, o Options) (*Mount, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := newMount(ctx, o)
	m.dir = mountpoint
	fo, err := m.fuseOptions()
	if err == nil {
		m.server, err = gofs.Mount(mountpoint, m.root, fo)
	}
	if err != nil {
		m.shutdown()
		return nil, fmt.Errorf("mount %s: %w", mountpoint, err)
	}
	m.bg.Go(func() { m.notify() })
	go m.supervise()
	return m, nil
}

// newMount makes everything but the kernel's side.
func newMount(ctx context.Context, o Options) *Mount {
	m := &Mount{o: o, log: o.Logger, tree: newTree(), done: make(chan struct{}), scouts: make(chan struct{}, aheadDirs)}
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.root = &node{m: m}
	m.facts = newFacts(m)
	m.born = cache.NewTable[*cache.Listing](o.maxSmall(), o.Now)
	m.counts = cache.NewTable[count](o.maxSmall(), o.Now)
	m.windows = newWindows(m)
	m.dirs = cache.NewDirs(m.ctx, cache.DirsOptions{
		TTL: cmp.Or(o.MetaTTL, -1), NegativeTTL: cmp.Or(o.NegativeTTL, -1), // 0 would be a default
		MaxEntries: o.maxEntries(), Now: o.Now,
	}, m.fetchPage)
	return m
}

// supervise waits for the kernel's side to end, then ends ours.
func (m *Mount) supervise() {
	m.server.Wait()
	m.shutdown()
	close(m.done)
}

// shutdown ends what runs in the background and waits for it.
func (m *Mount) shutdown() {
	m.cancel()
	m.bg.Wait()
	m.facts.close()
	m.dirs.Close()
}

// Wait returns when the mount is gone, by whatever means, and nothing of it runs any more.
func (m *Mount) Wait() { <-m.done }

// Unmount unmounts. It tries for a third of a second; EBUSY then means that a file or a working
// directory is still in use, and the mount goes on. Use Wait to know when everything has ended.
func (m *Mount) Unmount() error {
	if err := m.server.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	return nil
}

// Detach takes the mount out of the tree of directories at once and goes on to serve those who still
// use it; Wait returns when the last of them has gone. Only root can; others get EPERM.
func (m *Mount) Detach() error {
	if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("detach %s: %w", m.dir, err)
	}
	return nil
}

// fuseOptions are those of the kernel and of go-fuse.
func (m *Mount) fuseOptions() (*gofs.Options, error) {
	flags, err := flagBits(m.o.MountFlags)
	if err != nil {
		return nil, err
	}
	o := &gofs.Options{
		NullPermissions:   true, // mode 0000 is what it says
		FirstAutomaticIno: 2,    // after the root; the default begins where signed numbers end, which some programs take for an error
		Logger:            slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
		MountOptions: fuse.MountOptions{
			FsName:                   m.o.FsName,
			Name:                     "cosfuse",
			AllowOther:               m.o.AllowOther,
			Options:                  []string{"default_permissions"},
			MaxWrite:                 maxWriteBytes,
			MaxBackground:            maxBackground,
			MaxInflightRequestBytes:  maxInflightBytes,
			EnableSymlinkCaching:     true,
			ExplicitDataCacheControl: true, // pages stay while the version does, whatever mtime does
			Debug:                    m.o.Debug,
			Logger:                   slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
			PanicHandler:             m.panicked,
			DirectMountStrict:        !m.o.Fusermount,
			// Without the first, every entry of every listing would be looked up; with the second,
			// overwriting a file is one open, and the old content is never seen empty.
			ExtraCapabilities: fuse.CAP_READDIRPLUS_AUTO | fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_ASYNC_DIO,
		},
	}
	if m.o.ReadOnly {
		o.Options = append(o.Options, "ro")
		flags |= syscall.MS_RDONLY
	}
	if m.o.Fusermount {
		o.Options = append(o.Options, flagWords(flags)...)
	} else {
		o.DirectMountFlags = flags | syscall.MS_SILENT // not 0, which go-fuse takes for its default
	}
	return o, nil
}

// panicked turns a broken invariant into an error of one request.
func (m *Mount) panicked(v any) fuse.Status {
	m.log.Error("handler panicked", "err", fmt.Sprint(v))
	return fuse.EIO
}

// Busy reports whether an error of Unmount means that the mount is still in use.
func Busy(err error) bool { return errors.Is(err, syscall.EBUSY) }

// confirmedRecently is how old a confirmation of a version may be for an open to do without one.
const confirmedRecently = time.Second
