package mounttest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/writeback"
)

// Options of New and of Volume.Mount. The zero value is the default mount.
type Options struct {
	FS     fs.Options        // Client, Store and Changes are filled in
	Store  writeback.Options // Client, Blocks and Dir are filled in
	Server cosserver.Options // of New only; Dir is filled in
	Keep   bool              // keep attributes on disk, over a Remount too
	Cache  string            // directory of the journal and staging files, kept over a Remount; "" = a new one each time
	Disk   int64             // most bytes of blocks kept on disk, over a Remount too; 0 keeps none
	Stall  time.Duration     // after which the mount's client gives up an attempt that gets no answer; 0 is the default
	Log    bool              // log warnings to the test
}

// Bucket is a server and a client of its own for looking behind the mounts.
type Bucket struct {
	Server   *cosserver.Server
	URL      string
	Client   *cos.Client
	listener *cosserver.Listener
}

// Volume is a mounted bucket.
type Volume struct {
	*Bucket
	Dir    string // mount point
	Kept   string // directory of the blocks on disk
	Notes  string // directory of the attributes on disk
	Store  *writeback.Store
	Mount  *fs.Mount
	Blocks *cache.Blocks

	o      Options
	clock  clock
	lost   bool // what cannot be committed at the end is no failure
	client *cos.Client
	notes  *cache.Notes
	cancel context.CancelFunc
}

// patience bounds how long the end of a test waits for commits.
const patience = 30 * time.Second

// NewBucket starts a server that ends with the test.
func NewBucket(t testing.TB, o cosserver.Options) *Bucket {
	t.Helper()
	o.Dir = filepath.Join(t.TempDir(), "bucket")
	o.NoSync = true
	s, err := cosserver.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bucket{Server: s, URL: l.URL, listener: l}
	b.Client = b.newClient(t, nil, 0)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(b.Client.Close(), l.Close(ctx), s.Close()); err != nil {
			t.Errorf("end of the server: %v", err)
		}
	})
	return b
}

func (b *Bucket) newClient(t testing.TB, log *slog.Logger, stall time.Duration) *cos.Client {
	t.Helper()
	c, err := cos.New(cos.Options{
		Endpoint: b.URL, Region: b.Server.Region(), Bucket: b.Server.Bucket(), Logger: log,
		BaseDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, StallTimeout: stall, HeaderTimeout: stall,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// New starts a server and mounts its bucket for the time of the test.
func New(t testing.TB, o Options) *Volume {
	t.Helper()
	NeedFUSE(t)
	return NewBucket(t, o.Server).Mount(t, o)
}

// NeedFUSE skips the test where nothing can be mounted.
func NeedFUSE(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("mounting with mount(2) needs root")
	}
}

// Mount mounts the bucket on a new directory for the time of the test.
func (b *Bucket) Mount(t testing.TB, o Options) *Volume {
	t.Helper()
	v := &Volume{Bucket: b, Dir: filepath.Join(t.TempDir(), "mnt"), o: o}
	v.Kept, v.Notes = filepath.Join(t.TempDir(), "blocks"), filepath.Join(t.TempDir(), "attrs")
	if err := os.Mkdir(v.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v.start(t)
	t.Cleanup(func() { v.Stop(t) })
	return v
}

// Remount unmounts, commits everything, and mounts again with caches that are empty, but for what Options.Disk and
// Options.Keep keep.
func (v *Volume) Remount(t testing.TB) {
	t.Helper()
	v.Stop(t)
	v.start(t)
}

func (v *Volume) start(t testing.TB) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if v.o.Log {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	v.client = v.newClient(t, log, v.o.Stall)
	var err error
	if v.Blocks, err = cache.NewBlocks(ctx, v.blocksOptions(log)); err != nil {
		t.Fatal(err)
	}
	if v.notes = nil; v.o.Keep {
		if v.notes, err = cache.OpenNotes(cache.NotesOptions{Dir: v.Notes, Logger: log}); err != nil {
			t.Fatal(err)
		}
	}
	attrs := fs.NewAttrs(v.notes)
	changes := fs.NewChanges()
	now := v.clock.now
	so := v.o.Store
	so.Now = now
	so.Client, so.Blocks, so.Dir = v.client, v.Blocks, cmp.Or(v.o.Cache, filepath.Join(t.TempDir(), "staging"))
	so.Logger, so.Changed, so.Made = log, changes.Add, attrs.Made
	if v.Store, err = writeback.Open(ctx, so); err != nil {
		t.Fatal(err)
	}
	fo := v.o.FS
	fo.Now, fo.Attrs = now, attrs
	fo.Client, fo.Store, fo.Blocks, fo.Changes, fo.Logger = v.client, v.Store, v.Blocks, changes, log
	if v.Mount, err = fs.New(ctx, v.Dir, fo); err != nil {
		t.Fatal(err)
	}
}

// brokeOff is true of a download that ended early and may be continued where it did, as the command has it.
func brokeOff(err error) bool {
	return errors.Is(err, cos.ErrTransport) || errors.Is(err, cos.ErrStalled) || errors.Is(err, cos.ErrBadResponse)
}

func (v *Volume) blocksOptions(log *slog.Logger) cache.BlocksOptions {
	o := cache.BlocksOptions{
		MemoryBytes: 128 << 20, Connections: 24, Resume: brokeOff,
		Checksum: &cache.Checksum{Of: cos.CRC64, Combine: cos.CRC64Combine},
	}
	if v.o.Disk > 0 {
		// Patience, so that what is kept does not depend on how fast the disk is.
		o.Disk = &cache.DiskOptions{Dir: v.Kept, MaxBytes: v.o.Disk, Logger: log, Patience: patience}
	}
	return o
}

// Stop unmounts and commits everything. The test fails if the mount is busy.
func (v *Volume) Stop(t testing.TB) {
	t.Helper()
	if v.Mount == nil {
		return
	}
	if err := v.Mount.Unmount(); err != nil {
		t.Errorf("%v; detaching", err)
		if err := syscall.Unmount(v.Dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
	v.Mount.Wait()
	v.Mount = nil
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := v.Store.Close(ctx); err != nil && !v.lost {
		t.Errorf("commit what was left: %v", err)
	}
	v.Blocks.Close()
	v.notes.Close()
	v.cancel()
	if err := v.client.Close(); err != nil {
		t.Error(err)
	}
}

// Abandon says that the mount is left with something it cannot commit, which is no failure of the test.
func (v *Volume) Abandon(t testing.TB) {
	t.Helper()
	v.lost = true
}

// Path joins names to the mount point.
func (v *Volume) Path(names ...string) string {
	return filepath.Join(append([]string{v.Dir}, names...)...)
}

// Mutations counts the requests since the last ResetStats that changed something.
func (b *Bucket) Mutations() int64 {
	var n int64
	for op, s := range b.Server.Stats() {
		switch op {
		case "HeadObject", "GetObject", "ListObjects", "HeadBucket", "ListParts", "ListUploads", "GetObjectACL", "GetObjectTagging", "GetBucketVersioning":
		default:
			n += s.Requests
		}
	}
	return n
}

// Count returns the requests of one operation since the last ResetStats.
func (b *Bucket) Count(op string) int64 { return b.Server.Stats()[op].Requests }
