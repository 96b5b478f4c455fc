package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cosfuse/cos/cosserver"
	"cosfuse/writeback"
)

// TestRenameLeavesBehind renames a directory with an object that the service does not copy: the rest moves, the
// file is there under its new name, and status and recover tell of it until it has moved, too.
func TestRenameLeavesBehind(t *testing.T) {
	r := newRemote(t)
	for _, name := range []string{"a", "b", "cold"} {
		if _, err := r.client.Put(t.Context(), "d/"+name, strings.NewReader(name), int64(len(name)), nil); err != nil {
			t.Fatal(err)
		}
	}
	lift := r.srv.AddRule(cosserver.Rule{Op: "CopyObject", Key: "e/cold", Action: cosserver.Fail, Status: 403, Code: "InvalidObjectState"})
	r.run(t, exitOK, r.args...)
	if err := os.Rename(filepath.Join(r.mnt, "d"), filepath.Join(r.mnt, "e")); err != nil {
		t.Fatal(err)
	}
	look := func() string {
		t.Helper()
		for _, name := range []string{"a", "b", "cold"} {
			wantFile(t, filepath.Join(r.mnt, "e", name), name)
		}
		if _, err := os.Stat(filepath.Join(r.mnt, "d", "cold")); !os.IsNotExist(err) {
			t.Errorf("the old name: %v, want that there is none", err)
		}
		m := r.report(t, "mnt")
		if len(m.Files) != 1 || m.Files[0].Path != "e/cold" || m.Files[0].Behind != "d/cold" || m.Totals.Failed != 1 ||
			m.Files[0].State != writeback.StateFailed || !strings.Contains(m.Files[0].Error, "InvalidObjectState") {
			t.Fatalf("status: %+v", m)
		}
		for _, args := range [][]string{{"status", "mnt"}, {"recover", "list", "--mount", "mnt"}} {
			if out := r.run(t, exitOK, args...); !strings.Contains(out, "e/cold (still at d/cold in the bucket): ") {
				t.Errorf("%v said %q", args, out)
			}
		}
		return strconv.FormatUint(m.Files[0].Ino, 10)
	}
	ino := look()
	if out := r.run(t, exitUncommitted, "recover", "retry", ino, "--mount", "mnt"); !strings.Contains(out, "InvalidObjectState") {
		t.Errorf("retry said %q", out)
	}
	if out := r.run(t, exitOther, "recover", "drop", ino, "--mount", "mnt"); !strings.Contains(out, "called d/cold again") {
		t.Errorf("drop asked %q", out)
	}
	if out := r.run(t, exitUncommitted, "umount", "mnt"); !strings.Contains(out, "e/cold") {
		t.Errorf("umount said %q", out)
	}
	if out := r.run(t, exitOK, r.args...); !strings.Contains(out, "recovered from an earlier mount: 1 file") {
		t.Errorf("mount said %q", out)
	}
	look()
	lift()
	r.run(t, exitOK, "sync", "mnt")
	if got := r.object(t, "e/cold"); got != "cold" {
		t.Errorf("in the bucket: %q", got)
	}
	r.run(t, exitOK, "umount", "mnt")
}
