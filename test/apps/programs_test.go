package apps

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// noise is n bytes that do not compress; the same seed gives the same.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p); err != nil {
		panic(err) // documented never to fail
	}
	return p
}

// TestCurl resumes a download.
func TestCurl(t *testing.T) {
	mounttest.NeedFUSE(t)
	needs(t, "curl")
	content := noise(1, 3_000_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f", time.Unix(1e9, 0), bytes.NewReader(content))
	}))
	defer srv.Close()
	b := newBench(t, mounttest.Options{})
	b.env = append(b.env, "URL="+srv.URL)
	must(t, os.WriteFile(filepath.Join(b.local, "want"), content, 0o644))
	b.shell(t, `curl -sf -r 0-1234566 -o f "$URL"; test $(stat -c %s f) = 1234567; curl -sfR -C - -o f "$URL"`)
	b.Remount(t)
	b.shell(t, `cmp f "$LOCAL/want"; test $(stat -c %Y f) = 1000000000`)
}

// TestTail follows a growing file, through the mount that writes it and through another.
func TestTail(t *testing.T) {
	mounttest.NeedFUSE(t)
	needs(t, "tail")
	b := newBench(t, mounttest.Options{})
	other := b.Bucket.Mount(t, mounttest.Options{FS: fs.Options{Consistency: fs.Strict}})
	b.shell(t, `echo line 0 >>log`)
	for name, dir := range map[string]string{"same": b.Dir, "other": other.Dir} {
		out, err := os.Create(filepath.Join(b.local, name))
		must(t, err)
		tail := b.command(t, "tail", "-s", "0.05", "-n", "+1", "-f", filepath.Join(dir, "log"))
		tail.Stdout, tail.Stderr = out, out
		must(t, tail.Start())
		defer func() { must(t, errors.Join(kill(tail), out.Close())) }()
	}
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("line %d", i))
		if i > 0 {
			b.shell(t, fmt.Sprintf("echo line %d >>log", i))
		}
		for _, name := range []string{"same", "other"} {
			until(t, func() string { return fmt.Sprintf("tail in the %s mount says %q, want %q", name, b.lines(name), want) },
				func() bool { return slices.Equal(b.lines(name), want) })
		}
	}
}

// TestSparse makes a file of a terabyte, which costs nothing as long as nobody sends it.
func TestSparse(t *testing.T) {
	b := newBench(t, mounttest.Options{})
	f, err := os.Create(b.Path("sparse"))
	must(t, err)
	b.Server.ResetStats()
	must(t, f.Truncate(1<<40))
	st, err := f.Stat()
	must(t, err)
	if st.Size() != 1<<40 {
		t.Errorf("the size is %d", st.Size())
	}
	p := make([]byte, 10)
	_, err = f.ReadAt(p, 1<<39)
	must(t, err)
	if !bytes.Equal(p, make([]byte, 10)) {
		t.Errorf("a hole reads %v", p)
	}
	if n := b.Mutations(); n != 0 {
		t.Errorf("%d requests for a hole", n)
	}
	must(t, f.Truncate(100_000))
	_, err = f.WriteAt([]byte("end"), 199_997)
	must(t, err)
	must(t, f.Close())
	b.Remount(t)
	got, err := os.ReadFile(b.Path("sparse"))
	must(t, err)
	if !bytes.Equal(got, append(make([]byte, 199_997), "end"...)) {
		t.Error("what was written is not what is read")
	}
}

// TestZip reads an archive as programs do that know where to look: the end first, then here and there.
func TestZip(t *testing.T) {
	b := newBench(t, mounttest.Options{})
	f, err := os.Create(b.Path("a.zip"))
	must(t, err)
	w := zip.NewWriter(f)
	const members = 40
	for i := range members {
		m, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("m%02d", i), Method: uint16(i%2) * zip.Deflate})
		must(t, err)
		_, err = m.Write(noise(uint64(i), 100_000+i))
		must(t, err)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	b.Remount(t)
	b.Server.ResetStats()
	r, err := zip.OpenReader(b.Path("a.zip"))
	must(t, err)
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(members)[:10] {
		m, err := r.File[i].Open()
		must(t, err)
		got, err := io.ReadAll(m)
		must(t, errors.Join(err, m.Close()))
		if !bytes.Equal(got, noise(uint64(i), 100_000+i)) {
			t.Errorf("member %d is not what was written", i)
		}
	}
	must(t, r.Close())
}

const mapBytes = 300_001

// TestMmap writes through a shared mapping and reads through another one, in processes of their own.
func TestMmap(t *testing.T) {
	b := newBench(t, mounttest.Options{})
	must(t, os.WriteFile(b.Path("f"), noise(1, mapBytes), 0o644))
	b.Remount(t) // the pages to change come from the bucket
	b.child(t, "mmap-write", "f")
	b.Remount(t)
	b.child(t, "mmap-read", "f")
	got, err := os.ReadFile(b.Path("f"))
	must(t, err)
	if !bytes.Equal(got, mapped()) {
		t.Error("what read(2) gives is not what was written through the mapping")
	}
}

// mapped is what mapWrite makes of the file.
func mapped() []byte {
	p := noise(1, mapBytes)
	copy(p[100_000:], strings.Repeat("mapped ", 20_000))
	p[0], p[mapBytes-1] = 'a', 'z'
	return p
}

func withMap(path string, use func(p []byte) error) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p, err := unix.Mmap(int(f.Fd()), 0, mapBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(use(p), unix.Munmap(p))
}

func mapWrite(path string) error {
	return withMap(path, func(p []byte) error {
		if !bytes.Equal(p, noise(1, mapBytes)) {
			return errors.New("the mapping does not show the object")
		}
		copy(p, mapped())
		return unix.Msync(p, unix.MS_SYNC)
	})
}

func mapRead(path string) error {
	return withMap(path, func(p []byte) error {
		if !bytes.Equal(p, mapped()) {
			return errors.New("the mapping does not show what was written through one")
		}
		return nil
	})
}
