package mount

import (
	"bytes"
	"os"
	"testing"

	"cosfuse/test/internal/mounttest"
)

func TestWriteReadRemount(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	want := bytes.Repeat([]byte("some bytes "), 1000)
	if err := os.WriteFile(v.Path("f"), want, 0o640); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := os.ReadFile(v.Path("f"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, want %d equal ones", len(got), len(want))
		}
		v.Remount(t)
	}
}
