package fs

import (
	"context"
	"errors"
	"syscall"

	"cosfuse/cache"
)

// keyOf is KeyOf for the mount.
func (m *Mount) keyOf(path string) (string, error) {
	key, _, err := KeyOf(m.o.Prefix, path)
	return key, err
}

// dirKeyOf is key as that of a directory.
func (m *Mount) dirKeyOf(key string) string {
	if key == m.o.Prefix {
		return key
	}
	return key + "/"
}

// Refresh drops what is cached of names, attributes and listings at path and below it, in the kernel too,
// and asks for path anew. Bytes stay: they belong to versions. It must not be called by a handler of the
// mount. The error is that of asking; what was to be dropped is, all the same.
func (m *Mount) Refresh(ctx context.Context, path string) error {
	key, err := m.keyOf(path)
	if err != nil {
		return err
	}
	dirKey := m.dirKeyOf(key)
	m.facts.dropTree(dirKey)
	if n := m.tree.find(m.root, key); n == nil || n.IsDir() {
		m.o.Attrs.clear() // what of it is below a directory cannot be told there
	}
	m.dirs.DropTree(dirKey)
	m.windows.drop(dirKey)
	m.born.DropPrefix(dirKey)
	if key != m.o.Prefix {
		parent, _ := splitKey(key)
		m.facts.drop(key)
		m.facts.drop(dirKey)
		m.dirs.Drop(parent)
		m.windows.drop(parent)
		m.born.Drop(parent)
	}
	for _, k := range []string{key, dirKey} {
		if n := m.tree.find(m.root, k); n != nil {
			m.tree.walk(n, m.dismiss)
		}
	}
	l, err := m.list(ctx, dirKey)
	if errors.Is(err, cache.ErrLongListing) {
		return nil
	}
	if err != nil || key == m.o.Prefix || !l.Empty() {
		return err
	}
	_, _, err = m.facts.head(ctx, key)
	return err
}

// dismiss makes the kernel drop the name, the attributes and the pages of n.
func (m *Mount) dismiss(n *node) {
	m.invalidate(n)
	dir, name := m.tree.entry(n)
	if dir == nil {
		return
	}
	switch errno := dir.NotifyEntry(name); errno {
	case 0, syscall.ENOENT, syscall.ENOSYS:
	default:
		m.log.Warn("kernel not told to forget a name", "ino", n.StableAttr().Ino, "err", errno)
	}
}
