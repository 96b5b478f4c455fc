package fs

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// dirHandle is one opendir(3): a listing with our own changes laid over it, which is shown while its pages
// arrive. What the first page shows, and which changes are laid over it, is settled by the first read, until
// rewinddir. go-fuse calls it from one goroutine at a time.
type dirHandle struct {
	n      *node
	key    string
	stream *cache.ListingStream // nil until the first read, and if there is nothing to read
	loaded bool
	ended  bool                 // the stream was read to its end
	locals map[string]*override // our own changes, by name
	ghosts map[string]bool      // directories that are listed for deleted objects alone
	rest   []*override          // those of names that the listing does not show, once it has ended

	fresh []cache.Entry   // a part that came and is not taken in yet
	parts [][]cache.Entry // of the listing, read so far; but for the last nil if they are too many
	held  int             // entries in parts
	at    cursor
	off   uint64 // entries handed out before at

	request context.Context // of the kernel that the last entry was for: go-fuse makes one for each
	told    int             // entries for it
}

// cursor is a position in what is read and in the rest.
type cursor struct {
	part, i int
	rest    int
	second  *fuse.DirEntry // the object that a directory hides comes right after it
}

// Bounds of a dirHandle.
const (
	pagesAhead   = 2               // of a directory that is being read
	keptPatience = 2 * time.Second // with the service, where an older listing is at hand
	heldEntries  = 50_000          // remembered for seekdir, about 90 bytes each; in a larger directory it reads anew
)

var (
	_ gofs.FileReaddirenter = (*dirHandle)(nil)
	_ gofs.FileLookuper     = (*dirHandle)(nil)
	_ gofs.FileSeekdirer    = (*dirHandle)(nil)
	_ gofs.FileReleasedirer = (*dirHandle)(nil)
)

// override is what the Store knows of a name in the directory: of the file, of the directory, or both.
type override struct {
	seg       string
	file, dir *writeback.Local
	shown     bool // with what the listing tells of the name
}

// OpendirHandle opens the directory. The listing is asked for at the first read.
func (n *node) OpendirHandle(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return &dirHandle{n: n}, 0, 0
}

// Releasedir ends a listing under way that nobody else wants.
func (d *dirHandle) Releasedir(context.Context, uint32) { d.reset() }

// reset forgets what was read.
func (d *dirHandle) reset() {
	if d.stream != nil {
		d.stream.Close()
	}
	*d = dirHandle{n: d.n}
}

// load begins to read the listing, and takes our own changes.
func (d *dirHandle) load(ctx context.Context) error {
	m := d.n.m
	key, err := m.tree.key(ctx, d.n)
	if err != nil {
		if m.tree.isGone(d.n) { // removed while open: empty
			d.loaded, d.ended = true, true
			return nil
		}
		return err
	}
	d.reset()
	if d.stream, err = m.dirs.Stream(ctx, key, m.o.NegativeTTL); err != nil {
		return err
	}
	d.key, d.locals, d.ghosts = key, m.overrides(key), make(map[string]bool)
	if err := d.readFirst(ctx); err != nil {
		d.reset()
		return err
	}
	d.loaded = true
	d.stream.Ahead(pagesAhead)
	m.listAhead(d.n, key)
	return nil
}

// readFirst reads the first part. While the service does not answer, a listing within the TTL will do: that of a
// directory that was just looked at must not hang.
func (d *dirHandle) readFirst(ctx context.Context) error {
	m := d.n.m
	if _, _, ok := m.dirs.Peek(d.key); !ok {
		return d.read(ctx)
	}
	brief, cancel := context.WithTimeout(ctx, keptPatience)
	err := d.read(brief)
	cancel()
	if !unanswered(err) || ctx.Err() != nil {
		return err
	}
	d.stream.Close()
	if d.stream, err = m.dirs.Stream(ctx, d.key, m.o.MetaTTL); err != nil {
		return err
	}
	return d.read(ctx)
}

// unanswered reports whether err says that the service did not answer, whatever it would have said.
func unanswered(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cos.ErrTransport) || errors.Is(err, cos.ErrStalled)
}

// ghosts returns the directories in a part of a listing of key, begun at started, that are there for objects alone
// which were deleted here and whose deletion waits.
func (m *Mount) ghosts(ctx context.Context, key string, part []cache.Entry, started time.Time) (map[string]bool, error) {
	if !m.o.Store.RemovedBelow(key, started) {
		return nil, nil
	}
	out := make(map[string]bool)
	for i := range part {
		sub := key + part[i].Name + "/"
		if !part[i].Dir || !m.o.Store.RemovedBelow(sub, started) || m.hasLocalChildren(sub) {
			continue
		}
		below, marker, err := m.firstBelow(ctx, sub, 1)
		if err != nil {
			return nil, err
		}
		if !below && !marker {
			out[part[i].Name] = true
		}
	}
	return out, nil
}

// overrides returns what the Store knows of names in the directory key.
func (m *Mount) overrides(key string) map[string]*override {
	children := m.o.Store.LocalChildren(key)
	out := make(map[string]*override, len(children))
	for i := range children {
		seg := strings.TrimPrefix(children[i].Key, key)
		name := strings.TrimSuffix(seg, "/")
		o := out[name]
		if o == nil {
			o = &override{seg: name}
			out[name] = o
		}
		if isDirKey(seg) {
			o.dir = &children[i]
		} else {
			o.file = &children[i]
		}
	}
	return out
}

// read waits for the next part of the listing. An error on any page is an error, never an empty or
// shortened directory; what it is about is read again by the next call.
func (d *dirHandle) read(ctx context.Context) error {
	m := d.n.m
	if d.fresh == nil {
		part, err := d.stream.Next(ctx)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		d.fresh = part
	}
	ghosts, err := m.ghosts(ctx, d.key, d.fresh, d.stream.Started())
	if err != nil {
		return err
	}
	maps.Copy(d.ghosts, ghosts)
	if d.fresh != nil {
		d.askOldMarkers(ctx, d.fresh)
		d.hold(d.fresh)
	}
	if d.fresh = nil; d.stream.More() {
		return nil
	}
	return d.conclude(ctx)
}

// hold adds a part to what is read, and lets names in it be known until the listing is whole.
func (d *dirHandle) hold(part []cache.Entry) {
	if d.held += len(part); d.held > heldEntries && len(d.parts) > 0 {
		d.parts[len(d.parts)-1] = nil
	}
	d.parts = append(d.parts, part)
	if d.stream.More() {
		d.n.m.windows.add(d.key, part, d.stream.Started())
	}
}

// conclude draws conclusions from the listing, whose last part was read.
func (d *dirHandle) conclude(ctx context.Context) error {
	m := d.n.m
	l, err := d.stream.Listing(ctx)
	switch {
	case err == nil:
		m.listed(d.key, l)
		m.prove(l)
	case !errors.Is(err, cache.ErrLongListing):
		return err
	case len(d.parts) > 0:
		m.windows.add(d.key, d.parts[len(d.parts)-1], d.stream.Started())
	}
	d.ended = true
	for _, o := range d.locals {
		d.rest = append(d.rest, o)
	}
	slices.SortFunc(d.rest, func(a, b *override) int { return strings.Compare(a.seg, b.seg) })
	return nil
}

// Readdirent returns the next entry, nil at the end. It returns nil, too, to end an answer that has entries when
// the next one has to be waited for: the kernel hands out what it got, and asks for more.
func (d *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if ctx != d.request {
		d.request, d.told = ctx, 0
	}
	if d.told > 0 && d.mustWait() {
		return nil, 0
	}
	ctx, done := patient(ctx)
	defer done()
	e, ok, err := d.next(ctx)
	if err != nil {
		return nil, d.n.m.fail("readdir", d.n.label(), err)
	}
	if !ok {
		return nil, 0
	}
	e.Off = d.off
	d.told++
	return &e, 0
}

// mustWait reports whether the next entry, or the end, is not here yet.
func (d *dirHandle) mustWait() bool {
	c := d.at
	return d.loaded && !d.ended && c.second == nil &&
		(c.part == len(d.parts) || c.part == len(d.parts)-1 && c.i == len(d.parts[c.part])) && !d.stream.Ready()
}

// next returns the entry at the present position and goes on; ok is false at the end.
func (d *dirHandle) next(ctx context.Context) (e fuse.DirEntry, ok bool, err error) {
	if !d.loaded {
		if err := d.load(ctx); err != nil {
			return e, false, err
		}
	}
	for {
		if e, ok = d.step(); ok {
			d.off++
			return e, true, nil
		}
		if d.ended {
			return e, false, nil
		}
		if err := d.read(ctx); err != nil {
			return e, false, err
		}
	}
}

// Seekdir goes to the entry after the one with cookie off. 0 is rewinddir, which looks at the
// directory anew.
func (d *dirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	if off == d.off && off != 0 {
		return 0
	}
	if off == 0 || d.held > heldEntries {
		d.reset()
	}
	for _, o := range d.locals {
		o.shown = false
	}
	d.at, d.off = cursor{}, 0
	for off == 0 && !d.loaded || d.off < off {
		if !d.loaded {
			if err := d.load(ctx); err != nil {
				return d.n.m.fail("readdir", d.n.label(), err)
			}
			continue
		}
		if _, ok, err := d.next(ctx); err != nil {
			return d.n.m.fail("readdir", d.n.label(), err)
		} else if !ok {
			break
		}
	}
	return 0
}

// Lookup answers the lookups of READDIRPLUS with what is known. For the rest any error gives the name
// alone, and the kernel asks again if somebody wants to know.
func (d *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	child, err := d.n.lookup(ctx, name, out, false)
	if err != nil {
		return nil, syscall.EAGAIN
	}
	return &child.Inode, 0
}

// step returns the entry at the present position, of what is read, and goes on.
func (d *dirHandle) step() (e fuse.DirEntry, ok bool) {
	if d.at.second != nil {
		e, d.at.second = *d.at.second, nil
		return e, true
	}
	for {
		v, ok := d.take()
		if !ok {
			return fuse.DirEntry{}, false
		}
		if v.dir && v.mode&typeMask == syscall.S_IFDIR {
			v.file = false // an old marker
		}
		var shown []fuse.DirEntry
		if v.dir {
			shown = appendEntry(shown, component{seg: v.seg}, syscall.S_IFDIR)
		}
		if v.file {
			shown = appendEntry(shown, component{seg: v.seg, hidden: v.dir}, v.mode)
		}
		switch len(shown) {
		case 2:
			d.at.second = &shown[1]
			return shown[0], true
		case 1:
			return shown[0], true
		}
	}
}

// appendEntry adds an entry unless its name would be too long to be one.
func appendEntry(to []fuse.DirEntry, c component, mode uint32) []fuse.DirEntry {
	name, ok := c.name()
	if !ok {
		return to
	}
	return append(to, fuse.DirEntry{Name: name, Mode: mode & typeMask})
}

// view is what one component is at present.
type view struct {
	seg       string
	file, dir bool
	mode      uint32 // of the file; 0: only HEAD tells the type
}

// take tells everything about the next component that is read. What the Store says goes before the listing.
func (d *dirHandle) take() (v view, ok bool) {
	c := &d.at
	for c.part < len(d.parts) && c.i == len(d.parts[c.part]) {
		c.part, c.i = c.part+1, 0
	}
	if c.part < len(d.parts) {
		return d.takeListed(), true
	}
	for ; d.ended && c.rest < len(d.rest); c.rest++ {
		if o := d.rest[c.rest]; !o.shown {
			c.rest++
			return o.over(view{seg: o.seg}), true
		}
	}
	return v, false
}

// takeListed is take for a component that the listing shows.
func (d *dirHandle) takeListed() view {
	entries, c := d.parts[d.at.part], &d.at
	v := view{seg: entries[c.i].Name}
	for ; c.i < len(entries) && entries[c.i].Name == v.seg; c.i++ {
		if entries[c.i].Dir {
			v.dir = !d.ghosts[v.seg]
			continue
		}
		v.file, v.mode = true, d.n.m.listedType(d.key+v.seg, &entries[c.i])
	}
	if o := d.locals[v.seg]; o != nil {
		o.shown = true
		return o.over(v)
	}
	return v
}

// over lays our own changes over v.
func (o *override) over(v view) view {
	if o.dir != nil {
		v.dir = !o.dir.Deleted
	}
	switch l := o.file; {
	case l == nil:
	case l.Deleted:
		v.file = false
	default:
		v.file = true
		if l.File != nil {
			v.mode = l.File.Stat().Attr.Mode
		} else if l.Attr.Known {
			v.mode = l.Attr.Mode
		}
	}
	return v
}

// listedType returns the type of a listed object: a small one may be a symbolic link or a special
// file, which only its metadata tells.
func (m *Mount) listedType(key string, e *cache.Entry) uint32 {
	if e.Size > maxTargetBytes || m.plainly() {
		return syscall.S_IFREG
	}
	if f, ok := m.facts.recall(key, e); ok {
		return f.attr.Mode
	}
	return 0
}
