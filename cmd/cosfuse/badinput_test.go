package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBadInput checks that each mistake ends with the right exit code and a line that says what is
// wrong and what to do.
func TestBadInput(t *testing.T) {
	keys := map[string]string{"COS_SECRET_ID": "AKIDtest", "COS_SECRET_KEY": "hush-hush"}
	const bucket = "photos-1250000000"
	tests := []struct {
		name string
		args []string // MNT is replaced by an empty directory, HOME by the home directory
		env  map[string]string
		code int
		want []string
	}{
		{"unknown command", []string{"mout"}, nil, exitUsage, []string{`"mout"`, `did you mean "cosfuse mount"`}},
		{"unknown command, nothing near", []string{"frobnicate"}, nil, exitUsage, []string{"cosfuse --help"}},
		{"unknown flag", []string{"mount", bucket, "MNT", "--reigon", "x"}, nil, exitUsage, []string{"--reigon", "did you mean --region?"}},
		{"unknown flag, nothing near", []string{"mount", "--xyzzy-plugh"}, nil, exitUsage, []string{"--xyzzy-plugh", "--help"}},
		{"unknown short flag", []string{"mount", "-Z"}, nil, exitUsage, []string{"-Z"}},
		{"flag without value", []string{"mount", "--region"}, nil, exitUsage, []string{"region", "--help"}},
		{"bad size", []string{"mount", "--memory", "lots", bucket, "MNT"}, nil, exitUsage, []string{"memory", "20MiB"}},
		{"bad mode", []string{"mount", "--file-mode", "rw", bucket, "MNT"}, nil, exitUsage, []string{"file-mode", "0644"}},
		{"bad log level", []string{"mount", "--log-level", "loud", bucket, "MNT"}, nil, exitUsage, []string{"debug, info, warn or error"}},
		{"secret as flag", []string{"mount", "--secret-key", "hush-hush", bucket, "MNT"}, nil, exitUsage,
			[]string{"--secret-key is not accepted", "--credentials FILE", "COS_SECRET_KEY"}},
		{"secret as flag with =", []string{"mount", "--secret_id=hush-hush", bucket, "MNT"}, nil, exitUsage, []string{"not accepted"}},
		{"secret with one dash", []string{"mount", "-secret-key=hush-hush", bucket, "MNT"}, nil, exitUsage, []string{"not accepted"}},
		{"secret in endpoint", []string{"mount", "--endpoint", "http://id:hush-hush@127.0.0.1:1", bucket, "MNT"}, keys, exitUsage,
			[]string{"--endpoint", "--credentials FILE"}},
		{"no arguments", []string{"mount"}, keys, exitUsage, []string{"the bucket is missing", "usage:"}},
		{"no mountpoint", []string{"mount", bucket}, keys, exitUsage, []string{"the mountpoint is missing"}},
		{"one argument too many", []string{"mount", bucket, "MNT", "extra"}, keys, exitUsage, []string{`"extra"`}},
		{"local with a bucket", []string{"mount", "--local", "HOME/d", bucket, "MNT"}, nil, exitUsage, []string{"one argument too many"}},
		{"local with an endpoint", []string{"mount", "--local", "HOME/d", "--endpoint", "http://127.0.0.1:1", "MNT"}, nil, exitUsage,
			[]string{"--local", "leave out"}},
		{"no APPID", []string{"mount", "photos", "MNT"}, keys, exitUsage, []string{"no APPID", "photos-1250000000"}},
		{"not a bucket", []string{"mount", "Photos_1", "MNT"}, keys, exitUsage, []string{"not a bucket name", "photos-1250000000"}},
		{"bad prefix", []string{"mount", bucket + ":/a/../b", "MNT"}, keys, exitUsage, []string{`".."`}},
		{"no region", []string{"mount", bucket, "MNT"}, keys, exitUsage, []string{"region is missing", "--region", "COS_REGION"}},
		{"no region for an address", []string{"mount", bucket, "MNT", "--endpoint", "http://127.0.0.1:9"}, keys, exitUsage, []string{"region is missing"}},
		{"bad region", []string{"mount", bucket, "MNT", "--region", "Guangzhou"}, keys, exitUsage, []string{"ap-guangzhou"}},
		{"two regions", []string{"mount", bucket, "MNT", "--region", "ap-beijing", "--endpoint", "http://cos.ap-guangzhou.myqcloud.com"}, keys,
			exitUsage, []string{"ap-guangzhou", "ap-beijing", "leave one"}},
		{"no credentials", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou"}, nil, exitUsage,
			[]string{"no credentials", "COS_SECRET_ID", "--credentials FILE", "--anonymous"}},
		{"half the credentials", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou"},
			map[string]string{"COS_SECRET_ID": "AKIDtest"}, exitUsage, []string{"not complete", "both"}},
		{"blank in credentials", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou"},
			map[string]string{"COS_SECRET_ID": "AKIDtest", "COS_SECRET_KEY": "hush-hush\n"}, exitUsage, []string{"blanks"}},
		{"two sources", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou", "--anonymous", "--credentials", "HOME/none"}, nil,
			exitUsage, []string{"more than one way"}},
		{"bad endpoint scheme", []string{"mount", bucket, "MNT", "--endpoint", "ftp://x"}, keys, exitUsage, []string{"http://"}},
		{"endpoint with path", []string{"mount", bucket, "MNT", "--endpoint", "http://127.0.0.1:1/x"}, keys, exitUsage, []string{"more than a host"}},
		{"threads", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou", "--threads", "0"}, keys, exitUsage, []string{"--threads", "256"}},
		{"negative ttl", []string{"mount", bucket, "MNT", "--region", "ap-guangzhou", "--meta-ttl=-1s"}, keys, exitUsage, []string{"0s"}},
		{"no config file", []string{"mount", bucket, "MNT", "--config", "HOME/none.yaml"}, keys, exitUsage, []string{"none.yaml", "--config"}},
		{"mountpoint missing", []string{"mount", bucket, "HOME/none", "--region", "ap-guangzhou"}, keys, exitMachine,
			[]string{"does not exist", "mkdir -p"}},
		{"mountpoint's parent missing", []string{"mount", bucket, "HOME/none/none", "--region", "ap-guangzhou"}, keys, exitMachine,
			[]string{"does not exist", "mkdir -p"}},
		{"mountpoint a file", []string{"mount", bucket, "HOME/file", "--region", "ap-guangzhou"}, keys, exitMachine, []string{"not a directory"}},
		{"mountpoint not empty", []string{"mount", bucket, "HOME/full", "--region", "ap-guangzhou"}, keys, exitMachine,
			[]string{"not empty", "--nonempty", `"keep"`}},
		{"umount without argument", []string{"umount"}, nil, exitUsage, []string{"mountpoint is missing"}},
		{"umount of nothing", []string{"umount", "MNT"}, nil, exitMachine, []string{"nothing is mounted", "findmnt"}},
		{"umount of another file system", []string{"umount", "/proc"}, nil, exitMachine, []string{"not a mount of cosfuse", "umount /proc"}},
		{"version with argument", []string{"version", "x"}, nil, exitUsage, []string{"too many"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			tc.mkdir(t, "mnt")
			tc.mkdir(t, "full/keep")
			tc.write(t, "file", "", 0o644)
			for k, v := range tt.env {
				tc.env[k] = v
			}
			var args []string
			for _, a := range tt.args {
				if a == "MNT" {
					a = "HOME/mnt"
				}
				args = append(args, strings.Replace(a, "HOME", tc.dir, 1))
			}
			tc.expectFailure(t, args, tt.code, tt.want)
		})
	}
}

// expectFailure runs the command and checks its exit code and what it says, in one line.
func (tc *testCLI) expectFailure(t *testing.T, args []string, code int, want []string) {
	t.Helper()
	if got := tc.run(t.Context(), args); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	said := tc.err.String()
	if !strings.HasPrefix(said, "cosfuse: ") || strings.Count(said, "\n") != 1 {
		t.Errorf("not one line that begins with the command's name: %q", said)
	}
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("message lacks %q: %s", w, said)
		}
	}
	if strings.Contains(said+tc.out.String(), "hush") {
		t.Errorf("message shows a secret: %s", said)
	}
}

func TestFuseMissing(t *testing.T) {
	tests := []struct {
		name   string
		device func(t *testing.T, tc *testCLI) string
		want   []string
	}{
		{"no device", func(_ *testing.T, tc *testCLI) string { return filepath.Join(tc.dir, "fuse") },
			[]string{"there is no", "modprobe fuse", "--device /dev/fuse"}},
		{"no driver", func(t *testing.T, tc *testCLI) string {
			path := filepath.Join(tc.dir, "fuse")
			if err := syscall.Mknod(path, syscall.S_IFCHR|0o600, 240<<8|77); err != nil {
				t.Skipf("making a device needs root: %v", err)
			}
			return path
		}, []string{"fuse"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			tc.devFuse = tt.device(t, tc)
			mnt := tc.mkdir(t, "mnt")
			tc.expectFailure(t, []string{"mount", "--local", filepath.Join(tc.dir, "d"), mnt}, exitMachine, tt.want)
			if _, err := os.Stat(filepath.Join(tc.dir, "cache")); err == nil {
				t.Error("a refused mount made a cache directory")
			}
		})
	}
}
