package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const kib, mib = 1 << 10, 1 << 20

// content is a block's bytes; what compresses when text.
func content(o *Object, idx int64, n int, text bool) []byte {
	p := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(o.hash), byte(o.hash >> 8), byte(idx), byte(idx >> 8)})
	_, _ = rng.Read(p) // never fails
	if text {
		for i := range p {
			p[i] = "abcd"[p[i]%4]
		}
	}
	return p
}

func testObject(i int) *Object {
	return NewObject(fmt.Sprintf("dir/object-%04d", i), fmt.Sprintf("\"etag-%d\"", i), 10*mib, 128*kib)
}

func openStore(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// offer puts a block that does not wait for room.
func offer(s *Store, o *Object, idx int64, p []byte) {
	s.Put(context.Background(), o, idx, p, &Patience{}, func() {})
}

func put(s *Store, o *Object, idx int64, n int) { s.PutWait(o, idx, content(o, idx, n, idx%2 == 0)) }

// holds reports whether the block is there, and fails the test if it is there with other bytes.
func holds(t *testing.T, s *Store, o *Object, idx int64, n int) bool {
	t.Helper()
	p := make([]byte, n)
	if !s.Get(o, idx, p) {
		return false
	}
	if !bytes.Equal(p, content(o, idx, n, idx%2 == 0)) {
		t.Fatalf("block %d of %q: wrong bytes", idx, o.key)
	}
	return true
}

func wantHeld(t *testing.T, s *Store, o *Object, idx int64, n int, want bool) {
	t.Helper()
	if got := holds(t, s, o, idx, n); got != want {
		t.Errorf("block %d of %q: found %v, want %v", idx, o.key, got, want)
	}
}

// segmentFiles returns the paths of the segments, oldest first.
func segmentFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func dirBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	for _, path := range segmentFiles(t, dir) {
		size, err := fileSize(path)
		if err != nil {
			t.Fatal(err)
		}
		n += size
	}
	return n
}

// copyDir copies the directory as a crash of the process would leave it.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestBlocksSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	const objects, blocks = 20, 5
	fill := func(s *Store) {
		for i := range objects {
			for idx := range int64(blocks) {
				put(s, testObject(i), idx, 10*kib)
			}
		}
	}
	check := func(s *Store) {
		t.Helper()
		for i := range objects {
			for idx := range int64(blocks) {
				wantHeld(t, s, testObject(i), idx, 10*kib, true)
			}
		}
		wantHeld(t, s, testObject(0), blocks, 10*kib, false)
		wantHeld(t, s, testObject(objects), 0, 10*kib, false)
		u := s.Usage()
		if u.Blocks != objects*blocks || u.Objects != objects || u.Hits < objects*blocks || u.Failed || u.Damaged > 0 {
			t.Errorf("usage %+v", u)
		}
	}
	s := openStore(t, Options{Dir: dir, MaxBytes: 100 * mib})
	fill(s)
	check(s)
	crashed := copyDir(t, dir)
	s.Close()
	for _, dir := range []string{dir, crashed} {
		for range 3 { // the last segment goes on each time
			s := openStore(t, Options{Dir: dir, MaxBytes: 100 * mib})
			check(s)
			put(s, testObject(0), 0, 10*kib)
			s.Close()
		}
		if n := len(segmentFiles(t, dir)); n != 1 {
			t.Errorf("%d segments for what fits in one", n)
		}
	}
}

func TestRestartFindsALotQuickly(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, MaxBytes: 1 << 30})
	var reads int
	const blocks = 5000
	o := NewObject("k", "e", blocks*kib, kib)
	for idx := range int64(blocks) {
		put(s, o, idx, kib)
	}
	s.Close()
	s = openStore(t, Options{Dir: dir, MaxBytes: 1 << 30, open: func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		return &faulty{file: f, onRead: func() error { reads++; return nil }}, err
	}})
	if got := s.Usage().Blocks; got != blocks {
		t.Errorf("%d blocks, want %d", got, blocks)
	}
	if most := 2 * len(segmentFiles(t, dir)); reads > most {
		t.Errorf("%d reads to start, want at most %d: two per segment", reads, most)
	}
}

func TestCompressibleBlocksTakeLess(t *testing.T) {
	for _, tc := range []struct {
		name     string
		text     bool
		min, max int64
	}{
		{"text", true, 1, 70 * kib},
		{"noise", false, 128 * kib, 129 * kib},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := openStore(t, Options{Dir: t.TempDir()})
			o := testObject(1)
			p := content(o, 0, 128*kib, tc.text)
			s.PutWait(o, 0, p)
			if n := s.Usage().Bytes; n < tc.min || n > tc.max {
				t.Errorf("%d bytes on disk, want %d to %d", n, tc.min, tc.max)
			}
			got := make([]byte, len(p))
			if !s.Get(o, 0, got) || !bytes.Equal(got, p) {
				t.Error("not what was put")
			}
		})
	}
}

func TestDropAndVersions(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	old, other := testObject(1), testObject(2)
	next := NewObject(old.key, "new", old.size, old.blockBytes)
	for idx := range int64(3) {
		put(s, old, idx, kib)
		put(s, other, idx, kib)
	}
	put(s, next, 0, kib)
	wantHeld(t, s, old, 1, kib, false)
	wantHeld(t, s, next, 0, kib, true)
	s.Keep(next)
	wantHeld(t, s, next, 0, kib, true)
	s.Keep(NewObject(old.key, "newer", old.size, old.blockBytes))
	wantHeld(t, s, next, 0, kib, false)
	s.Drop(other.key)
	wantHeld(t, s, other, 0, kib, false)
	put(s, other, 5, kib)
	s.Remove(other, 5)
	wantHeld(t, s, other, 5, kib, false)
	put(s, other, 6, kib) // behind the marks in the queue
	if u := s.Usage(); u.Blocks != 1 || u.Objects != 1 {
		t.Errorf("usage %+v, want one block", u)
	}
	crashed := copyDir(t, dir)
	s.Close()
	for _, dir := range []string{dir, crashed} {
		s := openStore(t, Options{Dir: dir})
		wantHeld(t, s, other, 6, kib, true)
		wantHeld(t, s, other, 5, kib, false)
		wantHeld(t, s, next, 0, kib, false)
		for idx := range int64(3) {
			wantHeld(t, s, other, idx, kib, false)
		}
	}
}

func TestDropCancelsWhatIsQueued(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := openStore(t, Options{Dir: t.TempDir(), FreeBytes: func(string) (int64, error) {
		once.Do(func() { close(entered); <-leave })
		return 1 << 40, nil
	}})
	a, b := testObject(1), testObject(2)
	offer(s, a, 0, content(a, 0, kib, true))
	<-entered
	offer(s, a, 1, content(a, 1, kib, false))
	offer(s, b, 0, content(b, 0, kib, true))
	offer(s, b, 1, content(b, 1, kib, false))
	s.Drop(a.key)
	s.Remove(b, 1)
	close(leave)
	put(s, b, 2, kib) // behind the others
	wantHeld(t, s, a, 0, kib, false)
	wantHeld(t, s, a, 1, kib, false)
	wantHeld(t, s, b, 0, kib, true)
	wantHeld(t, s, b, 1, kib, false)
}

func TestPutWithoutPatienceNeverWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := openStore(t, Options{Dir: t.TempDir(), QueueBytes: 10 * kib, FreeBytes: func(string) (int64, error) {
		once.Do(func() { close(entered); <-leave })
		return 1 << 40, nil
	}})
	o := testObject(1)
	offer(s, o, 0, content(o, 0, kib, true))
	<-entered // the disk hangs
	for idx := int64(1); idx < 20; idx++ {
		offer(s, o, idx, content(o, idx, kib, idx%2 == 0))
	}
	if u := s.Usage(); u.Skipped != 10 {
		t.Errorf("%d blocks skipped, want 10: the queue holds ten", u.Skipped)
	}
	close(leave)
	put(s, o, 50, kib)
	for idx := range int64(10) {
		wantHeld(t, s, o, idx, kib, true)
	}
	wantHeld(t, s, o, 10, kib, false)
}

// TestPutWaitsForTheDisk fills the queue of a disk that hangs, for less than the patience of who puts, and
// then for longer.
func TestPutWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s, err := Open(Options{Dir: t.TempDir(), QueueBytes: 4 * kib, FreeBytes: func(string) (int64, error) {
			<-hang
			return 1 << 40, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		o := testObject(1)
		var over atomic.Int64
		patience := &Patience{Left: 10 * time.Second}
		putAll := func(from, to int64) {
			for idx := from; idx < to; idx++ {
				s.Put(t.Context(), o, idx, content(o, idx, kib, true), patience, func() { over.Add(1) })
			}
		}
		began := time.Now()
		time.AfterFunc(3*time.Second, func() { close(hang) })
		putAll(0, 9)
		synctest.Wait()
		if took := time.Since(began); took != 3*time.Second || patience.Left != 7*time.Second {
			t.Errorf("waited for %v, %v of patience left, want 3 s and 7 s", took, patience.Left)
		}
		if u := s.Usage(); u.Skipped != 0 || u.Blocks != 9 || over.Load() != 9 {
			t.Errorf("%d blocks written, %d skipped, %d given back, want 9, 0, 9", u.Blocks, u.Skipped, over.Load())
		}

		hang = make(chan struct{})
		began = time.Now()
		putAll(10, 20)
		if took := time.Since(began); took != 7*time.Second || patience.Left != 0 {
			t.Errorf("waited for %v in all, want the 7 s of patience that were left", took)
		}
		fresh := &Patience{Left: time.Hour}
		s.Put(t.Context(), o, 30, content(o, 30, kib, true), fresh, func() { over.Add(1) })
		if fresh.Left != time.Hour {
			t.Error("waited for a disk that is known to be behind")
		}
		close(hang)
		synctest.Wait()
		if u := s.Usage(); u.Skipped != 7 || u.Blocks != 13 || over.Load() != 20 {
			t.Errorf("%d blocks written, %d skipped, %d given back, want 13, 7, 20", u.Blocks, u.Skipped, over.Load())
		}
		s.Close()
	})
}

func TestEvictionKeepsTheBoundAndWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	const limit = 4 * mib
	s := openStore(t, Options{Dir: dir, MaxBytes: limit})
	hot := testObject(9999)
	for idx := range int64(4) {
		put(s, hot, idx, 16*kib)
	}
	o := NewObject("cold", "e", 1<<30, 16*kib)
	for idx := range int64(2000) { // 24 MiB at the least
		put(s, o, idx, 16*kib)
		if idx%20 == 0 {
			for i := range int64(4) {
				wantHeld(t, s, hot, i, 16*kib, true)
			}
		}
		if n := s.Usage().Bytes; n > limit {
			t.Fatalf("%d bytes, more than %d", n, limit)
		}
	}
	if n := dirBytes(t, dir); n != s.Usage().Bytes {
		t.Errorf("%d bytes in the directory, %d in the books", n, s.Usage().Bytes)
	}
	wantHeld(t, s, o, 0, 16*kib, false)
	wantHeld(t, s, o, 1999, 16*kib, true)
	if u := s.Usage(); u.Evictions == 0 || u.Bytes < limit/2 {
		t.Errorf("usage %+v", u)
	}
	s.Close()
	s = openStore(t, Options{Dir: dir, MaxBytes: limit / 2})
	if u := s.Usage(); u.Bytes > limit/2 || u.Blocks == 0 {
		t.Errorf("after the limit was lowered: %+v", u)
	}
	wantHeld(t, s, o, 1999, 16*kib, true)
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, MaxBytes: 16 * mib})
	o := NewObject("k", "e", 1<<30, 64*kib)
	for idx := range int64(100) {
		put(s, o, idx, 64*kib)
	}
	s.Trim(3 * mib)
	if u := s.Usage(); u.Bytes > 3*mib || u.Bytes == 0 {
		t.Errorf("%d bytes after trimming to %d", u.Bytes, 3*mib)
	}
	wantHeld(t, s, o, 99, 64*kib, true)
	s.Trim(0)
	if u := s.Usage(); u.Bytes != 0 || u.Blocks != 0 || u.Objects != 0 || dirBytes(t, dir) != 0 {
		t.Errorf("after trimming to nothing: %+v", u)
	}
	put(s, o, 1, 64*kib)
	wantHeld(t, s, o, 1, 64*kib, true)
}

func TestFreeSpaceFloor(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	others := int64(0) // bytes others have
	free := func(string) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		var n int64
		paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		for _, path := range paths {
			size, statErr := fileSize(path)
			if err = errors.Join(err, statErr); err == nil {
				n += size
			}
		}
		return 20*mib - others - n, err
	}
	s := openStore(t, Options{Dir: dir, MaxBytes: 16 * mib, MinFreeBytes: 10 * mib, FreeBytes: free})
	o := NewObject("k", "e", 1<<30, 64*kib)
	fill := func(from, to int64) {
		for idx := from; idx < to; idx++ {
			put(s, o, idx, 64*kib)
			if n, err := free(dir); err != nil || n < 10*mib && s.Usage().Bytes > 0 {
				t.Fatalf("block %d: %d bytes are free, %v", idx, n, err)
			}
		}
	}
	fill(0, 300)
	if n := s.Usage().Bytes; n < 7*mib {
		t.Errorf("%d bytes are cached where 10 MiB could be", n)
	}
	mu.Lock()
	others = 8 * mib
	mu.Unlock()
	fill(300, 301)
	wantHeld(t, s, o, 300, 64*kib, true)
	mu.Lock()
	others = 12 * mib
	mu.Unlock()
	fill(301, 302)
	if u := s.Usage(); u.Bytes != 0 || u.Skipped == 0 || u.Failed {
		t.Errorf("below the floor: %+v", u)
	}
	mu.Lock()
	others = 0
	mu.Unlock()
	fill(302, 303)
	wantHeld(t, s, o, 302, 64*kib, true)
}

// TestConcurrentUse has everything happen at once in a cache that always evicts.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, MaxBytes: 256 * kib})
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 400 {
				o, idx := testObject(rng.IntN(5)), rng.Int64N(20)
				switch rng.IntN(12) {
				case 0:
					s.Drop(o.key)
				case 1:
					s.Remove(o, idx)
				case 2:
					s.Keep(NewObject(o.key, "other", o.size, o.blockBytes))
				case 3:
					s.Trim(rng.Int64N(256 * kib))
				case 4, 5, 6:
					offer(s, o, idx, content(o, idx, 4*kib, idx%2 == 0))
				case 7:
					put(s, o, idx, 4*kib)
				default:
					holds(t, s, o, idx, 4*kib)
				}
			}
		})
	}
	wg.Wait()
	s.Trim(1 << 60) // behind what is queued
	u := s.Usage()
	if n := dirBytes(t, dir); n != u.Bytes || n > 256*kib {
		t.Errorf("%d bytes in the directory, %d in the books, at most %d allowed", n, u.Bytes, 256*kib)
	}
	if u.Failed || u.Damaged > 0 {
		t.Errorf("usage %+v", u)
	}
	s.Close()
	s = openStore(t, Options{Dir: dir, MaxBytes: 256 * kib})
	if got := s.Usage(); got.Blocks != u.Blocks || got.Objects != u.Objects {
		t.Errorf("after a restart %+v, before %+v", got, u)
	}
}

func TestDirectoryOfAnotherFormat(t *testing.T) {
	for _, tc := range []struct {
		name, file, text, want string
	}{
		{"newer", versionName, "cosfuse block cache 2\n", "version 1"},
		{"foreign version", versionName, "something else\n", "something else"},
		{"photographs", "holiday.jpg", "", "holiday.jpg"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(Options{Dir: dir})
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want one that says %q", err, tc.want)
			}
		})
	}
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	s.Close()
	openStore(t, Options{Dir: dir})
}

// faulty is a file that fails on request.
type faulty struct {
	file
	onRead, onWrite func() error
}

func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	if f.onRead != nil {
		if err := f.onRead(); err != nil {
			return 0, err
		}
	}
	return f.file.ReadAt(p, off)
}

func (f *faulty) WriteAt(p []byte, off int64) (int, error) {
	if f.onWrite != nil {
		if err := f.onWrite(); err != nil {
			n, _ := f.file.WriteAt(p[:len(p)/2], off) // as a full disk does
			return n, err
		}
	}
	return f.file.WriteAt(p, off)
}

// countLog counts messages of level Error.
func countLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError}))
}

func TestFailingDiskTurnsTheCacheOffOnce(t *testing.T) {
	errDisk := errors.New("input/output error")
	for _, op := range []string{"read", "write", "open"} {
		t.Run(op, func(t *testing.T) {
			var log bytes.Buffer
			var bad bool
			fault := func(now string) func() error {
				return func() error {
					if bad && now == op {
						return errDisk
					}
					return nil
				}
			}
			s := openStore(t, Options{Dir: t.TempDir(), Logger: countLog(&log), MaxBytes: 8 * mib,
				open: func(path string, flag int) (file, error) {
					if err := fault("open")(); err != nil {
						return nil, err
					}
					f, err := openFile(path, flag)
					return &faulty{f, fault("read"), fault("write")}, err
				}})
			o := testObject(1)
			put(s, o, 0, kib)
			bad = true
			for idx := int64(1); idx < 200; idx++ {
				put(s, o, idx, 64*kib)
				holds(t, s, o, idx, 64*kib)
			}
			wantHeld(t, s, o, 0, kib, false)
			if !s.Usage().Failed || strings.Count(log.String(), "level=ERROR") != 1 {
				t.Errorf("failed %v, log %q", s.Usage().Failed, log.String())
			}
			s.Trim(0)
			s.Close()
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
				t.Errorf("%d errors logged", n)
			}
		})
	}
}
