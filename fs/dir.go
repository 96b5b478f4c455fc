package fs

import (
	"context"
	"slices"
	"strings"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"cosfuse/cache"
	"cosfuse/writeback"
)

// dirHandle is one opendir(3): a listing with our own changes laid over it, frozen until rewinddir,
// in the order of names. go-fuse calls it from one goroutine at a time.
type dirHandle struct {
	n       *node
	key     string
	listing *cache.Listing // nil until the first read
	locals  []localName
	at      cursor
	off     uint64 // entries handed out before at
}

// cursor is a position in the listing and the local names.
type cursor struct {
	i, j   int
	second *fuse.DirEntry // the object that a directory hides comes right after it
}

var (
	_ gofs.FileReaddirenter = (*dirHandle)(nil)
	_ gofs.FileLookuper     = (*dirHandle)(nil)
	_ gofs.FileSeekdirer    = (*dirHandle)(nil)
)

// localName is what the Store knows of a name in the directory.
type localName struct {
	seg string
	dir bool
	l   writeback.Local
}

// OpendirHandle opens the directory. The listing is asked for at the first read.
func (n *node) OpendirHandle(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return &dirHandle{n: n}, 0, 0
}

// load takes the listing and our own changes. An error on any page is an error, never an empty or
// shortened directory.
func (d *dirHandle) load(ctx context.Context) error {
	ctx, done := patient(ctx)
	defer done()
	m := d.n.m
	key, err := m.tree.key(ctx, d.n)
	if err != nil {
		if m.tree.isGone(d.n) { // removed while open: empty
			d.listing = &cache.Listing{}
			return nil
		}
		return err
	}
	l, err := m.list(ctx, key)
	if err != nil {
		return err
	}
	d.key, d.listing, d.locals = key, l, m.localNames(key)
	d.at, d.off = cursor{}, 0
	m.listAhead(d.n, key)
	return nil
}

// localNames returns the Store's names in the directory key, ordered like a listing.
func (m *Mount) localNames(key string) []localName {
	var names []localName
	for _, l := range m.o.Store.LocalChildren(key) {
		seg := strings.TrimPrefix(l.Key, key)
		dir := isDirKey(seg)
		names = append(names, localName{seg: strings.TrimSuffix(seg, "/"), dir: dir, l: l})
	}
	slices.SortFunc(names, func(a, b localName) int { return strings.Compare(a.seg, b.seg) })
	return names
}

// Readdirent returns the next entry, nil at the end.
func (d *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if d.listing == nil {
		if err := d.load(ctx); err != nil {
			return nil, d.n.m.fail("readdir", d.n.label(), err)
		}
	}
	e, ok := d.step()
	if !ok {
		return nil, 0
	}
	d.off++
	e.Off = d.off
	return &e, 0
}

// Seekdir goes to the entry after the one with cookie off. 0 is rewinddir, which looks at the
// directory anew.
func (d *dirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	if off == 0 || d.listing == nil {
		d.listing, d.off = nil, 0
		if err := d.load(ctx); err != nil {
			return d.n.m.fail("readdir", d.n.label(), err)
		}
	}
	d.at, d.off = cursor{}, 0
	for d.off < off {
		if _, ok := d.step(); !ok {
			break
		}
		d.off++
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

// step returns the entry at the present position and goes on.
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

// take merges everything about the next component. What the Store says goes before the listing.
func (d *dirHandle) take() (v view, ok bool) {
	entries, c := d.listing.Entries, &d.at
	switch {
	case c.i < len(entries) && c.j < len(d.locals):
		v.seg = min(entries[c.i].Name, d.locals[c.j].seg)
	case c.i < len(entries):
		v.seg = entries[c.i].Name
	case c.j < len(d.locals):
		v.seg = d.locals[c.j].seg
	default:
		return v, false
	}
	for ; c.i < len(entries) && entries[c.i].Name == v.seg; c.i++ {
		if entries[c.i].Dir {
			v.dir = true
			continue
		}
		v.file, v.mode = true, d.n.m.listedType(d.key+v.seg, &entries[c.i])
	}
	for ; c.j < len(d.locals) && d.locals[c.j].seg == v.seg; c.j++ {
		switch l := &d.locals[c.j]; {
		case l.dir:
			v.dir = !l.l.Deleted
		case l.l.Deleted:
			v.file = false
		default:
			v.file = true
			if a := l.l.Attr; l.l.File != nil {
				v.mode = l.l.File.Stat().Attr.Mode
			} else if a.Known {
				v.mode = a.Mode
			}
		}
	}
	return v, true
}

// listedType returns the type of a listed object: a small one may be a symbolic link or a special
// file, which only its metadata tells.
func (m *Mount) listedType(key string, e *cache.Entry) uint32 {
	if e.Size > maxTargetBytes {
		return syscall.S_IFREG
	}
	if f, ok := m.facts.recall(key, e); ok {
		return f.attr.Mode
	}
	return 0
}
