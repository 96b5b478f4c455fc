package gates

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

const mib = 1 << 20

// distant is how far away the service is for these tests, and how fast each connection.
var distant = cosserver.Shape{Latency: 15 * time.Millisecond, BytesPerSecond: 100e6}

// budget is what an operation may cost. Questions for an ACL are not counted.
type budget struct {
	requests       int64
	sent, received int64 // bytes
}

func (b budget) check(t *testing.T, u mounttest.Usage) {
	t.Helper()
	logOps(t, u)
	wantAtMost(t, "requests", u.Total(), b.requests)
	wantAtMost(t, "bytes sent", u.Sent(), b.sent)
	wantAtMost(t, "bytes received", u.Received(), b.received)
}

// TestLargeObject changes an object that somebody else made, through a fresh mount. The budgets are those
// of 256 MiB, which is its size in the long form: they do not depend on the size.
func TestLargeObject(t *testing.T) {
	mounttest.NeedFUSE(t)
	size := 64 * mib
	if long() {
		size = 256 * mib
	}
	middle := size / 2
	b := mounttest.NewBucket(t, cosserver.Options{LogSize: 1 << 10})
	f := noise(2, size)
	put(t, b, "F", f)
	block := noise(1, mib)
	path := filepath.Join(t.TempDir(), "block")
	must(t, os.WriteFile(path, block, 0o644))
	crc := func(p ...[]byte) (sum uint64) {
		for _, q := range p {
			sum = cos.CRC64Update(sum, q)
		}
		return sum
	}
	tests := []struct {
		name, script string
		budget       budget
		key          string // what the object is called then
		crc          uint64
		around       int // where to compare bytes
		want         []byte
	}{
		{"overwrite 1 MiB in the middle", `dd if="$BLOCK" of=F bs=1M seek=$((MIB / 2)) conv=notrunc`, budget{9, 3 * mib, 2 * mib},
			"F", crc(f[:middle], block, f[middle+mib:]), middle - mib, slices.Concat(f[middle-mib:middle], block, f[middle+mib:middle+2*mib])},
		{"append 1 MiB", `dd if="$BLOCK" of=F bs=1M oflag=append conv=notrunc`, budget{8, 2 * mib, 0},
			"F", crc(f, block), size - mib, slices.Concat(f[size-mib:], block)},
		{"cut 1 MiB", `truncate -s $((MIB - 1))M F`, budget{8, 2 * mib, 2 * mib}, "F", crc(f[:size-mib]), size - 2*mib, f[size-2*mib : size-mib]},
		{"rename", `mv F G`, budget{3, 0, 0}, "G", crc(f), middle, f[middle : middle+mib]},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := fmt.Sprint("d", i)
			_, err := b.Client.Copy(context.Background(), dir+"/F", &cos.CopyOptions{Source: cos.Source{Key: "F"}})
			must(t, err)
			v := b.Mount(t, mounttest.Options{Log: true})
			v.StopClock()
			env := []string{mnt(v), "D=" + dir, "BLOCK=" + path, fmt.Sprint("MIB=", size/mib)}
			shell(t, `ls -la "$MNT/$D"`, env...)
			b.Server.SetShape(distant)
			defer b.Server.SetShape(cosserver.Shape{})
			u := v.Measure(t, func() { shell(t, `cd "$MNT/$D"; `+tt.script, env...) })
			tt.budget.check(t, u)
			info, err := b.Client.Head(context.Background(), dir+"/"+tt.key, nil)
			must(t, err)
			if !info.HasCRC64 || info.CRC64 != tt.crc {
				t.Errorf("the object has CRC64 %d (told: %t), want %d", info.CRC64, info.HasCRC64, tt.crc)
			}
			v.Remount(t)
			wantRange(t, v.Path(dir, tt.key), int64(tt.around), tt.want)
		})
	}
}

// wantRange checks the bytes of a file from off.
func wantRange(t *testing.T, path string, off int64, want []byte) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	got := make([]byte, len(want))
	_, err = f.ReadAt(got, off)
	must(t, err)
	must(t, f.Close())
	if !bytes.Equal(got, want) {
		t.Errorf("%s: other bytes from %d on", path, off)
	}
}

// TestEarlyParts writes a file no faster than the network takes it: while it is written, and so when it is
// closed, at most two parts of it have not arrived, whatever close waits for.
func TestEarlyParts(t *testing.T) {
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprint("background ", background), func(t *testing.T) { earlyParts(t, background) })
	}
}

func earlyParts(t *testing.T, background bool) {
	size, most := int64(64*mib), 2
	if long() {
		size = 256 * mib
	}
	v := newVolume(t, mounttest.Options{Store: writeback.Options{Background: background}})
	shell(t, `ls -la "$MNT"`, mnt(v))
	v.Server.SetShape(distant)
	block := noise(1, mib)
	u := v.Measure(t, func() {
		f, err := os.Create(v.Path("F"))
		must(t, err)
		for written := int64(mib); written <= size; written += mib {
			_, err := f.Write(block)
			must(t, err)
			awaitParts(t, v, int(written/(8*mib))-most)
		}
		must(t, f.Close())
	})
	budget{requests: size/(8*mib) + 8, sent: size + mib}.check(t, u)
	v.Server.SetShape(cosserver.Shape{})
	v.Remount(t)
	wantRange(t, v.Path("F"), size-mib, block)
}

// awaitParts returns when so many parts have arrived.
func awaitParts(t *testing.T, v *mounttest.Volume, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := 0
		for _, r := range v.Server.Log() {
			if r.Op == "UploadPart" {
				got++
			}
		}
		if got >= want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d parts were sent while the file was written, want %d", got, want)
		}
	}
}

// TestManyFiles works on many small files.
func TestManyFiles(t *testing.T) {
	needs(t, "tar")
	src := t.TempDir()
	for d := range 20 {
		dir := filepath.Join(src, "tree", fmt.Sprintf("d%02d", d))
		must(t, os.MkdirAll(dir, 0o755))
		for f := range 10 {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", f)), noise(uint64(d*10+f), 2000), 0o640))
		}
	}
	shell(t, `cd "$SRC"; tar -cf tree.tar tree; head -c 16384 /dev/urandom >block`, "SRC="+src)
	objects := func(n int) func(*testing.T, *mounttest.Bucket) {
		return func(t *testing.T, b *mounttest.Bucket) {
			for i := range n {
				put(t, b, fmt.Sprintf("dir/f%03d", i), noise(uint64(i), 500))
			}
		}
	}
	tests := []struct {
		name   string
		before func(*testing.T, *mounttest.Bucket)
		setup  string // on the mount, not counted
		script string
		most   int64
		only   map[string]int64 // nil: anything
		check  string           // after a remount
	}{
		{name: "100 new files", script: `for i in $(seq 100); do cat "$SRC/block" >"f$i"; done`, most: 100,
			only: map[string]int64{"PutObject": 100}, check: `for i in $(seq 100); do cmp "$SRC/block" "f$i"; done`},
		{name: "untar 200 files in 20 directories", setup: `mkdir in`, script: `tar -xf "$SRC/tree.tar" -C in`, most: 225,
			check: `diff -r "$SRC/tree" in/tree; tar -df "$SRC/tree.tar" -C in`},
		{name: "rename a directory of 50 objects", before: objects(50), setup: `ls -la dir`, script: `mv dir moved`, most: 56,
			check: `test "$(ls)" = moved; test "$(ls moved | wc -l)" = 50`},
		{name: "rename a directory of 50 files of ours", setup: `mkdir dir; for i in $(seq 50); do echo $i >dir/f$i; done`,
			script: `mv dir moved`, most: 56, check: `test "$(ls)" = moved; for i in $(seq 50); do test "$(cat moved/f$i)" = $i; done`},
		{name: "rm -r of 100 objects", before: objects(100), setup: `ls -la dir`, script: `rm -r dir`, most: 6, check: `test -z "$(ls)"`},
		{name: "rm -r of 100 files of ours", setup: `mkdir dir; for i in $(seq 100); do echo $i >dir/f$i; done`,
			script: `rm -r dir`, most: 6, check: `test -z "$(ls)"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newStoppedVolume(t, mounttest.Options{})
			if tt.before != nil {
				tt.before(t, v.Bucket)
			}
			env := []string{mnt(v), "SRC=" + src}
			shell(t, `cd "$MNT"; ls -la; `+tt.setup, env...)
			v.Drain(t)
			v.Server.SetShape(distant)
			u := v.Measure(t, func() { shell(t, `cd "$MNT"; `+tt.script, env...) })
			v.Server.SetShape(cosserver.Shape{})
			logOps(t, u)
			wantAtMost(t, "requests", u.Total(), tt.most)
			if tt.only != nil {
				wantOps(t, u, tt.only)
			}
			v.Remount(t)
			shell(t, `cd "$MNT"; `+tt.check, env...)
		})
	}
}
