package gates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// readAll reads a file as a program that copies does, and returns its checksum.
func readAll(t testing.TB, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{f}, make([]byte, 128<<10))
	must(t, errors.Join(err, f.Close()))
	return sum.Sum64()
}

// dropPages makes the kernel forget the pages of a file, so that the next read reaches the mount.
func dropPages(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close()))
}

// TestSequentialRead reads a large object in order: each byte is received once, and none when it is read
// again, through the same mount or a later one.
func TestSequentialRead(t *testing.T) {
	size := int64(64 * mib)
	if long() {
		size = 1024 * mib
	}
	v := newVolume(t, mounttest.Options{Disk: 2 * size})
	content := noise(1, int(size))
	put(t, v.Bucket, "F", content)
	want := cos.CRC64(content)
	v.Server.SetShape(distant)
	read := func(what string, received int64) {
		t.Helper()
		u := v.Measure(t, func() {
			if got := readAll(t, v.Path("F")); got != want {
				t.Errorf("%s: other bytes, checksum %x, want %x", what, got, want)
			}
		})
		logOps(t, u)
		wantAtMost(t, "bytes received by "+what, u.Received(), received)
		wantAtMost(t, "GETs of "+what, u.Count("GetObject"), received/mib+32)
	}
	read("the first read", size+size/50)
	again := func(what string) {
		t.Helper()
		u := v.Measure(t, func() { readAll(t, v.Path("F")) })
		wantAtMost(t, "GETs of "+what, u.Count("GetObject"), 0)
	}
	dropPages(t, v.Path("F"))
	again("the second read")
	v.Remount(t)
	again("a read after a remount")
}

// TestRandomReads reads 4 KiB at 256 places of a large object, one after the other and by many readers.
func TestRandomReads(t *testing.T) {
	size := int64(64 * mib)
	if long() {
		size = 1024 * mib
	}
	const reads, bytesEach = 256, 4 << 10
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{LogSize: 1 << 12})
	content := noise(1, int(size))
	put(t, b, "F", content)
	b.Server.SetShape(distant)
	defer b.Server.SetShape(cosserver.Shape{})
	for _, readers := range []int{1, 16} {
		t.Run(fmt.Sprintf("%d readers", readers), func(t *testing.T) {
			v := b.Mount(t, mounttest.Options{Log: true})
			rng := rand.New(rand.NewPCG(1, uint64(readers)))
			offsets := make([]int64, reads)
			for i := range offsets {
				offsets[i] = rng.Int64N(size/bytesEach) * bytesEach
			}
			u := v.Measure(t, func() {
				var g errgroup.Group
				for part := range slices.Chunk(offsets, reads/readers) {
					g.Go(func() error { return readAt(v.Path("F"), part, content, bytesEach) })
				}
				must(t, g.Wait())
			})
			logOps(t, u)
			wantAtMost(t, "GETs", u.Count("GetObject"), reads)
			wantAtMost(t, "bytes received", u.Received(), 32*mib)
			if got := u.Stats["GetObject"].MaxInFlight; got < readers/2 {
				t.Errorf("%d GETs at the same time, want at least %d", got, readers/2)
			}
		})
	}
}

// readAt reads n bytes at each offset through one descriptor and compares them.
func readAt(path string, offsets []int64, content []byte, n int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, n)
	for _, off := range offsets {
		if _, err := f.ReadAt(buf, off); err != nil {
			return err
		}
		if !bytes.Equal(buf, content[off:off+n]) {
			return fmt.Errorf("other bytes at %d", off)
		}
	}
	return nil
}

// TestReopen opens an unchanged file and reads it once more, after a while.
func TestReopen(t *testing.T) {
	for _, tt := range []struct {
		name string
		how  fs.Consistency
		most int64
	}{{"close-to-open", fs.CloseToOpen, 1}, {"relaxed", fs.Relaxed, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			v := newStoppedVolume(t, mounttest.Options{FS: fs.Options{Consistency: tt.how}})
			put(t, v.Bucket, "f", noise(1, 16<<10))
			readAll(t, v.Path("f"))
			v.Skew(10 * time.Second)
			u := v.Measure(t, func() { readAll(t, v.Path("f")) })
			logOps(t, u)
			wantAtMost(t, "requests", u.Total(), tt.most)
		})
	}
}

// TestReadersOfTrees reads the small files of a tree with programs, and in the orders of those that train
// on them. Files that are not read must not be fetched, none may be fetched twice, and round trips overlap
// where there is an order to see.
func TestReadersOfTrees(t *testing.T) {
	needs(t, "rsync", "grep")
	const dirs, each, fileBytes = 24, 16, 20_000
	mounttest.NeedFUSE(t)
	b := mounttest.NewBucket(t, cosserver.Options{LogSize: 1 << 14})
	var names []string
	for d := range dirs {
		put(t, b, fmt.Sprintf("tree/d%02d/", d), nil)
		for f := range each {
			names = append(names, fmt.Sprintf("tree/d%02d/f%02d", d, f))
		}
	}
	for i, name := range names {
		put(t, b, name, noise(uint64(i), fileBytes))
	}
	rng := rand.New(rand.NewPCG(5, 6))
	tests := []struct {
		name    string
		script  string     // run on the mount
		workers [][]string // or the files each worker reads
		ahead   bool       // more are fetched at the same time than there are workers
	}{
		{name: "cp -r", script: `cp -r "$MNT/tree" "$OUT/copy"; test "$(find "$OUT/copy" -type f | wc -l)" = 384`, ahead: true},
		{name: "rsync -a", script: `rsync -a "$MNT/tree" "$OUT"; test "$(find "$OUT/tree" -type f | wc -l)" = 384`, ahead: true},
		{name: "grep -r", script: `! grep -r nothing-like-this "$MNT/tree"`, ahead: true},
		{name: "four workers in turns", workers: deal(names, 4), ahead: true},
		{name: "four workers, shuffled by 16", workers: deal(shuffle(rng, names, 16), 4), ahead: true},
		{name: "one of four machines", workers: deal(names, 4)[1:2]},
		{name: "in no order", workers: deal(shuffle(rng, names, len(names))[:100], 4)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := b.Mount(t, mounttest.Options{Log: true})
			shell(t, `ls -R "$MNT/tree"`, mnt(v))
			b.Server.SetShape(distant)
			defer b.Server.SetShape(cosserver.Shape{})
			files := len(names)
			u := v.Measure(t, func() {
				if tt.script != "" {
					shell(t, tt.script, mnt(v), "OUT="+t.TempDir())
					return
				}
				files = 0
				g, _ := errgroup.WithContext(context.Background())
				for _, part := range tt.workers {
					files += len(part)
					g.Go(func() error { return readFiles(v, part, fileBytes) })
				}
				must(t, g.Wait())
			})
			logOps(t, u)
			wantAtMost(t, "GETs", u.Count("GetObject"), int64(files+files/10))
			wantAtMost(t, "bytes received", u.Received(), int64(files*fileBytes/10*11))
			if tt.ahead {
				wantAtMost(t, "GETs of one file each", u.Count("GetObject"), int64(files))
				if got := u.Stats["GetObject"].MaxInFlight; got <= len(tt.workers)+2 {
					t.Errorf("%d GETs at the same time: nothing was fetched ahead", got)
				}
			}
		})
	}
}

func readFiles(v *mounttest.Volume, names []string, size int) error {
	for _, name := range names {
		p, err := os.ReadFile(v.Path(name))
		if err != nil {
			return err
		}
		if len(p) != size {
			return fmt.Errorf("%s: %d bytes, want %d", name, len(p), size)
		}
	}
	return nil
}

// deal gives each of n workers each n-th name.
func deal(names []string, n int) [][]string {
	hands := make([][]string, n)
	for i, name := range names {
		hands[i%n] = append(hands[i%n], name)
	}
	return hands
}

// shuffle shuffles names within windows of n.
func shuffle(rng *rand.Rand, names []string, n int) []string {
	names = slices.Clone(names)
	for part := range slices.Chunk(names, n) {
		rng.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return names
}
