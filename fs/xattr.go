package fs

import (
	"context"
	"maps"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cosfuse/writeback"
)

// userPrefix is the namespace of extended attributes that objects can carry.
const userPrefix = "user."

// Getxattr reads an attribute. Only user.* is kept in objects; the kernel asks for
// security.capability before every write, and must be answered at once.
func (n *node) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	if strings.HasPrefix(attr, "system.") {
		return 0, syscall.EOPNOTSUPP
	}
	if !strings.HasPrefix(attr, userPrefix) {
		return 0, syscall.ENODATA
	}
	ctx, done := patient(ctx)
	defer done()
	o, err := n.m.stat(ctx, n)
	if err != nil {
		return 0, n.m.fail("getxattr", n.label(), err)
	}
	if name, is := strings.CutPrefix(attr, propertyPrefix); is {
		text, ok, err := n.m.property(ctx, &o, name)
		if err != nil {
			return 0, n.m.fail("getxattr", n.label(), err)
		}
		if !ok {
			return 0, syscall.ENODATA
		}
		return fillXattr(dest, []byte(text))
	}
	value, ok := o.attr.Xattrs[attr]
	if !ok {
		return 0, syscall.ENODATA
	}
	return fillXattr(dest, value)
}

// fillXattr answers with value, or with its size if the caller has no room and asks for that.
func fillXattr(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}

// Listxattr lists the attributes that were set, in the order of their names, and before them the properties that
// tell something and can be set: who copies attributes will try to.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	ctx, done := patient(ctx)
	defer done()
	o, err := n.m.stat(ctx, n)
	if err != nil {
		return 0, n.m.fail("listxattr", n.label(), err)
	}
	var list []byte
	for _, name := range o.attr.Properties(o.key) {
		list = append(append(append(list, propertyPrefix...), name...), 0)
	}
	for _, name := range slices.Sorted(maps.Keys(o.attr.Xattrs)) {
		list = append(append(list, name...), 0)
	}
	return fillXattr(dest, list)
}

// Setxattr sets a user.* attribute. Names and values of all share the object's 2 KB of metadata with
// mode, owner and times: what does not fit is ENOSPC.
func (n *node) Setxattr(ctx context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	if !strings.HasPrefix(attr, userPrefix) || attr == userPrefix || n.m.plainly() {
		return syscall.EOPNOTSUPP
	}
	if name, is := strings.CutPrefix(attr, propertyPrefix); is {
		return n.setProperty(ctx, name, string(data), flags)
	}
	value := slices.Clone(data) // data is the kernel's buffer
	return n.changeXattrs(ctx, "setxattr", func(x map[string][]byte) error {
		_, exists := x[attr]
		switch {
		case exists && flags&unix.XATTR_CREATE != 0:
			return syscall.EEXIST
		case !exists && flags&unix.XATTR_REPLACE != 0:
			return syscall.ENODATA
		}
		x[attr] = value
		return nil
	})
}

// Removexattr removes a user.* attribute.
func (n *node) Removexattr(ctx context.Context, attr string) syscall.Errno {
	if strings.HasPrefix(attr, "system.") {
		return syscall.EOPNOTSUPP
	}
	if name, is := strings.CutPrefix(attr, propertyPrefix); is {
		return n.changeProperty(ctx, "removexattr", name, "", unix.XATTR_REPLACE)
	}
	return n.changeXattrs(ctx, "removexattr", func(x map[string][]byte) error {
		if _, exists := x[attr]; !exists {
			return syscall.ENODATA
		}
		delete(x, attr)
		return nil
	})
}

// changeXattrs changes a copy of the attributes and, if change agrees, sets it.
func (n *node) changeXattrs(ctx context.Context, op string, change func(map[string][]byte) error) syscall.Errno {
	return n.changeAttr(ctx, op, func(a *writeback.Attr) error {
		x := make(map[string][]byte, len(a.Xattrs)+1)
		maps.Copy(x, a.Xattrs)
		if err := change(x); err != nil {
			return err
		}
		a.Xattrs = x
		return nil
	})
}

// changeAttr changes what an object carries besides its bytes.
func (n *node) changeAttr(ctx context.Context, op string, change func(*writeback.Attr) error) syscall.Errno {
	ctx, done := patient(ctx)
	defer done()
	if err := n.m.renewMarker(ctx, n); err != nil {
		return n.m.fail(op, n.label(), err)
	}
	f, err := n.m.acquire(ctx, n)
	if err != nil {
		return n.m.fail(op, n.label(), err)
	}
	defer f.Release()
	if err := f.SetAttr(change); err != nil {
		return n.m.fail(op, n.label(), err)
	}
	n.m.facts.drop(f.Stat().Key)
	return 0
}
