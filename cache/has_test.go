package cache

import "testing"

func TestHas(t *testing.T) {
	dir, s := t.TempDir(), newSource(3*mib)
	fillDisk(t, dir, s)
	for name, o := range map[string]BlocksOptions{
		"memory":   {ReadAheadBytes: -1},
		"disk too": {ReadAheadBytes: -1, Disk: &DiskOptions{Dir: dir}},
	} {
		b := newTestBlocks(t, o)
		if got, want := b.Has(s.id()), o.Disk != nil; got != want {
			t.Errorf("%s, before a read: %v, want %v", name, got, want)
		}
		r := b.Open(s.id(), s.fetch)
		mustRead(t, r, s, 0, 1)
		if got, want := b.Has(s.id()), o.Disk != nil; got != want {
			t.Errorf("%s, after a read of a part: %v, want %v", name, got, want)
		}
		mustRead(t, r, s, 0, 3*mib)
		b.cache.Wait()
		if !b.Has(s.id()) {
			t.Errorf("%s: what was read is not there", name)
		}
		other := s.id()
		other.ETag = "other"
		if b.Has(other) {
			t.Errorf("%s: another version is there", name)
		}
		r.Close()
		b.Close()
	}
}
