package journal

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

var testID = Identity{Bucket: "b-1", Prefix: "p/"}

// open opens the journal in dir of fs.
func open(t *testing.T, fs vfs.FS, dir string) *Journal {
	t.Helper()
	j, err := Open(dir, testID, Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// full is a state with every kind of record, every field set.
func full() State {
	at := time.Unix(1700000000, 5).UTC()
	v := Version{ETag: "e", Size: 7, LastModified: at, CRC64: 1 << 63, HasCRC64: true, Appendable: true}
	return State{
		Inodes: []Inode{{Ino: 1, Key: "ä/\x01", Base: v, Size: 9, Extents: []Extent{{Off: 1, End: 2, Kind: 1, Dirty: true, Src: 3, SrcOff: 4}},
			Attr: []byte{0, 1}, NeverCommitted: true, Fresh: true, Shadows: true, ShadowsAt: at, Excl: true, Trunc: true, DirtyData: true,
			DirtyAttr: true, AppendOnly: true, MtimeSet: true, ACLKnown: true, Conflict: true, Since: at, Err: "x",
			Attempt: &Attempt{At: at, Size: 1, CRC64: 2, HasCRC64: true, Append: true, From: 3}}},
		Deltas: []Delta{{Ino: 1, Seq: 1, Src: 2, Off: 3, Data: []byte("abc")}, {Ino: 1, Seq: 2, Src: 2, Off: 0, Data: []byte{0}}},
		Uploads: []Upload{{Key: "a", UploadID: "u", Ino: 1, Since: at, Keep: true,
			Parts: []Part{{Number: 1, ETag: "e", Size: 2, CRC64: 3, HasCRC64: true}}}},
		Removals: []Removal{{Key: "gone", Version: v, Since: at}},
		Renames:  []TreeRename{{ID: 4, Src: "s/", Dst: "d/", Since: at, Version: v, Replaced: 5}},
		Intents:  []Intent{{ID: 6, Key: "k", Since: at, Until: at}},
	}
}

// record writes all of s in one batch.
func record(b *Batch, s State) {
	for _, r := range s.Inodes {
		b.PutInode(r)
	}
	for _, r := range s.Deltas {
		b.PutDelta(r)
	}
	for _, r := range s.Uploads {
		b.PutUpload(r)
	}
	for _, r := range s.Removals {
		b.PutRemoval(r)
	}
	for _, r := range s.Renames {
		b.PutRename(r)
	}
	for _, r := range s.Intents {
		b.PutIntent(r)
	}
}

// TestRoundTrip writes every record, reads it after a reopening, and drops it.
func TestRoundTrip(t *testing.T) {
	fs := vfs.NewMem()
	j := open(t, fs, "j")
	want := full()
	b := j.Begin()
	record(b, want)
	must(t, b.Commit(Sync))
	must(t, j.Close())
	j = open(t, fs, "j")
	got, err := j.Load()
	must(t, err)
	if d := cmp.Diff(&want, got); d != "" {
		t.Fatalf("-want +got\n%s", d)
	}
	b = j.Begin()
	b.DropInode(1)
	b.DropUpload("u")
	b.DropIntent(6)
	b.DropRemoval("gone")
	b.DropRename(4)
	b.DropIntent(6)
	must(t, b.Commit(NoSync))
	got, err = j.Load()
	must(t, err)
	if !got.Empty() {
		t.Fatalf("left: %+v", got)
	}
	must(t, j.Close())
}

// TestPowerCut keeps what was synced and, of what was not, never a later batch without the earlier ones.
func TestPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	j := open(t, fs, "j")
	b := j.Begin()
	b.PutRemoval(Removal{Key: "1"})
	must(t, b.Commit(Sync))
	for _, key := range []string{"2", "3"} {
		b = j.Begin()
		b.PutRemoval(Removal{Key: key})
		must(t, b.Commit(NoSync))
	}
	image := fs.CrashClone(vfs.CrashCloneCfg{})
	must(t, j.Close())
	j = open(t, image, "j")
	got, err := j.Load()
	must(t, err)
	for i, r := range got.Removals {
		if want := string(rune('1' + i)); r.Key != want {
			t.Fatalf("record %d is %q, want %q", i, r.Key, want)
		}
	}
	if len(got.Removals) == 0 {
		t.Fatal("the synced batch is gone")
	}
	must(t, j.Close())
}

// TestRefusals checks whose journal it is before anything is done to it.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	j := open(t, vfs.Default, dir)
	if _, err := Open(dir, testID, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	must(t, j.Close())
	if _, err := Open(dir, Identity{Bucket: "other-1"}, Options{}); !errors.Is(err, ErrForeign) {
		t.Fatalf("got %v, want ErrForeign", err)
	}
	j = open(t, vfs.Default, dir)
	b := j.Begin()
	b.put([]byte{kindIdentity}, Identity{Version: FormatVersion + 1, Bucket: testID.Bucket, Prefix: testID.Prefix})
	must(t, b.Commit(Sync))
	must(t, j.Close())
	if _, err := Open(dir, testID, Options{}); !errors.Is(err, ErrFormat) {
		t.Fatalf("got %v, want ErrFormat", err)
	}
}

// FuzzState feeds damaged records to the decoder: an error or a state, never a panic.
func FuzzState(f *testing.F) {
	f.Add([]byte("i12345678"), []byte(`{"ino":1,"extents":[{"o":1}]}`))
	f.Add([]byte("d1234567812345678"), []byte("123456789012data"))
	f.Add([]byte("?"), []byte(""))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 {
			return
		}
		_ = new(State).add(key, value) // must not panic; what it returns is for Load
	})
}
