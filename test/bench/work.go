package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// start says what is mounted when a step begins.
type start int

const (
	fresh   start = iota // a new mount with empty caches
	again                // the mount of the step before
	remount              // a new mount with the cache directory of the one before
)

// workload is a sequence of steps on the same objects.
type workload struct {
	name  string
	needs []fixture
	steps []step
}

// step is what is measured.
type step struct {
	name  string
	start start
	write bool                                       // measured until the mount has ended
	ready func(ctx context.Context, p *place) error  // what is not measured; nil: nothing
	do    func(ctx context.Context, p *place) error  // on the mount
	alone func(ctx context.Context, a *client) error // the same by the client alone; nil: nothing like it
}

// place is where a step works.
type place struct {
	sizes
	mnt   string // mount point
	area  string // key of a directory of the subject's own, with a slash
	local string // directory on this machine's disk
	fill  *filler
}

// path is that of a key.
func (p *place) path(key string) string { return filepath.Join(p.mnt, filepath.FromSlash(key)) }

func workloadNames() string {
	var names []string
	for _, w := range workloads(newSizes(1)) {
		names = append(names, w.name)
	}
	return strings.Join(names, ", ")
}

// readers is how many read at the same time where many do.
const readers = 16

func workloads(s sizes) []workload {
	return append(readWorkloads(s), writeWorkloads(s)...)
}

func readWorkloads(s sizes) []workload {
	return []workload{
		{"list", []fixture{listFixture}, []step{
			{name: fmt.Sprintf("`ls` of %d objects", s.list), do: command("ls", "list"), alone: list},
			{name: fmt.Sprintf("`ls -l` of %d objects", s.list), do: command("ls -l", "list"), alone: listLong},
			{name: fmt.Sprintf("`stat` of %d absent names", s.absent), start: again, do: statAbsent},
			{name: "`ls -l`, remounted", start: remount, do: command("ls -l", "list")},
		}},
		{"tree", []fixture{treeFixture}, []step{
			{name: fmt.Sprintf("`tar c` of %d x %d kB", s.tree, s.treeFile/1000), do: command("tar -cf - -C", "tree", ". | cat"), alone: getTree},
			{name: "`rsync -a` of it", do: syncTree},
			{name: "`rsync -ai` again, remounted", start: remount, do: syncTree},
			{name: "`grep -r` in it", do: command("! grep -r nothing-like-this", "tree")},
			{name: "4 workers that share it, in turns", do: loaders},
		}},
		{"sequential", []fixture{largeFixture}, []step{
			{name: fmt.Sprintf("read of %d MiB in order", s.large/mib), do: readLarge, alone: getLarge},
			{name: "the same again", start: again, ready: dropPages, do: readLarge},
			{name: "the same, remounted", start: remount, do: readLarge},
		}},
		{"random", []fixture{largeFixture}, []step{
			{name: fmt.Sprintf("%d random reads of 4 KiB", s.random), do: readRandom(1), alone: getRandom(1)},
			{name: fmt.Sprintf("%d of them by %d readers", s.random, readers), do: readRandom(readers), alone: getRandom(readers)},
		}},
		{"reopen", []fixture{smallFixture}, []step{
			{name: fmt.Sprintf("%d x open and read 16 KiB", s.reopens), ready: readSmall, start: fresh, do: reopen},
		}},
	}
}

func writeWorkloads(s sizes) []workload {
	return []workload{
		{"write", nil, []step{
			{name: fmt.Sprintf("write %d MiB in order", s.large/mib), write: true, do: writeLarge, alone: putLarge},
		}},
		{"overwrite", []fixture{patchFixture}, []step{
			{name: fmt.Sprintf("1 MiB in the middle of %d MiB", s.patched/mib), write: true, ready: copyPatched, do: overwrite},
		}},
		{"append", []fixture{patchFixture}, []step{
			{name: fmt.Sprintf("1 MiB at the end of %d MiB", s.patched/mib), write: true, ready: copyPatched, do: appendEnd},
		}},
		{"rename", []fixture{patchFixture}, []step{
			{name: fmt.Sprintf("`mv` of %d MiB", s.patched/mib), write: true, ready: copyPatched, do: moveFile},
		}},
		{"small", nil, []step{
			{name: fmt.Sprintf("%d new files of 16 KiB", s.small), write: true, do: writeSmall, alone: putSmall},
		}},
		{"remove", nil, []step{
			{name: fmt.Sprintf("`rm -r` of %d files", s.small), write: true, ready: fillRemoved, do: removeTree},
		}},
	}
}

// command runs a shell command on what a key names, and drops its output.
func command(before, key string, after ...string) func(context.Context, *place) error {
	return func(ctx context.Context, p *place) error {
		return shell(ctx, fmt.Sprintf("%s '%s' %s", before, p.path(key), strings.Join(after, " ")))
	}
}

func shell(ctx context.Context, script string) error {
	var said strings.Builder
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Stderr = &said
	// The shell's children must end with it: they use the mount.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, said.String())
	}
	return nil
}

func statAbsent(_ context.Context, p *place) error {
	for i := range p.absent {
		if _, err := os.Lstat(p.path(fmt.Sprintf("list/absent%d", i))); !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("a name that is not there: %w", err)
		}
	}
	return nil
}

func syncTree(ctx context.Context, p *place) error {
	return shell(ctx, fmt.Sprintf("rsync -ai '%s/' '%s'", p.path("tree"), p.local))
}

// workers is how many loaders there are.
const workers = 4

// loaders read the files of the tree as programs that train on them do: all names first, and then each
// worker its share in order.
func loaders(ctx context.Context, p *place) error {
	var names []string
	err := filepath.WalkDir(p.path("tree"), func(path string, d iofs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(names); i += workers {
				if _, err := os.ReadFile(names[i]); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// readSize is what programs that copy files read at once.
const readSize = 128 * kib

func readLarge(ctx context.Context, p *place) error {
	f, err := os.Open(p.path(largeKey))
	if err != nil {
		return err
	}
	defer f.Close()
	buf, n := make([]byte, readSize), int64(0)
	for ctx.Err() == nil {
		k, err := f.Read(buf)
		n += int64(k)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if n != p.large {
		return errors.Join(ctx.Err(), fmt.Errorf("read %d bytes of %d", n, p.large))
	}
	return nil
}

// dropPages makes the kernel forget the large file, so that reading it reaches the mount.
func dropPages(_ context.Context, p *place) error {
	f, err := os.Open(p.path(largeKey))
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// randomRead is how many bytes a random read takes.
const randomRead = 4 * kib

// randomOffsets are where to read; the same for everybody.
func (s sizes) randomOffsets() []int64 {
	rng := rand.New(rand.NewPCG(7, 7))
	offsets := make([]int64, s.random)
	for i := range offsets {
		offsets[i] = rng.Int64N(s.large/randomRead) * randomRead
	}
	return offsets
}

// spread calls do for each of the random offsets, n at the same time.
func (s sizes) spread(ctx context.Context, n int, do func(ctx context.Context, offsets []int64) error) error {
	offsets := s.randomOffsets()
	share := len(offsets) / n
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() error { return do(ctx, offsets[i*share:(i+1)*share]) })
	}
	return g.Wait()
}

func readRandom(n int) func(context.Context, *place) error {
	return func(ctx context.Context, p *place) error {
		return p.spread(ctx, n, func(ctx context.Context, offsets []int64) error {
			f, err := os.Open(p.path(largeKey))
			if err != nil {
				return err
			}
			defer f.Close()
			buf := make([]byte, randomRead)
			for _, off := range offsets {
				if _, err := f.ReadAt(buf, off); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
}

func readSmall(_ context.Context, p *place) error {
	_, err := os.ReadFile(p.path(smallKey))
	return err
}

func reopen(ctx context.Context, p *place) error {
	for range p.reopens {
		if err := readSmall(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// writeSize is what programs that copy files write at once.
const writeSize = mib

func writeLarge(_ context.Context, p *place) error {
	f, err := os.Create(p.path(p.area + "large"))
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.NewSectionReader(noise{4, p.large}, 0, p.large), make([]byte, writeSize))
	return errors.Join(err, f.Close())
}

// copyPatched gives the subject a large object of its own.
func copyPatched(ctx context.Context, p *place) error {
	return p.fill.copy(ctx, patchedKey, p.area+"F")
}

func overwrite(_ context.Context, p *place) error { return p.change(os.O_WRONLY, p.patched/2) }

func appendEnd(_ context.Context, p *place) error {
	return p.change(os.O_WRONLY|os.O_APPEND, 0)
}

// change writes 1 MiB into the subject's large object.
func (p *place) change(flag int, off int64) error {
	f, err := os.OpenFile(p.path(p.area+"F"), flag, 0)
	if err != nil {
		return err
	}
	block := make([]byte, mib)
	if _, err := (noise{5, mib}).ReadAt(block, 0); err != nil {
		return err
	}
	if _, err = f.Seek(off, io.SeekStart); err == nil {
		_, err = f.Write(block)
	}
	return errors.Join(err, f.Close())
}

func moveFile(_ context.Context, p *place) error {
	return os.Rename(p.path(p.area+"F"), p.path(p.area+"G"))
}

func writeSmall(_ context.Context, p *place) error {
	content := make([]byte, p.smallFile)
	for i := range p.small {
		if _, err := (noise{uint64(i), p.smallFile}).ReadAt(content, 0); err != nil {
			return err
		}
		if err := os.WriteFile(p.path(p.area+smallName(i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func smallName(i int) string { return fmt.Sprintf("f%04d", i) }

func fillRemoved(ctx context.Context, p *place) error {
	if err := p.fill.area(ctx, p.area+"rm/"); err != nil {
		return err
	}
	return p.fill.many(ctx, p.small, func(i int) (string, int64) { return p.area + "rm/" + smallName(i), p.smallFile })
}

func removeTree(ctx context.Context, p *place) error {
	return shell(ctx, fmt.Sprintf("rm -r '%s'", p.path(p.area+"rm")))
}
