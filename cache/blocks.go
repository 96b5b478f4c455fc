package cache

import (
	"context"
	"fmt"
	"io"
	"sync"
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
	// MemoryBytes bounds all block memory: a quarter is for bytes in flight and read ahead, the rest
	// for the cache. 0 is 256 MiB.
	MemoryBytes int64
	// BlockBytes is the unit of caching and the least that a random read fetches. 0 is 128 KiB.
	BlockBytes int64
	// ReadAheadBytes is the most that is kept ahead of one stream. 0 is 16 MiB; negative is no
	// read-ahead.
	ReadAheadBytes int64
	// FetchBytes is the most that one call of a FetchFunc asks for. 0 is 4 MiB; it is rounded to
	// whole blocks.
	FetchBytes int64
	// Connections is the number of fetches under way at once, over all objects. 0 is 16. A quarter
	// of them is never used for read-ahead.
	Connections int
	// Resume reports whether a body that broke off with err, after at least one byte, is to be asked
	// for again from there on. nil is never.
	Resume func(err error) bool
}

func (o BlocksOptions) withDefaults() BlocksOptions {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MemoryBytes, 256<<20)
	def(&o.BlockBytes, 128<<10)
	def(&o.ReadAheadBytes, 16<<20)
	def(&o.FetchBytes, 4<<20)
	o.FetchBytes = max(o.FetchBytes/o.BlockBytes, 1) * o.BlockBytes
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
	Misses          int64 // blocks a read had to wait for
	Fetches         int64 // calls of a FetchFunc
	FetchedBytes    int64 // bytes that fetches yielded
	CachedBytes     int64 // in the cache
	HeldBytes       int64 // in flight or held for streams
	AheadUsedBytes  int64 // read ahead and then read
	AheadWasteBytes int64 // read ahead and given up before it was read
}

// Blocks keeps blocks of object versions in memory and fetches those that are missing.
type Blocks struct {
	o    BlocksOptions
	ctx  context.Context
	stop context.CancelFunc

	mu    sync.Mutex // guards the fields below
	stats BlocksStats
}

// NewBlocks returns an empty cache. Every fetch ends with ctx. Close it.
func NewBlocks(ctx context.Context, o BlocksOptions) (*Blocks, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &Blocks{o: o}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b, nil
}

// Close ends every fetch, waits for them, and frees the memory. Reads that still wait, and later
// ones, fail with ErrClosed.
func (b *Blocks) Close() { b.stop() }

// Open returns a Reader of the object. It is cheap and does not block. One Reader per open file
// lets streams be told apart.
func (b *Blocks) Open(id ObjectID, fetch FetchFunc) *Reader {
	return &Reader{b: b, id: id, fetch: fetch}
}

// Seed offers the content of id, which the caller has at hand because it was just written. It reads
// at most an eighth of the memory budget from src, in the caller's goroutine, and stops at the first
// error: it is a hint.
func (b *Blocks) Seed(id ObjectID, src io.ReaderAt) {}

// Drop forgets every version of key. Fetches under way still answer those who wait for them.
func (b *Blocks) Drop(key string) {}

// Stats returns the counters.
func (b *Blocks) Stats() BlocksStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}
