package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// sizes of the workloads.
type sizes struct {
	list      int   // objects in one directory
	absent    int   // names looked for that are not there
	tree      int   // files of the tree
	dirs      int   // its directories
	treeFile  int64 // bytes of each of its files
	large     int64 // bytes of the file that is read and of the one that is written
	random    int   // random reads of it
	patched   int64 // bytes of the file that is changed
	small     int   // small files that are written, and that are removed
	smallFile int64 // bytes of each
	reopens   int
}

func newSizes(scale int) sizes {
	n := func(full int) int { return max(full/scale, 4) }
	return sizes{
		list: n(5000), absent: n(1000), tree: n(2000), dirs: n(256), treeFile: 30_000,
		large: max(1024*mib/int64(scale), 4*mib), random: max(n(256)/readers, 1) * readers,
		patched: max(256*mib/int64(scale), 24*mib), small: n(100), smallFile: 16 * kib, reopens: n(100),
	}
}

// noise is size bytes that do not compress, made anew at each read; the same seed gives the same.
type noise struct {
	seed uint64
	size int64
}

const noiseBlock = 64 * kib

// ReadAt implements io.ReaderAt.
func (s noise) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	var block [noiseBlock]byte
	for n < len(p) && off+int64(n) < s.size {
		at := off + int64(n)
		s.block(&block, at/noiseBlock)
		end := min(noiseBlock, s.size-at/noiseBlock*noiseBlock)
		n += copy(p[n:], block[at%noiseBlock:end])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s noise) block(p *[noiseBlock]byte, i int64) {
	r := rand.NewPCG(s.seed, uint64(i))
	for j := 0; j < len(p); j += 8 {
		v := r.Uint64()
		for k := range 8 {
			p[j+k] = byte(v >> (8 * k))
		}
	}
}

// fixture puts objects into the bucket that workloads read. It is done once.
type fixture struct {
	name string
	make func(ctx context.Context, f *filler) error
	age  time.Duration // the objects are to have before they are used
}

// certain is how old an object must be for its time, which has a resolution of a second, to name a version:
// what was learnt of a younger one is not kept for later mounts.
const certain = 4 * time.Second

var (
	listFixture = fixture{"list", func(ctx context.Context, f *filler) error {
		return f.many(ctx, f.sizes.list, func(i int) (string, int64) { return fmt.Sprintf("list/f%05d", i), 100 })
	}, certain}
	treeFixture = fixture{"tree", func(ctx context.Context, f *filler) error {
		markers := func(i int) (string, int64) { return treeDir(i), 0 }
		if err := f.many(ctx, f.sizes.dirs, markers); err != nil {
			return err
		}
		return f.many(ctx, f.sizes.tree, func(i int) (string, int64) { return f.sizes.treeKey(i), f.sizes.treeFile })
	}, certain}
	largeFixture = fixture{"large", func(ctx context.Context, f *filler) error { return f.put(ctx, largeKey, 1, f.sizes.large) }, 0}
	smallFixture = fixture{"small", func(ctx context.Context, f *filler) error { return f.put(ctx, smallKey, 2, f.sizes.smallFile) }, 0}
	patchFixture = fixture{"patched", func(ctx context.Context, f *filler) error { return f.put(ctx, patchedKey, 3, f.sizes.patched) }, 0}
)

// Keys of the fixtures.
const (
	largeKey   = "big/large"
	smallKey   = "big/small"
	patchedKey = "big/patched"
)

func treeDir(i int) string { return fmt.Sprintf("tree/d%03d/", i) }

func (s sizes) treeKey(i int) string { return treeDir(i%s.dirs) + fmt.Sprintf("f%02d", i/s.dirs) }

// filler puts objects as cosfuse would: with attributes.
type filler struct {
	client *cos.Client
	sizes  sizes
}

// fillers is how many objects are put at the same time.
const fillers = 16

// many puts n objects.
func (f *filler) many(ctx context.Context, n int, object func(i int) (key string, size int64)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fillers)
	for i := range n {
		g.Go(func() error {
			key, size := object(i)
			return f.put(ctx, key, uint64(i), size)
		})
	}
	return g.Wait()
}

func (f *filler) put(ctx context.Context, key string, seed uint64, size int64) error {
	o := &cos.UploadOptions{NoResume: true}
	o.Headers.Meta = attributes(key)
	_, err := f.client.Upload(ctx, key, noise{seed, size}, size, o)
	return err
}

// attributes are those of a file of root's.
func attributes(key string) map[string]string {
	mode := 0o100644
	if key[len(key)-1] == '/' {
		mode = 0o40755
	}
	return map[string]string{"mode": strconv.Itoa(mode), "uid": "0", "gid": "0", "mtime": "1700000000"}
}

// area makes a directory for one subject to write in.
func (f *filler) area(ctx context.Context, dir string) error {
	_, err := f.client.Put(ctx, dir, bytes.NewReader(nil), 0, &cos.PutOptions{Headers: cos.Headers{Meta: attributes(dir)}})
	return err
}

func (f *filler) copy(ctx context.Context, from, to string) error {
	_, err := f.client.Copy(ctx, to, &cos.CopyOptions{Source: cos.Source{Key: from}})
	return err
}
