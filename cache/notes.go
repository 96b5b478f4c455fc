package cache

import (
	"log/slog"
	"sync"

	"cosfuse/cache/internal/disk"
)

// NotesOptions of OpenNotes. Dir is required; the zero value of the rest gives the defaults named.
type NotesOptions struct {
	// Dir is made if it does not exist. It must be empty or of Notes from before, and is locked
	// against other processes.
	Dir string
	// MaxBytes bounds the directory. 0 is 64 MiB, which is some 200,000 notes. Each costs about 100
	// bytes of memory besides.
	MaxBytes int64
	// MinFreeBytes is what stays free on the filesystem: below it notes are given up and none are
	// written. 0 is no floor.
	MinFreeBytes int64
	// Logger gets one Error when the disk fails and one Warn when a note is damaged. nil is none.
	Logger *slog.Logger
	// FreeBytes returns the free space of the filesystem that dir is on. nil asks the system.
	FreeBytes func(dir string) (int64, error)
}

// Notes keeps a few hundred bytes about each of many keys in a directory, from one process to the next.
// It is a cache: a note may be gone at any time, those not used for longest first, and one that is
// damaged is as good as gone. When the disk fails there are none from then on, which the log tells. A
// nil Notes has nothing and keeps nothing.
//
// Underneath are the segments of the block cache: records of a few hundred bytes with a checksum each,
// evicted by use, are what it stores already. A second embedded database beside the journal's was the
// alternative; the one there is ends the process when its disk is full, which is right for a journal
// and wrong for a cache.
type Notes struct {
	disk *disk.Store
	wake chan struct{} // capacity 1
	wg   sync.WaitGroup

	mu      sync.Mutex        // guards the fields below
	waiting map[string][]byte // to be written; nil: to be dropped
	bytes   int64             // of waiting
	skipped int64
	closed  bool
}

const (
	defaultNotesBytes = 64 << 20
	maxNoteBytes      = 16 << 10 // of one note
	maxWaitingBytes   = 4 << 20  // of notes that are not written yet; more are not taken
)

// OpenNotes opens the notes in o.Dir. A disk that fails is done without, loudly; a directory that is
// not ours to use is ErrDiskFormat or ErrDiskLocked. Close them.
func OpenNotes(o NotesOptions) (*Notes, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultNotesBytes
	}
	d, err := openDisk(&DiskOptions{
		Dir: o.Dir, MaxBytes: o.MaxBytes, MinFreeBytes: o.MinFreeBytes, Logger: o.Logger, FreeBytes: o.FreeBytes,
	}, 0)
	if err != nil || d == nil {
		return nil, err
	}
	n := &Notes{disk: d, wake: make(chan struct{}, 1), waiting: make(map[string][]byte)}
	n.wg.Go(n.run)
	return n, nil
}

// noteObject is what the note about key is kept as.
func noteObject(key string) *disk.Object { return disk.NewObject(key, "", 0, 1) }

// Has reports whether there is likely a note about key. It looks at memory alone.
func (n *Notes) Has(key string) bool {
	if n == nil {
		return false
	}
	if note, ok := n.recent(key); ok {
		return note != nil
	}
	return n.disk.Has(noteObject(key), 0)
}

// Get returns the note about key, which must not be changed. It blocks while the disk reads.
func (n *Notes) Get(key string) ([]byte, bool) {
	if n == nil {
		return nil, false
	}
	if note, ok := n.recent(key); ok {
		return note, note != nil
	}
	return n.disk.Read(noteObject(key), 0)
}

// recent returns what waits to be written about key, nil if its note is to be dropped.
func (n *Notes) recent(key string) (note []byte, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	note, ok = n.waiting[key]
	return note, ok
}

// Put keeps note about key in place of what was kept, and returns at once. It must not be changed
// afterwards. What the disk is too slow for is not kept, and one that is empty or over 16 KiB never.
func (n *Notes) Put(key string, note []byte) {
	if n == nil || len(note) == 0 || len(note) > maxNoteBytes {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bytes+noteCost(key, note) > maxWaitingBytes {
		n.skipped++
		note = nil // what is kept says something else
	}
	n.queueLocked(key, note)
}

// Drop forgets the note about key. It does not block.
func (n *Notes) Drop(key string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queueLocked(key, nil)
}

// queueLocked has note written about key, or dropped if it is nil. What is to be dropped is queued whatever
// else is: it is small, and a note that is wrong must go.
func (n *Notes) queueLocked(key string, note []byte) {
	if n.closed {
		return
	}
	n.forgetLocked(key)
	n.waiting[key] = note
	n.bytes += noteCost(key, note)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Clear forgets all notes. It blocks while files are deleted.
func (n *Notes) Clear() {
	if n == nil {
		return
	}
	n.mu.Lock()
	clear(n.waiting)
	n.bytes = 0
	n.mu.Unlock()
	n.disk.Trim(0)
}

// Usage returns counters; a note counts as a block. It does not block.
func (n *Notes) Usage() DiskUsage {
	if n == nil {
		return DiskUsage{}
	}
	u := usageOf(n.disk.Usage())
	n.mu.Lock()
	defer n.mu.Unlock()
	u.Skipped += n.skipped
	return u
}

// Close writes what waits and gives up the directory. What is put later is not kept.
func (n *Notes) Close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
	n.wg.Wait()
	n.disk.Close()
}

// run writes until the notes are closed and none waits.
func (n *Notes) run() {
	for {
		key, note, ok, closed := n.take()
		switch {
		case ok:
			n.write(key, note)
			continue
		case closed:
			return
		}
		<-n.wake
	}
}

// take returns any note that waits.
func (n *Notes) take() (key string, note []byte, ok, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, note := range n.waiting {
		return key, note, true, n.closed
	}
	return "", nil, false, n.closed
}

// write brings a note to disk, or drops it there. Until that is done readers find it among those that wait.
func (n *Notes) write(key string, note []byte) {
	n.disk.Drop(key) // what is there already would not be written again
	if note != nil {
		n.disk.PutWait(noteObject(key), 0, note)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now, ok := n.waiting[key]
	switch {
	case ok && len(now) == len(note) && (note == nil || &now[0] == &note[0]):
		n.forgetLocked(key)
	case !ok && note != nil: // cleared meanwhile
		n.disk.Drop(key)
	}
}

// forgetLocked takes the note about key out of what waits.
func (n *Notes) forgetLocked(key string) {
	if note, ok := n.waiting[key]; ok {
		delete(n.waiting, key)
		n.bytes -= noteCost(key, note)
	}
}

// noteCost is what a waiting note counts.
func noteCost(key string, note []byte) int64 { return int64(len(key)+len(note)) + 64 }
