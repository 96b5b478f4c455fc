package posix

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// fsxJob is a series of random operations on a file, each checked against a model in memory.
type fsxJob struct {
	Path   string
	Seed   uint64
	Ops    int
	Max    int64 // largest size
	Start  int64 // size of the object that is there, noise of the seed; -1 for none
	Reopen int   // one in so many operations closes and opens the file; 0 = never
}

// fsx is a file and what it should hold.
type fsx struct {
	fsxJob
	rnd  *rand.Rand
	f    *os.File
	want []byte
	log  []string // the last operations
}

func noise(seed uint64, n int64) []byte {
	p := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p); err != nil {
		panic(err) // documented never to fail
	}
	return p
}

// run performs the operations and names the first that went wrong, with those before it.
func (j *fsxJob) run() (err error) {
	x := &fsx{fsxJob: *j, rnd: rand.New(rand.NewPCG(j.Seed, 1))}
	flags := os.O_RDWR
	if j.Start < 0 {
		flags |= os.O_CREATE | os.O_EXCL
	} else {
		x.want = noise(j.Seed, j.Start)
	}
	if x.f, err = os.OpenFile(j.Path, flags, 0o644); err != nil {
		return err
	}
	for i := range j.Ops {
		if err := x.step(); err != nil {
			return fmt.Errorf("seed %d, operation %d: %w; the last ones: %q", j.Seed, i, err, x.log[max(0, len(x.log)-12):])
		}
	}
	return errors.Join(x.compare(0, j.Max), x.f.Close())
}

// span returns a place in the file, or beyond its end if grow.
func (x *fsx) span(grow bool) (off, n int64) {
	limit := int64(len(x.want))
	if grow {
		limit = x.Max
	}
	off = x.rnd.Int64N(limit + 1)
	return off, min(1+x.rnd.Int64N(max(x.Max/8, 1)), limit-off)
}

// step is one operation.
func (x *fsx) step() error {
	if x.Reopen > 0 && x.rnd.IntN(x.Reopen) == 0 {
		x.log = append(x.log, "reopen")
		return x.reopen()
	}
	names := []string{"write", "write", "mapped write", "truncate", "read", "read", "mapped read", "punch", "append", "fsync"}
	name := names[x.rnd.IntN(len(names))]
	off, n := x.span(name == "write" || name == "truncate")
	x.log = append(x.log, fmt.Sprintf("%s %d+%d of %d", name, off, n, len(x.want)))
	switch name {
	case "write":
		return x.write(off, noise(x.rnd.Uint64(), n))
	case "append":
		return x.write(int64(len(x.want)), noise(x.rnd.Uint64(), min(n, x.Max-int64(len(x.want)))))
	case "truncate":
		x.resize(off)
		return x.f.Truncate(off)
	case "punch":
		if n == 0 {
			return nil
		}
		clear(x.want[off : off+n])
		return unix.Fallocate(int(x.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	case "fsync":
		return x.f.Sync()
	case "mapped write":
		return x.mapped(off, n, func(p []byte) error {
			copy(p, noise(x.rnd.Uint64(), n))
			copy(x.want[off:], p)
			return nil
		})
	case "mapped read":
		return x.mapped(off, n, func(p []byte) error { return differ(p, x.want[off:off+n], off) })
	}
	return x.compare(off, n)
}

func (x *fsx) resize(size int64) {
	if size <= int64(len(x.want)) {
		x.want = x.want[:size]
		return
	}
	x.want = append(x.want, make([]byte, size-int64(len(x.want)))...)
}

func (x *fsx) write(off int64, p []byte) error {
	if end := off + int64(len(p)); len(p) > 0 && end > int64(len(x.want)) {
		x.resize(end)
	}
	if len(p) == 0 {
		return nil
	}
	copy(x.want[off:], p)
	_, err := x.f.WriteAt(p, off)
	return err
}

// mapped calls use with the bytes of a shared mapping.
func (x *fsx) mapped(off, n int64, use func(p []byte) error) error {
	if n == 0 {
		return nil
	}
	page := off &^ int64(os.Getpagesize()-1)
	m, err := unix.Mmap(int(x.f.Fd()), page, int(off+n-page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	err = use(m[off-page:])
	if x.rnd.IntN(2) == 0 {
		err = errors.Join(err, unix.Msync(m, unix.MS_SYNC))
	}
	return errors.Join(err, unix.Munmap(m))
}

func (x *fsx) reopen() error {
	if err := x.f.Close(); err != nil {
		return err
	}
	var err error
	if x.f, err = os.OpenFile(x.Path, os.O_RDWR, 0); err != nil {
		return err
	}
	return x.compare(0, x.Max)
}

// compare reads a part of the file, and looks at its size.
func (x *fsx) compare(off, n int64) error {
	st, err := x.f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != int64(len(x.want)) {
		return fmt.Errorf("size %d, want %d", st.Size(), len(x.want))
	}
	n = min(n, int64(len(x.want))-off)
	got := make([]byte, n)
	if _, err := x.f.ReadAt(got, off); err != nil {
		return err
	}
	return differ(got, x.want[off:off+n], off)
}

// differ tells where two pieces of the file at off differ.
func differ(got, want []byte, off int64) error {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("at %d: %x, want %x", off+int64(i), got[i:min(i+8, len(got))], want[i:min(i+8, len(want))])
		}
	}
	return nil
}

// TestRandomOperations works on a file on each path that its bytes can take. COSFUSE_SEED repeats a run.
func TestRandomOperations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("COSFUSE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COSFUSE_SEED=%d", seed)
	tests := []struct {
		name string
		job  fsxJob
		o    mounttest.Options
		cold bool // the object is there, and nothing of it is known
	}{
		{"new file", fsxJob{Ops: 300, Max: 300_000, Start: -1}, mounttest.Options{}, false},
		{"new file reopened", fsxJob{Ops: 150, Max: 100_000, Start: -1, Reopen: 15}, mounttest.Options{}, false},
		{"background", fsxJob{Ops: 150, Max: 100_000, Start: -1, Reopen: 10},
			mounttest.Options{Store: writeback.Options{Background: true}}, false},
		{"cached object", fsxJob{Ops: 150, Max: 500_000, Start: 400_000, Reopen: 20}, mounttest.Options{}, false},
		{"cold object", fsxJob{Ops: 150, Max: 500_000, Start: 400_000, Reopen: 20}, mounttest.Options{}, true},
		{"object in parts", fsxJob{Ops: 60, Max: 4_000_000, Start: 3_500_000, Reopen: 12},
			mounttest.Options{Store: writeback.Options{MultipartThreshold: 1 << 20}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := mounttest.New(t, tt.o)
			tt.job.Path, tt.job.Seed = v.Path("f"), seed
			if tt.job.Start >= 0 {
				content := noise(seed, tt.job.Start)
				if err := os.WriteFile(tt.job.Path, content, 0o644); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(tt.job.Path); err != nil || !bytes.Equal(got, content) {
					t.Fatalf("the object is not what was written: %v", err)
				}
			}
			if tt.cold {
				v.Remount(t)
			}
			runChild(t, job{Fsx: &tt.job})
			before, err := os.ReadFile(tt.job.Path)
			if err != nil {
				t.Fatal(err)
			}
			v.Remount(t)
			after, err := os.ReadFile(tt.job.Path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("%d bytes before a remount, %d others after: %v", len(before), len(after), err)
			}
		})
	}
}
