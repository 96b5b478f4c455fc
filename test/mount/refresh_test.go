package mount

import (
	"os"
	"syscall"
	"testing"

	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// TestRefresh checks that what others did shows at once where it was asked for, and what is elsewhere stays.
func TestRefresh(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{})
	for _, key := range []string{"d/gone", "d/grown", "d/sub/f", "other/f"} {
		put(t, v.Bucket, key, []byte("old"))
		stat(t, v.Path(key))
	}
	for _, dir := range []string{"", "d", "d/sub", "other"} {
		names(t, v.Path(dir))
	}
	for _, key := range []string{"d/grown", "d/made", "d/sub/f", "other/f"} {
		put(t, v.Bucket, key, []byte("newer"))
	}
	must(t, v.Client.Delete(t.Context(), "d/gone", nil))
	must(t, v.Mount.Refresh(t.Context(), "d"))

	wantNames(t, v.Path("d"), "grown", "made", "sub")
	for _, name := range []string{"d/grown", "d/made", "d/sub/f"} {
		if size := stat(t, v.Path(name)).Size; size != 5 {
			t.Errorf("%s has %d bytes after the refresh, want 5", name, size)
		}
	}
	_, err := os.Lstat(v.Path("d/gone"))
	wantErrno(t, "what was deleted", err, syscall.ENOENT)
	v.Server.ResetStats()
	if size := stat(t, v.Path("other/f")).Size; size != 3 || v.Server.Stats().Requests() != 0 {
		t.Errorf("what was not refreshed has %d bytes and cost %v", size, v.Server.Stats())
	}
	must(t, v.Mount.Refresh(t.Context(), "other/f"))
	if size := stat(t, v.Path("other/f")).Size; size != 5 {
		t.Errorf("the file has %d bytes after its refresh, want 5", size)
	}
	must(t, v.Mount.Refresh(t.Context(), ""))
	wantFile(t, v.Path("d/sub/f"), []byte("newer"))
}

// TestWarm checks that what was warmed is read without a request for data, in a later mount, too.
func TestWarm(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Disk: 256 << 20})
	tree := map[string][]byte{"d/a": noise(1, 9<<20), "d/e/b": noise(2, 1000), "d/e/empty": nil, "c": noise(3, 5000)}
	var size int64
	for key, content := range tree {
		put(t, v.Bucket, key, content)
		size += int64(len(content))
	}
	var w fs.Warmth
	must(t, v.Mount.Warm(t.Context(), "", &w))
	if w.Files.Load() != 4 || w.FilesDone.Load() != 4 || w.Bytes.Load() != size || w.BytesDone.Load() != size || !w.Found.Load() {
		t.Errorf("done %d of %d files, %d of %d bytes", w.FilesDone.Load(), w.Files.Load(), w.BytesDone.Load(), w.Bytes.Load())
	}
	for range 2 {
		for name, content := range tree {
			wantNoData(t, v, name, content)
		}
		v.Remount(t)
	}
	wantErrno(t, "warming what is not there", v.Mount.Warm(t.Context(), "d/none", new(fs.Warmth)), syscall.ENOENT)
}
