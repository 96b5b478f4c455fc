package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// smallDisk mounts a file system of so many bytes for the time of the test.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	mounttest.NeedFUSE(t) // and so root
	dir := t.TempDir()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)))
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return filepath.Join(dir, "cache")
}

// fill writes blocks of 1 MiB, up to size, until that fails, and returns how many bytes were written.
func fill(f *os.File, size int) (written int, err error) {
	block := noise(7, 1<<20)
	for written < size {
		n, err := f.Write(block)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// TestFullCacheDisk fills the disk of the cache directory. The write that does not fit fails, not the close; of
// that file nothing is committed until it is cut to nothing or opened anew; everybody else goes on.
func TestFullCacheDisk(t *testing.T) {
	const disk = 40 << 20
	v := mounttest.New(t, mounttest.Options{Cache: smallDisk(t, disk), Store: writeback.Options{Background: true, MultipartThreshold: 1 << 30}})
	put(t, v.Bucket, "there", []byte("there"))
	remove := v.Server.AddRule(cosserver.Rule{Op: "PutObject", Key: "waits*", Action: cosserver.Fail, Status: 403, Code: "AccessDenied"})
	waits := []byte("acknowledged before the disk was full")
	write(t, v.Path("waits"), waits)

	f, err := os.Create(v.Path("big"))
	must(t, err)
	n, err := fill(f, disk)
	wantErrno(t, fmt.Sprintf("write behind %d bytes", n), err, syscall.ENOSPC)
	if n == 0 {
		t.Error("nothing could be written at all")
	}
	_, err = f.WriteString("more")
	wantErrno(t, "write after the one that failed", err, syscall.EIO)
	wantErrno(t, "fsync", f.Sync(), syscall.EIO)
	wantFile(t, v.Path("there"), []byte("there"))
	must(t, os.Mkdir(v.Path("dir"), 0o755)) // the journal has room left
	must(t, os.Chmod(v.Path("there"), 0o600))
	if _, err := v.Client.Head(t.Context(), "big", nil); !errors.Is(err, cos.ErrNotFound) {
		t.Errorf("a file of which a write failed is in the bucket: %v", err)
	}

	must(t, f.Truncate(0))
	_, err = f.WriteAt([]byte("fits"), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	wantFile(t, v.Path("big"), []byte("fits"))
	write(t, v.Path("after"), []byte("after"))
	remove()
	v.Drain(t)
	for key, want := range map[string]string{"big": "fits", "after": "after", "waits": string(waits)} {
		if got, _ := object(t, v.Bucket, key); string(got) != want {
			t.Errorf("%s in the bucket is %.40q, want %q", key, got, want)
		}
	}
}

// TestFileLargerThanCacheDisk writes a file that never fits: what has arrived makes room for what follows.
func TestFileLargerThanCacheDisk(t *testing.T) {
	const disk, size = 80 << 20, 150 << 20
	v := mounttest.New(t, mounttest.Options{Cache: smallDisk(t, disk)})
	f, err := os.Create(v.Path("big"))
	must(t, err)
	n, err := fill(f, size)
	if err != nil || n != size {
		t.Fatalf("wrote %d of %d bytes: %v", n, size, err)
	}
	must(t, f.Close())
	info, err := v.Client.Head(t.Context(), "big", nil)
	must(t, err)
	var want uint64
	block := noise(7, 1<<20)
	for range size >> 20 {
		want = cos.CRC64Update(want, block)
	}
	if info.Size != size || info.CRC64 != want {
		t.Errorf("in the bucket: %d bytes, CRC64 %d, want %d and %d", info.Size, info.CRC64, size, want)
	}
}

// TestManyWritersStayInBudget has many writers share a staging budget that holds few of their files, on a service
// that is slow. The budget is kept; who does not get through hears of it from write, and who does has it all in
// the bucket in the end.
func TestManyWritersStayInBudget(t *testing.T) {
	const limit, writers, each = 8 << 20, 16, 2 << 20
	v := mounttest.New(t, mounttest.Options{Store: writeback.Options{Background: true, StagingBytes: limit}})
	v.Server.SetShape(cosserver.Shape{BytesPerSecond: 50e6})
	closed := make([]bool, writers)
	var g errgroup.Group
	for i := range writers {
		g.Go(func() error {
			f, err := os.Create(v.Path(fmt.Sprint("f", i)))
			if err != nil {
				return err
			}
			_, err = fill(f, each)
			if used, _ := v.Store.StagedBytes(); used > limit+writers*maxWrite {
				err = errors.Join(err, fmt.Errorf("%d bytes staged, the limit is %d", used, limit))
			}
			if errors.Is(err, syscall.ENOSPC) {
				if err := f.Close(); !errors.Is(err, syscall.EIO) {
					return fmt.Errorf("close after a write that failed: %w", err)
				}
				return nil
			}
			closed[i] = err == nil
			return errors.Join(err, f.Close())
		})
	}
	must(t, g.Wait())
	v.Server.SetShape(cosserver.Shape{})
	v.Drain(t)
	through := 0
	for i, ok := range closed {
		if !ok {
			continue
		}
		through++
		info, err := v.Client.Head(t.Context(), fmt.Sprint("f", i), nil)
		must(t, err)
		if info.Size != each {
			t.Errorf("f%d has %d bytes, want %d", i, info.Size, each)
		}
	}
	if through == 0 {
		t.Error("nobody got through")
	}
	if used, _ := v.Store.StagedBytes(); used > limit {
		t.Errorf("%d bytes staged when all is committed", used)
	}
}

// maxWrite is the most that the kernel hands over at once.
const maxWrite = 1 << 20
