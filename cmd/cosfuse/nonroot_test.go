package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without rights of any kind.
const nobody = "65534"

// asNobody runs a script in a mount namespace of its own, where /dev/fuse is open to all as it is on
// an ordinary machine, and so changes nothing outside. In the script, "run" runs a command as nobody
// and "cosfuse" is this command.
const asNobody = `set -eu
mknod -m 666 fuse c 10 229
mount --bind fuse /dev/fuse
run() { setpriv --reuid ` + nobody + ` --regid ` + nobody + ` --clear-groups "$@"; }
cosfuse() { ` + commandEnv + `=1 GORACE=atexit_sleep_ms=0 run ./cosfuse "$@"; }
`

// TestNotRoot checks that users other than root can mount, through fusermount3.
func TestNotRoot(t *testing.T) {
	skipWithoutFuse(t, newCLI(nil, nil, nil))
	if os.Getuid() != 0 {
		t.Skip("the test changes to another user, which takes root; the other tests ran as a user")
	}
	for _, tool := range []string{"fusermount3", "setpriv", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v (Debian: apt install fuse3 util-linux)", err)
		}
	}
	tests := []struct{ name, script, want string }{
		{"mount and umount", `
cosfuse mount --local home/data home/mnt
run sh -c 'echo text > home/mnt/a.txt'
stat -c %u home/data
cosfuse umount home/mnt
cosfuse mount --local home/data home/mnt
run cat home/mnt/a.txt
cosfuse umount home/mnt
`, nobody + "\ntext"},
		{"busy", `
cosfuse mount --local home/data home/mnt
exec 4>&1
run sh -c 'cd home/mnt && read -r line' 4>&- <wait & user=$!
exec 5>wait
until [ "$(readlink /proc/[0-9]*/cwd | grep -c "$PWD/home/mnt")" -gt 0 ]; do :; done
cosfuse umount home/mnt 2>&1 || echo "exit code $?"
exec 5>&-
wait $user || :
cosfuse umount home/mnt
`, "is in use by sh (process"},
		{"dead mount", `
cosfuse mount --local home/data home/mnt
kill -9 "$(sed 's/.*"pid":\([0-9]*\).*/\1/' home/.cache/cosfuse/*/daemon.lock)"
while run ls home/mnt 2>/dev/null; do :; done
cosfuse mount --local home/data home/mnt 2>&1
cosfuse umount home/mnt
`, "dead mount was taken away"},
		{"allow other", `
: >conf && { [ ! -e /etc/fuse.conf ] || mount --bind conf /etc/fuse.conf; }
cosfuse mount --allow-other --local home/data home/mnt 2>&1 || echo "exit code $?"
`, "user_allow_other"},
		{"mountpoint of somebody else", `
mkdir mnt
cosfuse mount --local home/data mnt 2>&1 || echo "exit code $?"
`, "you may not write to mountpoint"},
		{"user line of fstab", `
sbin=$(readlink -f /sbin)
mkdir -m 755 orig links && mount --bind "$sbin" orig && cp -as "$PWD/orig/." links/ && rm -f links/*mount.*cosf* && mount --bind links "$sbin"
ln -s "$PWD/cosfuse" /sbin/mount.cosfuse && ln -s "$PWD/cosfuse" /sbin/umount.fuse.cosfuse
echo "some-name $PWD/home/mnt cosfuse noauto,user,_netdev,local=$PWD/home/data,cache-dir=$PWD/home/cache 0 0" >fstab && mount --bind fstab /etc/fstab
` + "export " + commandEnv + "=1 GORACE=atexit_sleep_ms=0" + `
run mount home/mnt
run sh -c 'echo text > home/mnt/a.txt'
findmnt -no SOURCE,OPTIONS home/mnt | sed s/,max_read.*//
run umount home/mnt
findmnt home/mnt || echo gone
`, "some-name rw,nosuid,nodev,noexec,relatime,user_id=" + nobody + ",group_id=" + nobody + ",default_permissions\ngone"},
		{"no fusermount3", `
mkdir bin && ln -s "$(command -v setpriv)" bin/
PATH=$PWD/bin cosfuse mount --local home/data home/mnt 2>&1 || echo "exit code $?"
`, "apt install fuse3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := nobodysHome(t)
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", asNobody+tt.script)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home")}
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v, want %q in the output:\n%s", err, tt.want, out)
			}
		})
	}
}

// nobodysHome is a directory with the command, and in it a home for nobody with a mountpoint.
func nobodysHome(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", `
chmod 755 "$0" "$0/.." && cp "$1" "$0/cosfuse" && chmod 755 "$0/cosfuse" && mkdir -p "$0/home/mnt" && mkfifo -m 666 "$0/wait" &&
chown -R `+nobody+`:`+nobody+` "$0/home"`, dir, exe).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}
