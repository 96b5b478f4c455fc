package fs

import (
	"context"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/writeback"
)

// propertyPrefix is where the properties of an object are among its extended attributes.
const propertyPrefix = "user.cos."

// property reads one property of o. Only the ACL of an object in COS costs a request.
func (m *Mount) property(ctx context.Context, o *object, name string) (value string, ok bool, err error) {
	if value, ok = o.attr.Property(o.key, name); ok {
		return value, true, nil
	}
	switch {
	case o.ver.Absent() && name == "acl":
		return "default", !o.bare, nil
	case o.ver.Absent():
		return "", false, nil
	case name == "acl":
		return m.canned(ctx, o.key)
	case o.dirty: // the bytes are not those that COS told of
		return "", false, nil
	}
	value, ok = o.ver.Fact(name)
	return value, ok, nil
}

// canned asks for the ACL of an object. One that is none of COS's canned ones is "custom".
func (m *Mount) canned(ctx context.Context, key string) (value string, ok bool, err error) {
	acl, err := m.o.Client.ObjectACL(ctx, key)
	switch {
	case errors.Is(err, cos.ErrNotFound):
		return "", false, syscall.ESTALE
	case err != nil:
		return "", false, err
	case acl.Canned == "":
		return "custom", true, nil
	}
	return acl.Canned, true, nil
}

// setProperty sets a property. It is sent as other attributes are: with the bytes if some wait, else by a copy of
// the object onto itself.
func (n *node) setProperty(ctx context.Context, name, value string, flags uint32) syscall.Errno {
	if value == "" {
		return syscall.EINVAL // a header cannot be there and empty
	}
	return n.changeProperty(ctx, "setxattr", name, value, flags)
}

// changeProperty sets a property, or removes it if value is empty.
func (n *node) changeProperty(ctx context.Context, op, name, value string, flags uint32) syscall.Errno {
	key := n.label()
	return n.changeAttr(ctx, op, func(a *writeback.Attr) error {
		changed := *a
		if err := changed.SetProperty(name, value); err != nil {
			return err
		}
		switch _, exists := a.Property(key, name); {
		case exists && flags&unix.XATTR_CREATE != 0:
			return syscall.EEXIST
		case !exists && flags&unix.XATTR_REPLACE != 0 && name != "acl": // that there always is
			return syscall.ENODATA
		}
		*a = changed
		return nil
	})
}
