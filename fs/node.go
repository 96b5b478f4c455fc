package fs

import (
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"

	"cosfuse/writeback"
)

const typeMask = syscall.S_IFMT

// node is one inode the kernel knows: a file, directory, symbolic link or special file. Identity is
// the node; its key changes when it is renamed.
type node struct {
	gofs.Inode
	m *Mount
	place
	habit habit // of a directory

	mu     sync.Mutex // guards the fields below; tree.mu may be taken inside
	file   *writeback.File
	opens  int               // handles that share file
	pages  writeback.Version // what the kernel's page cache holds; absent: nothing known
	last   object            // as last told to the kernel, for when the name is gone
	scan   scan              // of a directory: how its names are being asked for
	reads  scan              // of a directory: how its files are being read
	lists  scan              // of a directory: how its directories are being listed
	old    bool              // of a directory: an old marker stands for it
	tour   tour              // of a directory: how the files of its directories are being read
	strays int               // of a directory: names asked for one by one since it was made known
	target string            // of a symbolic link: as last read or made

	growths int           // times the file got longer elsewhere, and the kernel has not dropped its pages yet
	dropped chan struct{} // closed when growths is none again
	touched time.Time     // of a directory: when a name in it changed, unless its time was set since
}

// The interfaces of go-fuse that nodes implement. What is not here is refused by go-fuse, but for
// Unlink, Rmdir, Flush and Statfs, which it would let succeed silently.
var (
	_ gofs.NodeStatfser       = (*node)(nil)
	_ gofs.NodeGetattrer      = (*node)(nil)
	_ gofs.NodeSetattrer      = (*node)(nil)
	_ gofs.NodeGetxattrer     = (*node)(nil)
	_ gofs.NodeSetxattrer     = (*node)(nil)
	_ gofs.NodeListxattrer    = (*node)(nil)
	_ gofs.NodeRemovexattrer  = (*node)(nil)
	_ gofs.NodeReadlinker     = (*node)(nil)
	_ gofs.NodeOpener         = (*node)(nil)
	_ gofs.NodeCreater        = (*node)(nil)
	_ gofs.NodeTmpfiler       = (*node)(nil)
	_ gofs.NodeFsyncer        = (*node)(nil)
	_ gofs.NodeLookuper       = (*node)(nil)
	_ gofs.NodeOpendirHandler = (*node)(nil)
	_ gofs.NodeMkdirer        = (*node)(nil)
	_ gofs.NodeMknoder        = (*node)(nil)
	_ gofs.NodeLinker         = (*node)(nil)
	_ gofs.NodeSymlinker      = (*node)(nil)
	_ gofs.NodeUnlinker       = (*node)(nil)
	_ gofs.NodeRmdirer        = (*node)(nil)
	_ gofs.NodeRenamer        = (*node)(nil)
	_ gofs.NodeOnForgetter    = (*node)(nil)
)

// OnForget drops the node from our tree. It does no I/O.
func (n *node) OnForget() { n.m.tree.forget(n) }

// openFile returns the File that the node's handles share, or nil. It is valid at least until the
// last of them is released; the Store keeps its fields readable after that.
func (n *node) openFile() *writeback.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file
}

// hold makes f the File of the node's handles, and counts one more.
func (n *node) hold(f *writeback.File) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.file = f
	n.opens++
}

// unhold is the end of a handle.
func (n *node) unhold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens--; n.opens == 0 {
		n.file = nil
	}
}

// remember notes what the kernel was told of the node.
func (n *node) remember(o object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = o
}

// remembered returns what the kernel was told last.
func (n *node) remembered() object {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// rememberTarget notes where a symbolic link leads.
func (n *node) rememberTarget(target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target = target
}

// rememberedTarget returns where a symbolic link led last, "" if it was never read.
func (n *node) rememberedTarget() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target
}

// setPages notes which version the kernel's pages of the file are of.
func (n *node) setPages(v writeback.Version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pages = v
}

// pagesAre reports whether the kernel's pages, if it has any, are of version v.
func (n *node) pagesAre(v writeback.Version) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !v.Absent() && n.pages.Same(v)
}
