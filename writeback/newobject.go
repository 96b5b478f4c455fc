package writeback

import (
	"cmp"
	"path"
	"strings"
	"syscall"

	"cosfuse/cos"
)

// NewObjects is what objects get that are made by the mount, where nobody chose otherwise before their first
// commit. Objects that exist keep what they have. The zero value leaves everything to the service.
type NewObjects struct {
	ContentType  string // of files whose name suggests none; "" = application/octet-stream
	CacheControl string // of files
	ACL          string // of everything, as x-cos-acl
	SSE          cos.SSE
	Classes      []ClassRule    // of files: the first that matches
	Properties   []PropertyRule // of files: of those about one property, the first that matches; they win over the above
}

// PropertyRule gives files a property by how their names end.
type PropertyRule struct {
	Suffix      string // "" matches every file
	Name, Value string // as Attr.SetProperty takes them
}

// Check returns the error of Attr.SetProperty: nothing comes of such a rule.
func (r PropertyRule) Check() error { return new(Attr).SetProperty(r.Name, r.Value) }

// applyRules sets the properties that nobody chose for the file at key.
func (n *NewObjects) applyRules(a *Attr, key string) {
	for _, r := range n.Properties {
		if !strings.HasSuffix(key, r.Suffix) {
			continue
		}
		set := false
		if p := header(&a.Headers, r.Name); p != nil {
			set = *p != ""
		} else {
			_, set = a.Property(key, r.Name)
		}
		if !set {
			_ = a.SetProperty(r.Name, r.Value) // the rule was checked
		}
	}
}

// ClassRule gives files a storage class by their names.
type ClassRule struct {
	// Pattern is as in path.Match. With a slash in it, it is held against the path below the mount's prefix, else
	// against the last component; "" matches every file.
	Pattern string
	Class   string
}

// matches reports whether the rule is about the file at name, a path below the prefix. A malformed pattern
// matches nothing.
func (r ClassRule) matches(name string) bool {
	if r.Pattern == "" {
		return true
	}
	if !strings.Contains(r.Pattern, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(r.Pattern, name)
	return ok && err == nil
}

// bornLocked is f's attributes, completed by the mount's choices for new objects if f is one.
func (f *File) bornLocked() Attr {
	if !f.neverCommitted {
		return f.attr
	}
	return f.s.NewObjects.complete(f.attr, f.key, strings.TrimPrefix(f.key, f.s.Prefix))
}

// complete fills in what a leaves open, for a new object at key, which is name below the prefix.
func (n *NewObjects) complete(a Attr, key, name string) Attr {
	h := &a.Headers
	file := a.Mode&syscall.S_IFMT == syscall.S_IFREG && !isDirKey(key)
	if file {
		n.applyRules(&a, key)
	}
	if h.ACL == "" && h.GrantRead+h.GrantWrite+h.GrantReadACP+h.GrantWriteACP+h.GrantFullControl == "" {
		h.ACL = n.ACL
	}
	if h.SSE == (cos.SSE{}) {
		h.SSE = n.SSE
	}
	if !file {
		return a
	}
	h.CacheControl = cmp.Or(h.CacheControl, n.CacheControl)
	if _, ok := typeOfName(key); !ok {
		h.ContentType = cmp.Or(h.ContentType, n.ContentType)
	}
	for _, r := range n.Classes {
		if h.StorageClass == "" && r.matches(name) {
			h.StorageClass = r.Class
		}
	}
	return a
}

// appendableClass reports whether the service appends to new objects like this: not to those in some classes,
// and what it does with encrypted ones is nowhere written.
func appendableClass(h cos.Headers) bool {
	return !archived(h.StorageClass) && !strings.HasSuffix(h.StorageClass, "INTELLIGENT_TIERING") && h.SSE == (cos.SSE{})
}
