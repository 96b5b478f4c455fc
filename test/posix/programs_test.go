package posix

import (
	"os/exec"
	"testing"
	"time"

	"cosfuse/test/internal/mounttest"
	"cosfuse/writeback"
)

// run runs a program on the mount and wants it to succeed.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, name}, args...)...)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %q: %v: %.4000s", name, args, err, out)
	}
}

// needs skips the test where a program is not installed.
func needs(t *testing.T, program string) {
	t.Helper()
	mounttest.NeedFUSE(t)
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// TestFio writes in several ways, and has fio verify it: at once, and after a remount with empty caches.
func TestFio(t *testing.T) {
	needs(t, "fio")
	v := mounttest.New(t, mounttest.Options{Log: true, Store: writeback.Options{MultipartThreshold: 2 << 20}})
	jobs := []struct {
		name string
		args []string
	}{
		{"sequential", []string{"--rw=write", "--bs=128k", "--size=8m"}},
		{"random", []string{"--rw=randwrite", "--bs=4k", "--size=2m"}},
		{"odd", []string{"--rw=randwrite", "--bsrange=512-9k", "--bs_unaligned=1", "--size=1m"}},
		{"tiny", []string{"--rw=write", "--bs=100", "--size=100k"}},
		{"mmap", []string{"--rw=randwrite", "--bs=4k", "--size=1m", "--ioengine=mmap"}},
		{"synced", []string{"--rw=write", "--bs=64k", "--size=512k", "--fsync=2"}},
		{"several", []string{"--rw=randwrite", "--bs=16k", "--size=512k", "--numjobs=4"}},
	}
	fio := func(name string, args ...string) {
		t.Helper()
		run(t, v.Dir, "fio", append([]string{"--name=" + name, "--verify=crc32c", "--verify_fatal=1", "--randseed=7", "--minimal"}, args...)...)
	}
	for _, j := range jobs {
		fio(j.name, append(j.args, "--do_verify=1")...)
	}
	v.Remount(t)
	for _, j := range jobs {
		fio(j.name, append(j.args, "--verify_only=1")...)
	}
}

// TestStress runs those of stress-ng's stressors that are about files and are not about what a bucket cannot be.
func TestStress(t *testing.T) {
	needs(t, "stress-ng")
	for _, stressor := range []string{
		"access", "chdir", "chmod", "dentry", "dir", "dirdeep", "fallocate", "fstat", "getdent", "hdd", "lease", "locka", "open",
		"readahead", "rename", "seek", "touch", "utime", "xattr",
	} {
		t.Run(stressor, func(t *testing.T) {
			v := mounttest.New(t, mounttest.Options{Log: true})
			args := []string{"--temp-path", v.Dir, "--" + stressor, "2", "--timeout", "1s", "--verify", "--oom-avoid"}
			switch stressor {
			case "hdd":
				args = append(args, "--hdd-bytes", "4m")
			case "fallocate":
				args = append(args, "--fallocate-bytes", "4m")
			case "seek":
				args = append(args, "--seek-size", "2m")
			case "readahead":
				args = append(args, "--readahead-bytes", "4m")
			case "dentry":
				args = append(args, "--dentries", "100")
			}
			run(t, "/", "stress-ng", args...)
		})
	}
}
