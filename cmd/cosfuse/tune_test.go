package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	o := &mountOptions{memory: 64 << 20}
	debug.SetMemoryLimit(math.MaxInt64)
	o.limitMemory(func(string) string { return "1GiB" })
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("with GOMEMLIMIT set the limit becomes %d", got)
	}
	o.limitMemory(func(string) string { return "" })
	if got := debug.SetMemoryLimit(-1); got != 174<<20 {
		t.Errorf("the limit is %d, want 64 MiB and 150 MiB, less 40 MiB that it does not count", got)
	}
}

func TestRaiseReadAhead(t *testing.T) {
	for _, tt := range []struct {
		name, now, want string
		bad             bool
	}{
		{"raised", "128\n", "1024", false},
		{"larger stays", "4096\n", "4096\n", false},
		{"not a number", "many\n", "many\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "read_ahead_kb")
			if err := os.WriteFile(file, []byte(tt.now), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := raiseReadAhead(file); (err != nil) != tt.bad {
				t.Errorf("error %v", err)
			}
			if got, err := os.ReadFile(file); err != nil || string(got) != tt.want {
				t.Errorf("it is %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if err := raiseReadAhead(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("without sysfs: %v", err)
	}
}

// TestMountReadsFarther checks a real mount, where the kernel lets us.
func TestMountReadsFarther(t *testing.T) {
	m := newMachine(t)
	if os.Getuid() != 0 {
		t.Skip("only root may change the kernel's read-ahead")
	}
	m.run(t, exitOK, "mount", "--local", "data", "mnt")
	defer m.run(t, exitOK, "umount", "mnt")
	e, mounted, err := newCLI(nil, nil, nil).findMount(m.mnt)
	if err != nil || !mounted {
		t.Fatal(mounted, err)
	}
	file := filepath.Join("/sys/class/bdi", e.device, "read_ahead_kb")
	if err := unix.Access(file, unix.W_OK); err != nil {
		t.Skipf("%s: %v", file, err)
	}
	if got, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(got)) != "1024" {
		t.Errorf("%s is %q, %v", file, got, err)
	}
}
