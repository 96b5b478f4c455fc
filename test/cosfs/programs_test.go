package cosfs

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// program is another file system for the same buckets.
type program struct {
	name   string
	binary func(t *testing.T) string
	gate   func(t *testing.T, server string) string // URL of the proxy by which it reaches the server
	args   func(bucket, mnt, service, passwd string) []string
	passwd func(bucket string) string
}

// programs are told of a service by the name that COS has, and of a proxy for the way to it: the name is what
// they sign, and what the server takes the bucket from.
var programs = []program{
	{
		name: "COSFS",
		binary: func(t *testing.T) string {
			path := os.Getenv("COSFS")
			if path == "" {
				t.Skip("set COSFS to the path of the program, built from https://github.com/tencentyun/cosfs")
			}
			return path
		},
		gate: func(_ *testing.T, server string) string { return server },
		args: func(bucket, mnt, service, passwd string) []string {
			return []string{bucket, mnt, "-ourl=" + service, "-opasswd_file=" + passwd}
		},
		passwd: func(bucket string) string { return bucket + ":id:key\n" },
	},
	{
		name: "s3fs",
		binary: func(t *testing.T) string {
			path, err := exec.LookPath("s3fs")
			if err != nil {
				t.Skipf("%v (Debian: apt install s3fs)", err)
			}
			return path
		},
		gate: s3Gate,
		args: func(bucket, mnt, service, passwd string) []string {
			return []string{bucket, mnt, "-ourl=" + service, "-opasswd_file=" + passwd, "-ouse_xattr"}
		},
		passwd: func(bucket string) string { return bucket + ":id:key\n" },
	},
}

// s3Gate is the S3 side of COS: what is x-cos-... there is x-amz-... here.
func s3Gate(t *testing.T, server string) string {
	t.Helper()
	to, err := url.Parse(server)
	must(t, err)
	rename := func(h http.Header, from, to string) {
		for name, values := range h {
			if rest, ok := strings.CutPrefix(name, from); ok {
				h.Del(name)
				h[to+rest] = values
			}
		}
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
			rename(r.Out.Header, "X-Amz-", "X-Cos-")
			for _, name := range []string{"Authorization", "X-Cos-Date", "X-Cos-Content-Sha256", "X-Cos-Acl", "X-Cos-Storage-Class"} {
				r.Out.Header.Del(name)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			rename(r.Header, "X-Cos-", "X-Amz-")
			return nil
		},
	}
	gate := httptest.NewServer(proxy)
	t.Cleanup(gate.Close)
	return gate.URL
}

// start mounts the whole bucket with the program; stop unmounts it and returns when the program has ended.
func (p program) start(t *testing.T, b *mounttest.Bucket) (mnt string, stop func()) {
	t.Helper()
	binary := p.binary(t)
	dir := t.TempDir()
	mnt = filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mnt, 0o755))
	passwd := filepath.Join(dir, "passwd")
	must(t, os.WriteFile(passwd, []byte(p.passwd(b.Server.Bucket())), 0o600))
	args := p.args(b.Server.Bucket(), mnt, "http://cos."+b.Server.Region()+".myqcloud.com", passwd)
	cmd := exec.CommandContext(t.Context(), binary, append(args, "-f")...)
	cmd.Env = append(os.Environ(), "http_proxy="+p.gate(t, b.URL), "no_proxy=")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is up to it
	}()
	stop = sync.OnceFunc(func() {
		for tries := range 50 { // it may still be busy with what was closed
			if err := syscall.Unmount(mnt, 0); err == nil || tries == 49 {
				break
			}
			pause(t, ended)
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Errorf("%s does not end", p.name)
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(stop)
	var before, now syscall.Stat_t
	must(t, syscall.Stat(dir, &before))
	for range 100 {
		if err := syscall.Stat(mnt, &now); err == nil && now.Dev != before.Dev {
			return mnt, stop
		}
		if pause(t, ended) {
			break
		}
	}
	stop()
	t.Fatalf("%s does not mount: %s", p.name, &said)
	return "", nil
}

// pause waits a tenth of a second, or until ended is closed, which it reports.
func pause(t *testing.T, ended <-chan struct{}) bool {
	t.Helper()
	select {
	case <-ended:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// tree makes one of each kind below root, and returns what has to show. Neither program keeps fractions of
// seconds in every version.
func tree(t *testing.T, root, from string) []shown {
	t.Helper()
	then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	at := func(name string) string { return filepath.Join(root, name) }
	file := func(name, text string, perm os.FileMode) {
		t.Helper()
		must(t, os.WriteFile(at(name), []byte(text), 0o644))
		must(t, os.Chmod(at(name), perm))
		must(t, os.Chtimes(at(name), then, then))
	}
	must(t, os.Mkdir(at("dir"), 0o755))
	must(t, os.Mkdir(at("dir/sub"), 0o755))
	file("dir/f", "in a directory of "+from, 0o644)
	file("plain", "text of "+from, 0o640)
	file("empty", "", 0o755)
	odd := "sp ace+plus%25 \u00e9 \u817e\u8baf #?&.txt"
	file(odd, from, 0o600)
	large := strings.Repeat(from+" ", 6<<20)
	file("large", large, 0o644)
	must(t, os.Chown(at("plain"), 1000, 100))
	must(t, unix.Setxattr(at("plain"), "user.k", []byte("value"), 0))
	must(t, unix.Setxattr(at("plain"), "user.bin", []byte("\x00\xff\n"), 0))
	must(t, os.Chtimes(at("plain"), then, then))
	must(t, os.Symlink("dir/f", at("link")))
	must(t, os.Chmod(at("dir/sub"), 0o711))
	must(t, os.Rename(at("dir/sub"), at("dir/moved")))
	return []shown{
		{Path: "dir", Mode: 0o40755},
		{Path: "dir/moved", Mode: 0o40711},
		{Path: "dir/f", Mode: 0o100644, Mtime: then, Text: "in a directory of " + from},
		{Path: "plain", Mode: 0o100640, UID: 1000, GID: 100, Mtime: then, Text: "text of " + from, Xattrs: map[string]string{"user.bin": "\x00\xff\n", "user.k": "value"}},
		{Path: "empty", Mode: 0o100755, Mtime: then},
		{Path: odd, Mode: 0o100600, Mtime: then, Text: from},
		{Path: "large", Mode: 0o100644, Mtime: then, Text: large},
		{Path: "link", Mode: 0o120777, Text: "dir/f"},
	}
}

// TestPrograms lets each program write a tree that is read here, changes it here, and lets the program read and
// change what was made here.
func TestPrograms(t *testing.T) {
	mounttest.NeedFUSE(t)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			b := mounttest.NewBucket(t, cosserver.Options{})
			mnt, stop := p.start(t, b)
			theirs := tree(t, mnt, p.name)
			stop()

			v := b.Mount(t, mounttest.Options{Log: true})
			for _, s := range theirs {
				expect(t, v.Dir, s)
			}
			must(t, os.Mkdir(v.Path("ours"), 0o755))
			ours := tree(t, v.Path("ours"), "cosfuse")
			must(t, os.Chmod(v.Path("plain"), 0o600))
			must(t, os.Rename(v.Path("dir"), v.Path("renamed")))
			must(t, os.Remove(v.Path("empty")))
			v.Stop(t)

			mnt, stop = p.start(t, b)
			for _, s := range ours {
				s.Path = filepath.Join("ours", s.Path)
				expect(t, mnt, s)
			}
			changed := theirs[3]
			changed.Mode = 0o100600
			expect(t, mnt, changed)
			expect(t, mnt, shown{Path: "renamed/moved", Mode: 0o40711})
			if _, err := os.Lstat(filepath.Join(mnt, "empty")); !os.IsNotExist(err) {
				t.Errorf("what was removed here is still there: %v", err)
			}
			must(t, os.Chmod(filepath.Join(mnt, "ours/plain"), 0o644))
			must(t, os.WriteFile(filepath.Join(mnt, "ours/dir/f"), []byte("written over"), 0o644))
			must(t, os.Rename(filepath.Join(mnt, "ours/large"), filepath.Join(mnt, "ours/bigger")))
			stop()

			v = b.Mount(t, mounttest.Options{Log: true})
			mode := ours[3]
			mode.Path, mode.Mode = "ours/plain", 0o100644
			expect(t, v.Dir, mode)
			expect(t, v.Dir, shown{Path: "ours/dir/f", Mode: 0o100644, Text: "written over"})
			moved := ours[6]
			moved.Path = "ours/bigger"
			expect(t, v.Dir, moved)
		})
	}
}

// TestOptionsOfCOSFS checks that every option in the program's help is in our table.
func TestOptionsOfCOSFS(t *testing.T) {
	binary := programs[0].binary(t)
	table, err := os.ReadFile("../../cmd/cosfuse/COSFS.md")
	must(t, err)
	help, err := exec.CommandContext(t.Context(), binary, "--help").Output()
	must(t, err)
	_, options, _ := strings.Cut(string(help), "<option_name>")
	options, _, _ = strings.Cut(options, "FUSE/mount Options")
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^   ([a-z0-9_]+)( \(| *$| - )`).FindAllStringSubmatch(options, -1) {
		found++
		if !bytes.Contains(table, []byte("| `"+m[1]+"` |")) && !bytes.Contains(table, []byte("| `"+m[1]+"=` |")) {
			t.Errorf("%s: not in the table", m[1])
		}
	}
	if found < 30 {
		t.Errorf("%d options found in the help, want some 40", found)
	}
}
