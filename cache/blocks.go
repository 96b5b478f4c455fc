package cache

import (
	"container/list"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"
	"sync"

	"cosfuse/cache/internal/disk"

	"github.com/dgraph-io/ristretto/v2"
)

// ObjectID names one content of an object: blocks of another ETag or size are another object.
type ObjectID struct {
	Key  string
	ETag string
	Size int64 // bytes
}

// FetchFunc opens bytes [off, off+size) of the object it was given for. The reader must yield
// exactly size bytes and then io.EOF, or fail; it must fail if the object is another version by now.
// It runs without a deadline, so it must itself end a transfer that stalls. It may be called after
// the Reader it was given to was closed, if another Reader of the same object waits for the bytes,
// and from several goroutines at once.
type FetchFunc func(ctx context.Context, off, size int64) (io.ReadCloser, error)

// BlocksOptions of NewBlocks. The zero value gives the defaults named.
type BlocksOptions struct {
	// MemoryBytes bounds all block memory: three eighths are for bytes in flight and read ahead, one is
	// for those on their way to disk if there is one, the rest for the cache. 0 is 256 MiB.
	MemoryBytes int64
	// BlockBytes is the unit of caching and the least that a random read fetches. 0 is 128 KiB.
	BlockBytes int64
	// ReadAheadBytes is the most that is kept ahead of one stream; less if what its reader takes in
	// the time of a fetch is less. 0 is 64 MiB; negative is no read-ahead.
	ReadAheadBytes int64
	// FetchBytes is the most that one call of a FetchFunc asks for. 0 is 4 MiB. It is rounded to
	// whole blocks and limited to three eighths of MemoryBytes.
	FetchBytes int64
	// Connections is the number of fetches under way at once, over all objects. 0 is 16. A quarter
	// of them is never used for read-ahead.
	Connections int
	// Resume reports whether a body that broke off with err, after at least one byte, is to be asked
	// for again from there on. nil is never.
	Resume func(err error) bool
	// Disk keeps blocks on disk as well. nil is memory alone.
	Disk *DiskOptions
	// Checksum is that of OpenVerified. nil is none.
	Checksum *Checksum
}

func (o BlocksOptions) withDefaults() BlocksOptions {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MemoryBytes, 256<<20)
	def(&o.BlockBytes, 128<<10)
	def(&o.ReadAheadBytes, 64<<20)
	def(&o.FetchBytes, 4<<20)
	if o.Connections == 0 {
		o.Connections = 16
	}
	return o
}

// check refuses what cannot work.
func (o BlocksOptions) check() error {
	switch {
	case o.BlockBytes < 1, o.FetchBytes < 1, o.Connections < 1:
		return fmt.Errorf("cache: block %d, fetch %d, connections %d: each must be positive",
			o.BlockBytes, o.FetchBytes, o.Connections)
	case o.MemoryBytes < 4*o.BlockBytes:
		return fmt.Errorf("cache: memory of %d bytes holds less than four blocks of %d", o.MemoryBytes, o.BlockBytes)
	}
	return nil
}

// BlocksStats counts since the Blocks was made, but for the bytes in memory, which are as of now.
type BlocksStats struct {
	Hits            int64 // blocks a read found in memory
	Misses          int64 // blocks a read had to wait for, from disk or from a fetch
	Fetches         int64 // calls of a FetchFunc
	FetchedBytes    int64 // bytes that fetches yielded
	CachedBytes     int64 // in the cache
	HeldBytes       int64 // in flight or held for streams
	AheadUsedBytes  int64 // read ahead and then read
	AheadWasteBytes int64 // read ahead and given up before it was read
}

// Blocks keeps blocks of object versions in memory and fetches those that are missing.
//
// A block has two places. The table of its object has it while it is in flight, being read, or held
// for a stream: there it is safe. The cache gets it as soon as it has landed, and may refuse it or
// give it up at any time.
type Blocks struct {
	o     BlocksOptions
	ctx   context.Context // lifetime of every fetch
	stop  context.CancelFunc
	wg    sync.WaitGroup // flights, and calls that use the cache
	seed  maphash.Seed
	cache *ristretto.Cache[uint64, *block]
	disk  *disk.Store // nil if there is none; its lock is a leaf below mu

	mu       sync.Mutex // guards the fields below and those of objects, blocks, flights and streams
	closed   bool
	gate     gate
	link     link
	objects  map[ObjectID]*object
	versions map[string][]*object // by key
	streams  list.List            // of *stream that hold blocks, most recently used first
	born     int64                // objects made so far
	free     [][]byte             // buffers of a whole block
	stats    BlocksStats
}

// NewBlocks returns a cache with nothing in memory and what is in the directory of o.Disk, if any,
// whose index it reads. It fails with ErrDiskFormat and ErrDiskLocked; a disk that cannot be read or
// written is logged and done without. Every fetch ends with ctx. Close it.
func NewBlocks(ctx context.Context, o BlocksOptions) (*Blocks, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	held := o.MemoryBytes * 3 / 8
	queue := int64(0) // bytes of blocks on their way to disk
	if o.Disk != nil {
		queue = max(o.MemoryBytes/8, o.BlockBytes)
	}
	o.FetchBytes = max(min(o.FetchBytes, held)/o.BlockBytes, 1) * o.BlockBytes
	b := &Blocks{
		o:        o,
		seed:     maphash.MakeSeed(),
		gate:     newGate(o.Connections, held),
		objects:  make(map[ObjectID]*object),
		versions: make(map[string][]*object),
	}
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *block]{
		NumCounters:        max(10*(o.MemoryBytes-held-queue)/min(o.BlockBytes, 16<<10), 1000),
		MaxCost:            o.MemoryBytes - held - queue,
		BufferItems:        64,
		OnExit:             b.exit,
		KeyToHash:          func(key uint64) (uint64, uint64) { return key, 0 },
		IgnoreInternalCost: true, // blockOverhead counts it
	})
	if err != nil {
		return nil, fmt.Errorf("block cache: %w", err)
	}
	b.cache = cache
	if b.disk, err = openDisk(o.Disk, queue); err != nil {
		cache.Close()
		return nil, err
	}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b, nil
}

// Close ends every fetch, waits for them, writes to disk what is queued, and frees the memory. Reads
// that still wait, and later ones, fail with ErrClosed.
func (b *Blocks) Close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed = true
	for _, o := range slices.Collect(maps.Values(b.objects)) {
		b.unprefetchLocked(o)
	}
	b.mu.Unlock()
	b.stop()
	b.wg.Wait()
	b.cache.Close()
	if b.disk != nil {
		b.disk.Close()
	}
}

// Open returns a Reader of the object. It is cheap and does not block. One Reader per open file lets
// streams be told apart. Close the Reader.
func (b *Blocks) Open(id ObjectID, fetch FetchFunc) *Reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.objectLocked(id)
	o.users++
	return &Reader{b: b, obj: o, fetch: fetch}
}

// Drop forgets every version of key, on disk too. Fetches under way still answer those who wait for them, but
// what they yield is not kept.
func (b *Blocks) Drop(key string) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.wg.Add(1)
	var gone []*block
	for _, o := range slices.Clone(b.versions[key]) { // unprefetchLocked may shorten it
		o.fell++
		b.unprefetchLocked(o)
		for _, blk := range o.table {
			if blk.flight != nil {
				blk.flight.discard = true
			}
		}
		for _, blk := range o.cached {
			if blk.cached {
				gone = append(gone, blk)
			}
		}
		clear(o.cached) // unreachable from now on, whenever the cache lets go
	}
	b.mu.Unlock()
	defer b.wg.Done()
	if b.disk != nil {
		b.disk.Drop(key)
	}
	for _, blk := range gone {
		b.cache.Del(blk.key())
	}
}

// Stats returns the counters.
func (b *Blocks) Stats() BlocksStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.HeldBytes = b.gate.maxBytes - b.gate.bytes
	return s
}
