package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos/cosserver"
)

// machineOfItsOwn makes a script see a machine on which the command is installed, in a mount namespace of its
// own: nothing outside changes. "mount", "umount" and "cosfuse" run with next to no environment, as mount(8)
// does when a machine starts.
const machineOfItsOwn = `set -eu
own() { mkdir -p "$1"; mount --bind "$1" "$2"; }
sbin=$(readlink -f /sbin)
mkdir orig links && mount --bind "$sbin" orig && cp -as "$PWD/orig/." links/ && rm -f links/*mount.*cosf* && mount --bind links "$sbin"
own bin /usr/local/bin; own cache /var/cache; own run /run
: >fstab; mount --bind fstab /etc/fstab
mkdir mnt mnt2
bare() { env -i ` + commandEnv + `=1 GORACE=atexit_sleep_ms=0 "$@"; }
mount() { bare /usr/bin/mount "$@"; }
umount() { bare /usr/bin/umount "$@"; }
cosfuse() { bare /usr/local/bin/cosfuse "$@"; }
tried() { "$@" 2>&1 || echo "exit code $?"; }
` + commandEnv + `=1 GORACE=atexit_sleep_ms=0 ./cosfuse install --cosfs
`

// needMountTools skips the test where it cannot change mounts.
func needMountTools(t *testing.T, tools ...string) {
	t.Helper()
	skipWithoutFuse(t, newCLI(nil, nil, nil))
	if os.Getuid() != 0 {
		t.Skip("mount(8) mounts for root alone")
	}
	for _, tool := range append(tools, "mount", "umount", "findmnt") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v (Debian: apt install mount util-linux fuse3)", err)
		}
	}
}

// scripted runs a script in dir and in mount and network namespaces as they are but for what it mounts.
func scripted(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("script: %v\n%s", err, out)
	}
	return string(out)
}

// homeWithCommand is a directory with the command and, in "passwd", credentials as COSFS reads them.
func homeWithCommand(t *testing.T, s secret) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(dir, "cosfuse")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "passwd"), []byte(testBucket+":"+s.id+":"+s.key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mountScripts are what TestMountCommand runs. BUCKET is a bucket, and SERVICE the options that lead to it.
var mountScripts = []struct {
	name, script string
	want         []string
}{
	{"command line", `
mount -t cosfuse "$BUCKET:/pre/fix" mnt -o "rw,$SERVICE,allow_other"
findmnt -no SOURCE,FSTYPE,OPTIONS mnt
mkdir mnt/d && echo text >mnt/d/a.txt
umount mnt
mount -t fuse.cosfuse "$BUCKET:/pre" mnt -o "ro,noexec,$SERVICE"
findmnt -no SOURCE,FSTYPE,OPTIONS mnt
cat mnt/fix/d/a.txt; touch mnt/b 2>&1 || :
umount mnt
findmnt mnt || echo gone
`, []string{"/pre/fix fuse.cosfuse rw,nosuid,nodev,", "allow_other", "/pre fuse.cosfuse ro,nosuid,nodev,noexec,", "text", "Read-only file system", "gone"}},

	{"fstab", `
cat >fstab <<END
$BUCKET:/a $PWD/mnt cosfuse _netdev,nofail,x-systemd.automount,x-systemd.requires=network-online.target,$SERVICE 0 0
$BUCKET $PWD/mnt2 fuse.cosfuse noauto,user,exec,suid,dev,comment=hi,$SERVICE 0 0
END
mount -a
mount -a
findmnt -no SOURCE "$PWD/mnt"; findmnt -nD "$PWD/mnt2" || echo not yet
echo text >mnt/f; umount "$PWD/mnt"
mount mnt2
cat mnt2/a/f; findmnt -no OPTIONS "$PWD/mnt2"
umount mnt2
`, []string{":/a\n", "not yet", "text", "rw,relatime,"}},

	{"local server", `
mount -t cosfuse anything mnt -o "local=$PWD/data,cache-dir=$PWD/c"
findmnt -no SOURCE mnt; echo 1 >mnt/f; umount mnt
mount -t cosfuse "$PWD/data" mnt -o local
findmnt -no SOURCE mnt; cat mnt/f; umount mnt
ls cache/cosfuse | cut -c1-6
`, []string{"anything\n", "/data\n1\nlocal-"}},

	{"crash", `
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE,commit=background,log_level=debug"
echo 1 >mnt/f
kill -9 "$(sed 's/.*"pid":\([0-9]*\).*/\1/' cache/cosfuse/*/daemon.lock)"
while ls mnt >/dev/null 2>&1; do :; done
ls mnt 2>&1 || :
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE"
cat mnt/f
kill -9 "$(sed 's/.*"pid":\([0-9]*\).*/\1/' cache/cosfuse/*/daemon.lock)"
while ls mnt >/dev/null 2>&1; do :; done
umount mnt && findmnt mnt || echo gone
`, []string{"endpoint is not connected", "dead mount was taken away", "died before", "gone"}},

	{"umount tells", `
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE"
echo 1 >mnt/refused.txt 2>&1 || echo not written
chmod 600 mnt/refused.txt
tried umount mnt
findmnt mnt || echo gone
`, []string{"not everything could be committed", "refused.txt", "exit code 32", "gone"}},

	{"busy and lazy", `
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE"
exec 4>mnt/open.txt
tried umount mnt
umount -l mnt 2>&1
echo more >&4; exec 4>&-
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE" 2>&1
cat mnt/open.txt; umount mnt
`, []string{"is in use by", "exit code 32", "goes on committing", "more"}},

	{"one bucket several times", `
mount -t cosfuse "$BUCKET:/a" mnt -o "$SERVICE"
mount -t cosfuse "$BUCKET" mnt2 -o "$SERVICE"
mkdir mnt3
tried mount -t cosfuse "$BUCKET:/a" mnt3 -o "$SERVICE"
mount -t cosfuse "$BUCKET:/a" mnt3 -o "$SERVICE,cache-dir=$PWD/third"
echo text >mnt/f; cat mnt2/a/f mnt3/f
umount mnt; umount mnt2; umount mnt3
`, []string{"is in use: process", "--cache-dir for a second mount", "exit code 32\ntext\ntext\n"}},

	{"command line of COSFS", `
mkdir mnt/not-empty
bare /usr/local/bin/cosfs "$BUCKET:/pre" mnt -ourl="$URL" -oendpoint="$REGION" -opasswd_file="$PWD/passwd" -oallow_other,nonempty -s -odbglevel=warn -omultipart_size=10
stat -c 'as cosfs %a' mnt; mkdir -m 700 mnt/d; echo text >mnt/d/f
umount mnt
cosfuse mount "$BUCKET:/pre" mnt -ourl="$URL" -oendpoint="$REGION" -opasswd_file="$PWD/passwd" -oro,nonempty,mp_umask=027,umask=022
stat -c 'as cosfuse %a' mnt mnt/d mnt/d/f
umount mnt
rmdir mnt/not-empty
OLD="_netdev,allow_other,url=$URL,endpoint=$REGION,passwd_file=$PWD/passwd,use_cache=$PWD/big,del_cache,retries=3,stat_cache_expire=60"
echo "cosfs#$BUCKET:/pre $PWD/mnt fuse $OLD 0 0" >fstab
mount -a; stat -c 'old fstab %a' mnt; cat mnt/d/f; findmnt -no FSTYPE mnt; umount mnt; ls big
echo "$BUCKET:/pre $PWD/mnt fuse.cosfs $OLD 0 0" >fstab
mount -a; mount -a; stat -c 'newer fstab %a' mnt; umount mnt; ls big/cosfuse/*/ | grep -c -e blocks -e attributes || :
`, []string{"as cosfs 777\n", "as cosfuse 750\nas cosfuse 755\nas cosfuse 755\n", "old fstab 777\ntext\nfuse.cosfuse\ncosfuse\n", "newer fstab 777\n0\n"}},

	{"mistakes", `
tried mount -t cosfuse "$BUCKET" mnt -o "$SERVICE,alow_other"
tried mount -t cosfuse photos mnt -o "$SERVICE"
tried mount -t cosfuse "$BUCKET" none -o "$SERVICE"
tried mount -t cosfuse "$BUCKET" mnt -o "$SERVICE,secret_key=hush"
mount -f -t cosfuse "$BUCKET" mnt -o "$SERVICE"; findmnt mnt || echo nothing there
mount -s -t cosfuse "$BUCKET" mnt -o "$SERVICE,alow_other" && umount mnt
grep -h 'has no effect' cache/cosfuse/*/cosfuse.log | grep -c option=alow_other
mount -t cosfuse "$BUCKET" mnt -o "$SERVICE"
tried mount -o remount,ro mnt
umount mnt
`, []string{"did you mean -o allow_other?", "exit code 1", "has no APPID", "does not exist", "everyone on this machine can read",
		"nothing there\n1\n", "unmount, and mount again"}},

	{"installed twice, and removed", `
cosfuse install --cosfs
readlink -f /sbin/mount.cosfuse /sbin/umount.fuse.cosfuse /usr/local/bin/cosfs
rm /sbin/mount.cosfuse; echo theirs >/sbin/mount.cosfuse
tried cosfuse install
cosfuse install --remove
cat /sbin/mount.cosfuse; ls /usr/local/bin; ls /sbin/ | grep cosf
`, []string{"/usr/local/bin/cosfuse\n/usr/local/bin/cosfuse\n/usr/local/bin/cosfuse\n", "is there and not ours", "exit code 3", "theirs\nmount.cosfuse\n"}},
}

// TestMountCommand mounts with the machine's own mount(8), from the command line and from fstab.
func TestMountCommand(t *testing.T) {
	needMountTools(t)
	for _, tt := range mountScripts {
		t.Run(tt.name, func(t *testing.T) {
			srv, url, s := startServer(t, nil)
			srv.SetRules([]cosserver.Rule{{Op: "PutObject", Key: "refused.txt", Action: cosserver.Fail, Status: 403, Code: "AccessDenied"}})
			dir := homeWithCommand(t, s)
			service := fmt.Sprintf("endpoint=%s,region=%s,credentials=%s/passwd", url, cosserver.DefaultRegion, dir)
			out := scripted(t, dir, machineOfItsOwn+tt.script,
				"BUCKET="+testBucket, "SERVICE="+service, "URL="+url, "REGION="+cosserver.DefaultRegion)
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, "hush") {
				t.Errorf("a secret shows:\n%s", out)
			}
		})
	}
}
