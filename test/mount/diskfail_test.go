package mount

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"cosfuse/test/internal/mounttest"
)

// wantTwice reads a file twice, the second time without the kernel's pages.
func wantTwice(t *testing.T, v *mounttest.Volume, name string, content []byte) {
	t.Helper()
	for range 2 {
		wantFile(t, v.Path(name), content)
		dropPages(t, v.Path(name))
	}
}

// TestCacheDiskThatIsFull keeps blocks on a disk that is smaller than the cache may be: it holds fewer.
func TestCacheDiskThatIsFull(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 1 << 30})
	content := noise(1, 24<<20)
	put(t, v.Bucket, "f", content)
	v.Stop(t)
	must(t, unix.Mount("tmpfs", v.Kept, "tmpfs", 0, "size=4m"))
	defer func() { must(t, unix.Unmount(v.Kept, 0)) }()
	v.Remount(t)
	wantTwice(t, v, "f", content)
	if u := v.Blocks.DiskUsage(); !u.Enabled || u.Bytes > 4<<20 || u.Evictions == 0 {
		t.Errorf("usage of a disk of 4 MiB: %+v", u)
	}
	v.Stop(t) // before its disk goes
}

// TestCacheDirectoryThatIsRemoved takes the files of the cache away under a mount, which goes on without
// them.
func TestCacheDirectoryThatIsRemoved(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 64 << 20})
	first, second := noise(1, 6<<20), noise(2, 24<<20)
	put(t, v.Bucket, "first", first)
	put(t, v.Bucket, "second", second)
	wantFile(t, v.Path("first"), first)
	must(t, os.RemoveAll(v.Kept))
	wantTwice(t, v, "second", second)
	if u := v.Blocks.DiskUsage(); u.Enabled {
		t.Errorf("the disk that failed is still in use: %+v", u)
	}
	wantFile(t, v.Path("first"), first)
	v.Remount(t) // makes it anew
	wantFile(t, v.Path("second"), second)
	dropPages(t, v.Path("second"))
	wantNoData(t, v, "second", second)
}
