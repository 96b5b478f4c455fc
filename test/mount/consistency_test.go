package mount

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// pair mounts one bucket twice.
func pair(t *testing.T, o mounttest.Options) (a, b *mounttest.Volume) {
	t.Helper()
	mounttest.NeedFUSE(t)
	bucket := mounttest.NewBucket(t, cosserver.Options{})
	return bucket.Mount(t, o), bucket.Mount(t, o)
}

func TestOtherMountSeesCommittedContentAtOpen(t *testing.T) {
	a, b := pair(t, mounttest.Options{})
	contents := [][]byte{
		[]byte("first"),
		[]byte("other"), // same size
		noise(1, 1<<20), // grown
		[]byte("cut"),
		nil,
		[]byte("again"),
	}
	write(t, a.Path("f"), []byte("zero"))
	wantFile(t, b.Path("f"), []byte("zero"))
	for _, want := range contents {
		write(t, a.Path("f"), want)
		syncFile(t, a.Path("f"))
		forgetConfirmed(t, b)
		wantFile(t, b.Path("f"), want)
		if got := stat(t, b.Path("f")).Size; got != int64(len(want)) {
			t.Errorf("size %d after the open, want %d", got, len(want))
		}
	}
	must(t, os.Remove(a.Path("f")))
	forgetConfirmed(t, b)
	_, err := os.Open(b.Path("f"))
	wantErrno(t, "open of what was removed elsewhere", err, syscall.ENOENT)
	write(t, a.Path("f"), []byte("made anew"))
	b.Remount(t)
	wantFile(t, b.Path("f"), []byte("made anew"))
}

// forgetConfirmed lets the second pass for which a confirmed version is believed at open.
func forgetConfirmed(t *testing.T, v *mounttest.Volume) {
	t.Helper()
	v.Skew(1100 * 1e6)
}

func TestReplacedObjectIsStale(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	old, fresh := noise(1, 8<<20), noise(2, 8<<20)
	put(t, v.Bucket, "f", old)
	f, err := os.Open(v.Path("f"))
	must(t, err)
	buf := make([]byte, 4096)
	_, err = f.ReadAt(buf, 0)
	must(t, err)
	put(t, v.Bucket, "f", fresh)
	_, err = f.ReadAt(buf, 7<<20)
	wantErrno(t, "read of a version that is gone", err, syscall.ESTALE)
	must(t, f.Close())
	v.Skew(1100 * 1e6)
	wantFile(t, v.Path("f"), fresh)
}

func TestReaderNeverMixesVersions(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	versions := [][]byte{noise(1, 2<<20), noise(2, 2<<20)}
	put(t, v.Bucket, "f", versions[0])
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error {
		for i := 0; ctx.Err() == nil; i++ {
			c := versions[i%2]
			if _, err := v.Client.Put(context.WithoutCancel(ctx), "f", bytes.NewReader(c), int64(len(c)), &cos.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	for range 30 {
		v.Skew(1100 * 1e6)
		f, err := os.Open(v.Path("f"))
		if err != nil {
			wantErrno(t, "open", err, syscall.ESTALE)
			continue
		}
		got, err := io.ReadAll(f)
		must(t, f.Close())
		if err != nil {
			wantErrno(t, "read", err, syscall.ESTALE)
			continue
		}
		if !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
			t.Fatalf("%d bytes that are neither version", len(got))
		}
	}
	cancel()
	must(t, g.Wait())
}

func TestExclusiveCreateOfAnothersName(t *testing.T) {
	a, b := pair(t, mounttest.Options{})
	names(t, a.Dir)
	names(t, b.Dir)
	fa, err := os.OpenFile(a.Path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	must(t, err)
	fb, err := os.OpenFile(b.Path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	must(t, err)
	for _, f := range []*os.File{fa, fb} {
		_, err := f.WriteString("mine")
		must(t, err)
	}
	wantErrno(t, "close of the first", fa.Close(), 0)
	wantErrno(t, "close of the second", fb.Close(), syscall.EEXIST)
	b.Abandon(t)
}

// TestExclusiveCreateAtOpen has two mounts create the same names at the same time: of each, one does.
func TestExclusiveCreateAtOpen(t *testing.T) {
	a, b := pair(t, mounttest.Options{Store: writeback.Options{ClaimAtOpen: true}})
	names(t, a.Dir)
	names(t, b.Dir)
	for i := range 10 {
		name := fmt.Sprint("lock", i)
		var files [2]*os.File
		var errs [2]error
		var g errgroup.Group
		for k, v := range []*mounttest.Volume{a, b} {
			g.Go(func() error {
				files[k], errs[k] = os.OpenFile(v.Path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
				return nil
			})
		}
		must(t, g.Wait())
		winner := slices.Index(errs[:], nil)
		if winner < 0 {
			t.Fatalf("nobody creates %s: %v", name, errs)
		}
		loser := 1 - winner
		wantErrno(t, "open of the second", errs[loser], syscall.EEXIST)
		_, err := files[winner].WriteString("mine")
		must(t, errors.Join(err, files[winner].Close()))
		forgetConfirmed(t, a)
		forgetConfirmed(t, b)
		wantFile(t, []*mounttest.Volume{a, b}[loser].Path(name), []byte("mine")) // the loser knows of it at once
	}
}

func TestConflictIsStaleAndKeepsTheirs(t *testing.T) {
	a, b := pair(t, mounttest.Options{})
	base := noise(1, 1<<20)
	put(t, a.Bucket, "f", base)
	f, err := os.OpenFile(a.Path("f"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("mine"), 100)
	must(t, err)
	theirs := noise(2, 1<<20)
	write(t, b.Path("f"), theirs)
	a.Skew(10e9)
	wantErrno(t, "close", f.Close(), syscall.ESTALE)
	if got, _ := object(t, a.Bucket, "f"); !bytes.Equal(got, theirs) {
		t.Error("another writer's content was overwritten")
	}
	a.Abandon(t)
}

func TestNamesOfOthersAppearInTime(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	names(t, v.Dir)
	if _, err := os.Lstat(v.Path("theirs")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	put(t, v.Bucket, "theirs", []byte("x"))
	v.Skew(6e9)
	stat(t, v.Path("theirs"))
	wantNames(t, v.Dir, "theirs")
}

func TestStrict(t *testing.T) {
	a, b := pair(t, mounttest.Options{FS: fs.Options{Consistency: fs.Strict}})
	for i := range 3 {
		if _, err := os.Lstat(b.Path("f")); !os.IsNotExist(err) {
			t.Fatalf("round %d: %v", i, err)
		}
		write(t, a.Path("f"), []byte("x"))
		stat(t, b.Path("f"))
		wantNames(t, b.Dir, "f")
		must(t, os.Remove(a.Path("f")))
		must(t, a.Store.Sync(t.Context(), "")) // deletions of a burst go out together
		wantNames(t, b.Dir)
	}
}

func TestRequestsOfAReopen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		choice fs.Consistency
		most   int64
	}{
		{"close-to-open", fs.CloseToOpen, 1},
		{"relaxed", fs.Relaxed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{FS: fs.Options{Consistency: tt.choice}})
			content := noise(1, 16<<10)
			put(t, v.Bucket, "f", content)
			wantFile(t, v.Path("f"), content)
			for range 3 {
				forgetConfirmed(t, v)
				v.Server.ResetStats()
				wantFile(t, v.Path("f"), content)
				if n := v.Server.Stats().Requests(); n > tt.most {
					t.Errorf("%d requests to open and read again, want at most %d: %v", n, tt.most, v.Server.Stats())
				}
			}
		})
	}
}

func TestRelaxed(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{Consistency: fs.Relaxed, MetaTTL: 10 * time.Second}})
	put(t, v.Bucket, "f", []byte("first"))
	wantFile(t, v.Path("f"), []byte("first"))
	put(t, v.Bucket, "f", []byte("later"))
	v.Skew(5 * time.Second)
	wantFile(t, v.Path("f"), []byte("first"))
	v.Skew(6 * time.Second)
	wantFile(t, v.Path("f"), []byte("later"))
}

func TestAbsentNamesOfAListedDirectory(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	put(t, v.Bucket, "d/f", []byte("x"))
	names(t, v.Path("d"))
	v.Server.ResetStats()
	for _, name := range numbered("absent", 1000) {
		_, err := os.Lstat(v.Path("d", name))
		wantErrno(t, name, err, syscall.ENOENT)
	}
	if n := v.Server.Stats().Requests(); n != 0 {
		t.Errorf("%d requests for names that a listing does not show", n)
	}
}

// TestInterruptEndsALookup holds promise P8: who waits for a service that does not answer can be
// stopped, and what is cached goes on working meanwhile.
func TestInterruptEndsALookup(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), []byte("x"))
	names(t, v.Dir)
	stat(t, v.Path("f"))
	v.Skew(10e9) // so that absence must be asked for
	v.Server.ResetStats()
	defer v.Server.AddRule(cosserver.Rule{Action: cosserver.Stall})()
	cmd := exec.CommandContext(t.Context(), "/bin/ls", v.Path("nothing"))
	cmd.Dir = "/"
	must(t, cmd.Start())
	for v.Server.Stats().Requests() == 0 {
		runtime.Gosched()
	}
	stat(t, v.Path("f"))
	must(t, syscall.Statfs(v.Dir, new(syscall.Statfs_t)))
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err == nil {
		t.Error("the lookup of an unanswered name succeeded")
	}
}
