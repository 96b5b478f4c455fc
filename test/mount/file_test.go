package mount

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

func TestWriteReadRemount(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{
		Log: true, Store: writeback.Options{MultipartThreshold: 3 << 20},
	})
	files := map[string][]byte{
		"empty": nil,
		"small": []byte("x"),
		"page":  noise(1, 4096),
		"odd":   noise(2, 1<<20+17),
		"parts": noise(3, 12<<20+5), // goes up in parts
	}
	for name, content := range files {
		write(t, v.Path(name), content)
	}
	for range 2 {
		for name, content := range files {
			wantFile(t, v.Path(name), content)
			if got := stat(t, v.Path(name)); got.Size != int64(len(content)) || got.Blocks != (got.Size+511)/512 {
				t.Errorf("%s: size %d, %d blocks, want size %d", name, got.Size, got.Blocks, len(content))
			}
		}
		v.Remount(t)
	}
	if got := v.Count("CompleteMultipart"); got != 1 {
		t.Errorf("%d multipart uploads, want 1", got)
	}
}

func TestChangeInPlace(t *testing.T) {
	base := noise(1, 3<<20)
	changes := map[string]func(f *os.File) error{
		"overwrite the middle": func(f *os.File) error { _, err := f.WriteAt([]byte("middle"), 1<<20+3); return err },
		"write behind the end": func(f *os.File) error { _, err := f.WriteAt([]byte("end"), 4<<20); return err },
		"cut":                  func(f *os.File) error { return f.Truncate(1<<20 + 1) },
		"grow":                 func(f *os.File) error { return f.Truncate(3<<20 + 100) },
		"cut and grow": func(f *os.File) error {
			if err := f.Truncate(10); err != nil {
				return err
			}
			return f.Truncate(100)
		},
		"punch a hole": func(f *os.File) error {
			return syscall.Fallocate(int(f.Fd()), 1|2, 4096, 8192)
		},
	}
	v := mounttest.New(t, mounttest.Options{Log: true})
	local := t.TempDir()
	for name := range changes {
		put(t, v.Bucket, name, base)
		write(t, filepath.Join(local, name), base)
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			for _, dir := range []string{v.Dir, local} {
				f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
				must(t, err)
				must(t, change(f))
				must(t, f.Close())
			}
			want, err := os.ReadFile(filepath.Join(local, name))
			must(t, err)
			wantFile(t, v.Path(name), want)
			if got, _ := object(t, v.Bucket, name); !bytes.Equal(got, want) {
				t.Errorf("the object differs after close")
			}
		})
	}
}

func TestAppend(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	names(t, v.Dir)
	v.Server.ResetStats()
	var want []byte
	for i := range 20 {
		f, err := os.OpenFile(v.Path("log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		must(t, err)
		line := append(noise(uint64(i), i+1), '\n')
		want = append(want, line...)
		_, err = f.Write(line)
		must(t, err)
		must(t, f.Close())
	}
	s := v.Server.Stats()
	if got := s["AppendObject"]; got.Requests != 20 || v.Mutations() != 20 {
		t.Errorf("%d appends and %d changes in all, want 20: %+v", got.Requests, v.Mutations(), s)
	}
	wantFile(t, v.Path("log"), want)
	v.Remount(t)
	wantFile(t, v.Path("log"), want)
}

func TestTruncateByPath(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	write(t, v.Path("f"), []byte("0123456789"))
	must(t, os.Truncate(v.Path("f"), 4))
	if got, _ := object(t, v.Bucket, "f"); string(got) != "0123" {
		t.Errorf("object is %q when truncate has returned, want %q", got, "0123")
	}
	must(t, os.Truncate(v.Path("f"), 6))
	wantFile(t, v.Path("f"), []byte("0123\x00\x00"))
}

// TestRequestsOfSmallFiles holds the counts of everyday changes in a listed directory.
func TestRequestsOfSmallFiles(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "old", []byte("old content"))
	names(t, v.Dir)
	tests := []struct {
		name    string
		do      func()
		asks    bool // HEAD and LIST are allowed
		mutates int64
	}{
		{name: "echo > new", do: func() { write(t, v.Path("new"), []byte("x\n")) }, mutates: 1},
		{name: "touch", do: func() { write(t, v.Path("empty"), nil); syncFile(t, v.Path("empty")) }, mutates: 1},
		{name: "overwrite", do: func() { write(t, v.Path("old"), []byte("y\n")) }, asks: true, mutates: 1},
		{name: "overwrite own", do: func() { write(t, v.Path("new"), []byte("z\n")) }, asks: true, mutates: 1},
		{name: "mkdir", do: func() { must(t, os.Mkdir(v.Path("d"), 0o755)); syncFile(t, v.Path("d")) }, mutates: 1},
		{name: "new in new directory", do: func() { write(t, v.Path("d", "f"), []byte("x")) }, mutates: 1},
		{name: "absent", do: func() { _, _ = os.Lstat(v.Path("nothing")) }},
		{name: "df", do: func() { must(t, syscall.Statfs(v.Dir, new(syscall.Statfs_t))) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v.Server.ResetStats()
			tt.do()
			stats := v.Server.Stats()
			if got := v.Mutations(); got != tt.mutates {
				t.Errorf("%d requests changed something, want %d: %+v", got, tt.mutates, stats)
			}
			if asks := v.Count("HeadObject") + v.Count("ListObjects"); !tt.asks && asks != 0 {
				t.Errorf("%d HEADs and LISTs, want none: %+v", asks, stats)
			}
		})
	}
}

// syncFile commits what is there, and so waits for a commit under way.
func syncFile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	must(t, f.Sync())
}

func TestUnlinkedFileStaysReadable(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	want := noise(1, 1<<20)
	put(t, v.Bucket, "remote", want)
	write(t, v.Path("local"), want)
	for _, name := range []string{"remote", "local"} {
		f, err := os.Open(v.Path(name))
		must(t, err)
		must(t, os.Remove(v.Path(name)))
		if _, err := os.Lstat(v.Path(name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
		wantNames(t, v.Dir, after(name)...)
		var st syscall.Stat_t
		must(t, syscall.Fstat(int(f.Fd()), &st))
		if st.Nlink != 0 || st.Size != int64(len(want)) {
			t.Errorf("%s: nlink %d size %d, want 0 and %d", name, st.Nlink, st.Size, len(want))
		}
		got, err := io.ReadAll(f)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the open file lost its bytes", name)
		}
		must(t, f.Close())
	}
	v.Stop(t)
	wantKeys(t, v.Bucket)
}

// after is what is left when name has been removed.
func after(name string) []string {
	if name == "remote" {
		return []string{"local"}
	}
	return nil
}

func TestWriteToUnlinkedFileLeavesNothing(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	f, err := os.Create(v.Path("f"))
	must(t, err)
	must(t, os.Remove(v.Path("f")))
	_, err = f.Write([]byte("gone"))
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	v.Stop(t)
	wantKeys(t, v.Bucket)
	if got := v.Mutations(); got != 0 {
		t.Errorf("%d requests changed something, want none", got)
	}
}

func TestRefusedCommitIsToldAtClose(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	write(t, v.Path("f"), []byte("old"))
	remove := v.Server.AddRule(cosserver.Rule{Op: "PutObject", Key: "f", Action: cosserver.Fail, Status: 403})
	f, err := os.OpenFile(v.Path("f"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = f.WriteString("new content")
	must(t, err)
	wantErrno(t, "close", f.Close(), syscall.EACCES)
	if got, _ := object(t, v.Bucket, "f"); string(got) != "old" {
		t.Errorf("object is %q, want what it was", got)
	}
	wantFile(t, v.Path("f"), []byte("new content"))
	remove()
	syncFile(t, v.Path("f"))
	if got, _ := object(t, v.Bucket, "f"); string(got) != "new content" {
		t.Errorf("object is %q after fsync, want what was written", got)
	}
}

func TestOldContentIsNeverSeenEmpty(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	put(t, v.Bucket, "f", []byte("old"))
	f, err := os.OpenFile(v.Path("f"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	// What a shell does for "> f": duplicate the descriptor and close the first.
	fd, err := syscall.Dup(int(f.Fd()))
	must(t, err)
	must(t, f.Close())
	if got, _ := object(t, v.Bucket, "f"); string(got) != "old" {
		t.Errorf("object is %q before anything was written, want %q", got, "old")
	}
	_, err = syscall.Write(fd, []byte("new"))
	must(t, err)
	must(t, syscall.Close(fd))
	if got, _ := object(t, v.Bucket, "f"); string(got) != "new" {
		t.Errorf("object is %q after close, want %q", got, "new")
	}
}

func TestKernelKeepsPagesOfUnchangedVersion(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	want := noise(1, 256<<10)
	put(t, v.Bucket, "f", want)
	wantFile(t, v.Path("f"), want)
	v.Server.ResetStats()
	wantFile(t, v.Path("f"), want)
	if got := v.Count("GetObject"); got != 0 {
		t.Errorf("%d GETs for the second read, want none", got)
	}
}
