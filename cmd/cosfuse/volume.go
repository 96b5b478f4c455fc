package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/fs"
	"cosfuse/writeback"
)

const (
	// probeTimeout bounds the first requests of a mount: somebody waits for it at a terminal.
	probeTimeout = 10 * time.Second
	// probeAttempts and probeDial fit a few tries, and two that get no answer, into probeTimeout.
	probeAttempts = 3
	probeDial     = 4 * time.Second
	// tellSkew is how wrong a clock must be to be worth a word.
	tellSkew = time.Minute
	// usualAttempts is how often a request is tried unless somebody asks for more.
	usualAttempts = 8
	// always stands for a time to live of zero, which means "default" below this package.
	always = time.Nanosecond
)

// bucketVolume is a volume of fs on a store, a client and perhaps a server, closed in this order.
type bucketVolume struct {
	mnt    *fs.Mount
	store  *writeback.Store
	blocks *cache.Blocks
	notes  *cache.Notes // nil if nothing is kept
	client *cos.Client
	server *localServer // nil for a real service
	path   string
	drop   func() error // deletes what was kept of what was read; nil: it stays
}

// openVolume is the opener of the command.
func openVolume(ctx, life context.Context, o *mountOptions, log *slog.Logger, say func(string)) (_ volume, err error) {
	v := &bucketVolume{path: o.mountpoint}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.release(life))
		}
	}()
	opt, err := o.clientOptions(ctx, log)
	if err != nil {
		return nil, err
	}
	if o.local != "" {
		if v.server, err = startLocal(o.local, log); err != nil {
			return nil, err
		}
		opt.Endpoint, opt.Credentials = v.server.listener.URL, v.server.credentials
	}
	versioned, err := probe(ctx, o, opt, say)
	if err != nil {
		return nil, err
	}
	if v.client, err = cos.New(opt); err != nil {
		return nil, usageError("see \"cosfuse mount --help\"", "%w", err)
	}
	if err := v.mount(life, o, versioned, log); err != nil {
		return nil, err
	}
	if line := recovered(v.store.Recovered()); line != "" {
		say(line)
	}
	if o.stat == statSource(fs.FromListings) {
		say("stat=list: modes, owners, times and links that objects carry are not shown; what is set is stored, and does not show either")
	}
	if o.consistent != consistency(fs.CloseToOpen) {
		say(o.consistency())
	}
	if o.commit == commitBackground {
		say("closed files are safe in " + o.cacheDir + " and reach the bucket a moment later: \"cosfuse sync " + o.mountpoint + "\" waits for them")
	}
	return v, nil
}

// consistency tells what a user of the mount may rely on.
func (o *mountOptions) consistency() string {
	meta, negative := fmt.Sprintf("%v", o.metaTTL), fmt.Sprintf("%v", o.negativeTTL)
	switch fs.Consistency(o.consistent) {
	case fs.Strict:
		return "consistency strict: every name, attribute and version is asked for each time"
	case fs.Relaxed:
		return "consistency relaxed: changes by others show within " + meta + ", new names within " + negative + ", also to those who open a file"
	}
	return "consistency close-to-open: changes by others show at open, or within " + meta + ", new names within " + negative
}

// clientOptions are those of the mount's client. It reads the credentials.
func (o *mountOptions) clientOptions(ctx context.Context, log *slog.Logger) (cos.Options, error) {
	opt := cos.Options{
		Endpoint: o.endpoint, Region: o.region, Bucket: o.bucket, Logger: log,
		DialTimeout: o.dialTimeout, StallTimeout: o.stallTimeout, UserAgent: o.userAgent,
		TrafficLimit: 8 * int64(o.objects.traffic),
	}
	if o.retries >= usualAttempts {
		opt.Attempts = o.retries + 1
	}
	if o.local != "" {
		return opt, nil // the server that is to be started brings the rest
	}
	var err error
	opt.Credentials, err = o.provider(ctx)
	return opt, err
}

// mount puts the store and the file system on the client.
func (v *bucketVolume) mount(life context.Context, o *mountOptions, versioned bool, log *slog.Logger) error {
	if o.dropReads {
		if err := o.dropKept(); err != nil {
			return machineError("use another --cache-dir", "delete what was read: %w", err)
		}
		v.drop = o.dropKept
	}
	blocks, err := cache.NewBlocks(life, o.blocksOptions(log))
	if err != nil {
		return explainKept(err, blocksName)
	}
	v.blocks = blocks
	defaults := writeback.AttrDefaults{
		FileMode: uint32(o.fileMode), DirMode: uint32(o.dirMode), UID: o.uid, GID: o.gid,
	}
	if v.notes, err = o.openNotes(log); err != nil {
		return explainKept(err, notesName)
	}
	attrs := fs.NewAttrs(v.notes)
	changes := fs.NewChanges()
	so := o.storeOptions()
	so.Client, so.Blocks, so.Dir, so.Prefix = v.client, v.blocks, o.cacheDir, o.prefix
	so.Defaults, so.Logger, so.Changed, so.Made = defaults, log, changes.Add, attrs.Made
	if v.store, err = writeback.Open(life, so); err != nil {
		return explainJournal(err, o.cacheDir)
	}
	v.mnt, err = fs.New(life, o.mountpoint, fs.Options{
		Client: v.client, Store: v.store, Blocks: v.blocks, Prefix: o.prefix, Defaults: defaults, Changes: changes, Attrs: attrs, MemoryBytes: o.namesMemory(),
		MetaTTL: max(o.metaTTL, always), NegativeTTL: max(o.negativeTTL, always),
		Consistency: fs.Consistency(o.consistent), Attributes: fs.AttributeSource(o.stat),
		ReadOnly: o.readOnly, AllowOther: o.allowOther, FsName: o.fsName(), Shown: o.shown(), MountFlags: o.mountFlags,
		Fusermount: os.Getuid() != 0, Logger: log,
	})
	if errors.Is(err, os.ErrPermission) {
		return machineError("a container needs --cap-add SYS_ADMIN and --device /dev/fuse", "%w", err)
	} else if err != nil {
		return machineError("\"dmesg | tail\" may tell more", "%w", err)
	}
	return nil
}

// probe makes sure that the service answers and lets us in, before anything is mounted. It needs no
// right to write. The client it uses gives up sooner than that of the mount. versioned says that the bucket
// is known to keep versions, or to have kept them.
func probe(ctx context.Context, o *mountOptions, opt cos.Options, say func(string)) (versioned bool, err error) {
	opt.Attempts, opt.DialTimeout = probeAttempts, probeDial
	client, err := cos.New(opt)
	if err != nil {
		return false, usageError("see \"cosfuse mount --help\"", "%w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	now := time.Now
	if opt.Clock != nil {
		now = opt.Clock
	}
	info, err := client.HeadBucket(ctx)
	if err == nil {
		opt.Logger.Info("bucket answers", "source", o.bucket, "region", info.Region,
			"versioning", info.Versioning, "multi_az", info.MAZ, "ofs", info.OFS)
		tellClock(now(), info.ServerTime, say)
		if info.OFS {
			say("this bucket has metadata acceleration: renaming and listing may differ from what the manual says")
		}
		return info.Versioning != "" && info.Versioning != cos.VersioningUnknown, nil
	}
	// The answer to a HEAD has no body and so no reason; and some who may not ask for the bucket may
	// list what is below their prefix.
	page, listErr := client.List(ctx, &cos.ListOptions{Prefix: o.prefix, MaxKeys: 1})
	if listErr == nil {
		tellClock(now(), page.ServerTime, say)
		return false, nil
	}
	return false, explain(listErr, o)
}

// tellClock tells of a clock that is off.
func tellClock(local, server time.Time, say func(string)) {
	off := server.Sub(local)
	if server.IsZero() || off.Abs() < tellSkew {
		return
	}
	direction := "behind"
	if off < 0 {
		direction = "ahead of"
	}
	say(fmt.Sprintf("the clock of this machine is %v %s the service's; requests are signed with the service's time, "+
		"but do set it: timedatectl set-ntp true", off.Abs().Round(time.Second), direction))
}

// Wait returns when nothing is mounted any more.
func (v *bucketVolume) Wait() { v.mnt.Wait() }

// Unmount fails if the mount is in use.
func (v *bucketVolume) Unmount() error { return v.mnt.Unmount() }

// Detach unmounts lazily.
func (v *bucketVolume) Detach() error {
	if os.Getuid() == 0 {
		return v.mnt.Detach()
	}
	return unmount(context.Background(), v.path, true) // fusermount3 may do what we may not
}

// Sync commits everything written so far.
func (v *bucketVolume) Sync(ctx context.Context) error { return v.store.Sync(ctx, "") }

// Writes is what is not committed.
func (v *bucketVolume) Writes() keeper { return v.store }

// Reads is what is cached.
func (v *bucketVolume) Reads() reader { return volumeReads{v.mnt, v.blocks} }

// Close commits what is left. Its error is about that only if it is from the store.
func (v *bucketVolume) Close(ctx context.Context) error { return v.release(ctx) }

// release gives back what there is, last acquired first.
func (v *bucketVolume) release(ctx context.Context) error {
	var errs []error
	if v.store != nil {
		errs = append(errs, v.store.Close(ctx))
	}
	if v.blocks != nil {
		v.blocks.Close()
	}
	v.notes.Close()
	if v.drop != nil {
		_ = v.drop() // else the next mount does it
	}
	if v.client != nil {
		errs = append(errs, v.client.Close())
	}
	if v.server != nil {
		errs = append(errs, v.server.close(ctx))
	}
	return errors.Join(errs...)
}
