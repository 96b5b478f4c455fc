package cache

import "cosfuse/cache/internal/disk"

// Has reports whether all of the object is in memory, under way or, as far as is known, on disk. It does
// not block.
func (b *Blocks) Has(id ObjectID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[id]
	if !ok {
		if b.disk == nil {
			return id.Size == 0
		}
		o = &object{id: id, disk: disk.NewObject(id.Key, id.ETag, id.Size, b.o.BlockBytes)}
	}
	r := &Reader{b: b, obj: o}
	for idx := range b.count(o) {
		if !r.knownLocked(idx) && !b.onDisk(o, idx) {
			return false
		}
	}
	return true
}
