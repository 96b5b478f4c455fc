package fs

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cache"
)

// An old marker is an object "a" that stands for the directory a: empty, with the mode or content type of one.
// Early versions of s3fs and of its kin made them, and COSFS still takes them for directories. So does a mount,
// with the attributes they carry. What would change the directory's name or attributes puts a marker "a/" in its
// place first.

// isOldMarker is true of what was found out about an object.
func isOldMarker(o *object) bool {
	return !isDirKey(o.key) && o.attr.Mode&typeMask == syscall.S_IFDIR
}

// oldDirectory is the directory that the old marker o stands for.
func oldDirectory(o object) object {
	o.attr.Mtime = o.mtime()
	return object{key: o.key + "/", attr: o.attr, bare: true, old: true, asked: o.asked}
}

// resolveOld turns what answer found for q into what the name shows: an old marker is a directory, has no alias
// beside it, and lends its attributes to one that has no marker of its own.
func (m *Mount) resolveOld(ctx context.Context, dir *node, q question, o object, hidden, online bool) (object, error) {
	switch {
	case isOldMarker(&o) && hidden:
		return object{}, syscall.ENOENT
	case isOldMarker(&o):
		return oldDirectory(o), nil
	case !isDirKey(o.key) || !m.maybeOld(&q):
		return o, nil
	}
	file, err := m.fileObject(ctx, dir, q, online)
	if err != nil {
		return object{}, err
	}
	if !isOldMarker(&file) {
		return o, nil
	}
	if o.bare {
		return oldDirectory(file), nil
	}
	o.old = true
	return o, nil
}

// maybeOld is true of an empty object beside a directory.
func (m *Mount) maybeOld(q *question) bool {
	if q.hasLocal && q.local.Deleted {
		return false
	}
	if q.file != nil {
		return q.file.Size == 0
	}
	f, _, ok := m.facts.known(q.key, q.local.At, q.now)
	return ok && f.found && f.ver.Size == 0
}

// lendAttr gives the directory o, which n is, the attributes of its old marker.
func (m *Mount) lendAttr(ctx context.Context, n *node, o object) (object, error) {
	if !o.bare {
		return o, nil
	}
	file, found, err := m.oldMarkerOf(ctx, n, o.key)
	if err != nil || !found {
		return o, err
	}
	return oldDirectory(file), nil
}

// oldMarkerOf describes the old marker of n, the directory key, if it has one.
func (m *Mount) oldMarkerOf(ctx context.Context, n *node, key string) (file object, found bool, err error) {
	if !n.hasOldMarker() {
		return object{}, false, nil
	}
	key = key[:len(key)-1]
	f, asked, ok := m.facts.known(key, time.Time{}, m.o.Now())
	if !ok {
		if f, asked, err = m.facts.head(ctx, key); err != nil {
			return object{}, false, err
		}
	}
	file = m.factObject(key, f, asked)
	if found = f.found && isOldMarker(&file); !found {
		n.setOldMarker(false)
	}
	return file, found, nil
}

// renewMarker puts a marker of today in the place of n's old one, if it has one. The new one is in COS before the
// old one is deleted.
func (m *Mount) renewMarker(ctx context.Context, n *node) error {
	if !n.hasOldMarker() {
		return nil
	}
	f, err := m.acquire(ctx, n)
	if err != nil {
		return err
	}
	defer f.Release()
	key := f.Stat().Key
	if err := m.o.Store.SyncKey(ctx, key); err != nil {
		return err
	}
	return m.dropOldMarker(ctx, n, key)
}

// dropOldMarker deletes the old marker of n, the directory key, if it has one.
func (m *Mount) dropOldMarker(ctx context.Context, n *node, key string) error {
	old, found, err := m.oldMarkerOf(ctx, n, key)
	if err != nil || !found {
		return err
	}
	f := m.o.Store.Acquire(old.key, old.ver, old.attr)
	defer f.Release()
	if err := m.o.Store.Remove(f); err != nil {
		return err
	}
	m.facts.drop(old.key)
	n.setOldMarker(false)
	return nil
}

// askOldMarkers finds out which empty objects beside directories in a part of the listing are old markers: those
// have no entry of their own. One that cannot be asked keeps its entry.
func (d *dirHandle) askOldMarkers(ctx context.Context, entries []cache.Entry) {
	m := d.n.m
	var g errgroup.Group
	g.SetLimit(statFanOut)
	for i := 1; i < len(entries); i++ {
		e, other := &entries[i-1], &entries[i]
		if e.Name != other.Name {
			continue
		}
		if e.Dir {
			e = other
		}
		key := d.key + e.Name
		if _, known := m.facts.recall(key, e); e.Size != 0 || known {
			continue
		}
		g.Go(func() error {
			_, _, err := m.facts.headListed(ctx, key, e)
			return err
		})
	}
	_ = g.Wait() // as told above
}

// hasOldMarker reports whether an old marker stands for the directory.
func (n *node) hasOldMarker() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.old
}

// setOldMarker notes whether one does.
func (n *node) setOldMarker(old bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.old = old
}
