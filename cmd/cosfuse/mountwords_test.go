package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/writeback"
)

// loadWords parses a command line of cosfuse mount as the command does.
func loadWords(t *testing.T, args ...string) (*mountOptions, error) {
	t.Helper()
	o := &mountOptions{}
	f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	o.addFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := o.applyWords(f); err != nil {
		return o, err
	}
	return o, o.load(f, f.Args(), func(name string) string { return map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/xdg"}[name] })
}

func TestWords(t *testing.T) {
	type result struct {
		Region, Endpoint, Credentials, Role, RoleURL, CacheDir, Source string
		UID, GID, Umask, Root, File, Dir                               string
		MetaTTL                                                        time.Duration
		Threads, Retries                                               int
		Threshold, Free                                                byteSize
		ReadOnly, AllowOther, NonEmpty, Anonymous                      bool
		Flags                                                          []string
		Level, UserAgent                                               string
		Class, ACL, SSE                                                string
	}
	of := func(o *mountOptions) result {
		return result{
			o.region, o.endpoint, o.credentialsFile, o.role, o.roleEndpoint, o.cacheDir, o.fsName(),
			o.forceUID.String(), o.forceGID.String(), o.umask.String(), o.rootMode.String(), o.fileMode.String(), o.dirMode.String(),
			o.metaTTL, o.threads, o.retries, o.multipartThreshold, o.diskFree,
			o.readOnly, o.allowOther, o.nonEmpty, o.anonymous, o.mountFlags, o.logLevel.String(), o.userAgent,
			o.objects.classes.String(), o.objects.made.ACL, o.objects.sse.String(),
		}
	}
	const bucket = "b-1"
	common := []string{"--region=ap-x", "--anonymous", "--cache-dir=/c"}
	plain, err := loadWords(t, append(common, bucket, "/m")...)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		words []string // each an -o
		edit  func(*result)
	}{
		{"nothing to say", []string{"defaults,_netdev,nofail,x-systemd.requires=a,noauto,relatime,user=me,,multipart_size=20"}, func(*result) {}},
		{"kernel's", []string{"noexec,sync", "exec,noatime"}, func(r *result) { r.Flags = []string{"noexec", "sync", "exec", "noatime"} }},
		{"the last counts", []string{"ro", "rw,ro,threads=3,parallel_count=4"}, func(r *result) { r.ReadOnly, r.Threads = true, 4 }},
		{"read-write", []string{"ro,rw"}, func(*result) {}},
		{"ours", []string{"read-only,meta_ttl=5s", "threads=3,file-mode=600"}, func(r *result) {
			r.ReadOnly, r.MetaTTL, r.Threads, r.File = true, 5*time.Second, 3, "0600"
		}},
		{"a flag wins", []string{"region=ap-beijing"}, func(*result) {}},
		{"permissions", []string{"allow_other,uid=1000,gid=100,umask=022,mp_umask=077,default_permission=644,nonempty"}, func(r *result) {
			r.AllowOther, r.UID, r.GID, r.Umask, r.Root, r.File, r.Dir, r.NonEmpty = true, "1000", "100", "0022", "0700", "0644", "0755", true
		}},
		{"as COSFS", []string{"cosfs,allow_other"}, func(r *result) { r.AllowOther, r.Root, r.File, r.Dir = true, "0777", "0777", "0777" }},
		{"as COSFS, for me", []string{"cosfs"}, func(r *result) { r.Root, r.File, r.Dir = "0700", "0777", "0777" }},
		{"numbers", []string{"stat_cache_expire=7,ensure_diskfree=5,retries=20,nomultipart,dbglevel=err"}, func(r *result) {
			r.MetaTTL, r.Free, r.Retries, r.Threshold, r.Level = 7*time.Second, 5<<20, 20, 5<<30, "error"
		}},
		{"service", []string{"url=http://cos.ap-x.myqcloud.com,user_agent_suffix=team,curldbg"}, func(r *result) {
			r.Endpoint, r.UserAgent, r.Level = "http://cos.ap-x.myqcloud.com", "cosfuse-team", "debug"
		}},
		{"objects", []string{"storage_class=standard_ia,default_acl=private,use_sse"}, func(r *result) { r.Class, r.ACL, r.SSE = "STANDARD_IA", "private", "AES256" }},
		{"objects, with our words", []string{`storage_class=*.log=COLD\,STANDARD,acl=public-read,use_sse=k:id-1`}, func(r *result) {
			r.Class, r.ACL, r.SSE = "*.log=COLD,STANDARD", "public-read", "cos/kms:id-1"
		}},
		{"objects, obsolete", []string{"use_rrs,use_sse=kmsid"}, func(r *result) { r.Class, r.SSE = "STANDARD", "cos/kms" }},
		{"name with a comma", []string{`fsname=a\,b\\c`}, func(r *result) { r.Source = `a,b\c` }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := slices.Clone(common)
			for _, w := range tt.words {
				args = append(args, "-o", w)
			}
			o, err := loadWords(t, append(args, bucket, "/m")...)
			if err != nil {
				t.Fatal(err)
			}
			want := of(plain)
			tt.edit(&want)
			if diff := cmp.Diff(want, of(o)); diff != "" {
				t.Errorf("-o %v (-want +got):\n%s", tt.words, diff)
			}
		})
	}
}

// TestWordsOfTheService checks the words that say where the bucket is and who asks.
func TestWordsOfTheService(t *testing.T) {
	type result struct{ Region, Endpoint, Credentials, Role, RoleURL, CacheDir, Local string }
	tests := []struct {
		name, words string
		want        result
	}{
		{"COSFS's usual line", "url=http://cos.ap-x.myqcloud.com,passwd_file=/etc/passwd-cosfs,use_cache=/big",
			result{"ap-x", "http://cos.ap-x.myqcloud.com", "/etc/passwd-cosfs", "", "", "/big/cosfuse/b-1", ""}},
		{"host and a region", "host=https://data.example.com,endpoint=ap-y,public_bucket=1,use_cache=/big",
			result{"ap-y", "https://data.example.com", "", "", "", "", ""}},
		{"role", "endpoint=ap-y,cam_role=backup,cam_role_endpoint=http://127.0.0.1/x,cache_dir=/c",
			result{"ap-y", "", "", "backup", "http://127.0.0.1/x", "/c", ""}},
		{"role by a file", "endpoint=ap-y,cam_role=sts,passwd_file=/p,cache-dir=/c", result{"ap-y", "", "/p", "", "", "/c", ""}},
		{"local", "local=/d,cache-dir=/c", result{cosserver.DefaultRegion, "", "", "", "", "/c", "/d"}},
		{"local source", "local,cache-dir=/c", result{cosserver.DefaultRegion, "", "", "", "", "/c", "/b-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := "b-1"
			if tt.name == "local source" {
				source = "/b-1"
			}
			o, err := loadWords(t, "-o"+tt.words, source, "/m")
			if err != nil {
				t.Fatal(err)
			}
			got := result{o.region, o.endpoint, o.credentialsFile, o.role, o.roleEndpoint, o.cacheDir, o.local}
			if tt.want.CacheDir == "" { // named after the host as well
				if !strings.HasPrefix(got.CacheDir, "/big/cosfuse/b-1-") {
					t.Errorf("cache directory %s", got.CacheDir)
				}
				got.CacheDir = ""
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestWordMistakes checks that each mistake in a list is an error that says what to do.
func TestWordMistakes(t *testing.T) {
	tests := []struct {
		words string
		want  []string
	}{
		{"alow_other", []string{"-o alow_other", "did you mean -o allow_other?"}},
		{"paralel_count=5", []string{"did you mean -o parallel_count?"}},
		{"regoin=x", []string{"did you mean -o region?"}},
		{"xyzzy", []string{"-o xyzzy", "--help"}},
		{"region", []string{"-o region needs a value"}},
		{"url=", []string{"-o url needs a value"}},
		{"ro=yes", []string{"-o ro takes no value"}},
		{"noexec=1", []string{"unknown option -o noexec"}},
		{"uid=root", []string{"number of a user"}},
		{"umask=rwx", []string{"022"}},
		{"mp_umask=9", []string{"mp_umask=9", "022"}},
		{"default_permission=1777", []string{"644"}},
		{"threads=many", []string{"threads"}},
		{"retries=-1", []string{"retries=-1", "number"}},
		{"stat_cache_expire=soon", []string{"seconds"}},
		{"connect_timeout=9999999999", []string{"seconds"}},
		{"public_bucket=2", []string{"0 or 1"}},
		{"use_cache=here", []string{"absolute path"}},
		{"dbglevel=loud", []string{"crit, err"}},
		{"accessKeyId=hush", []string{"-o accessKeyId is not accepted", "--credentials FILE"}},
		{"secretAccessKey=hush", []string{"not accepted"}},
		{"storage_class=frozen", []string{"STANDARD_IA"}},
		{"use_rrs=2", []string{"0 or 1"}},
		{"use_sse=custom:/key", []string{"keys of one's own"}},
		{"load_sse_c=/key", []string{"keys of one's own"}},
		{"default_acl=open", []string{"public-read"}},
		{"ahbe_conf=/does/not/exist", []string{"ahbe_conf", "no such file"}},
		{"remount,ro", []string{"unmount, and mount again"}},
		{"options=ro", []string{"unknown option"}},
	}
	for _, tt := range tests {
		t.Run(tt.words, func(t *testing.T) {
			tc := newTestCLI(t)
			args := []string{"mount", "-o", tt.words, "--region=ap-x", "b-1", tc.mkdir(t, "mnt")}
			if !strings.Contains(tt.words, "public") {
				args = append(args, "--anonymous")
			}
			tc.expectFailure(t, args, exitUsage, tt.want)
		})
	}
}

// TestWordTable checks what every word of the table must have, and that none hides an option of ours that
// means something else, but for those listed here.
func TestWordTable(t *testing.T) {
	f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	(&mountOptions{}).addFlags(f)
	meantOtherwise := []string{"allow_other", "storage_class", "uid", "gid", "endpoint", "umask", "local", "nonempty"}
	seen := map[string]bool{}
	for _, w := range wordTable {
		if w.does == "" {
			t.Errorf("%s: does not say what it does", w.name)
		}
		if seen[w.name] {
			t.Errorf("%s: twice in the table", w.name)
		}
		seen[w.name] = true
		if fs.IsMountFlag(w.name) {
			t.Errorf("%s: a flag of the kernel's", w.name)
		}
		if f.Lookup(strings.ReplaceAll(w.name, "_", "-")) != nil && !slices.Contains(meantOtherwise, w.name) {
			t.Errorf("%s: an option of ours needs no word", w.name)
		}
	}
}

// TestNotesAreLoggedOnce checks what is told of a word that changes nothing.
func TestNotesAreLoggedOnce(t *testing.T) {
	o, err := loadWords(t, "-onoxmlns,multireq_max=5", "-onoxmlns", "--local=/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	o.logNotes(slog.New(slog.NewTextHandler(&buf, nil)))
	if n := strings.Count(buf.String(), "option has no effect"); n != 2 || strings.Count(buf.String(), "option=noxmlns") != 1 {
		t.Errorf("%d notes, want one of each word:\n%s", n, &buf)
	}
}

// TestCOSFSTable checks that COSFS.md has every option of COSFS, and says of it what the program does.
func TestCOSFSTable(t *testing.T) {
	text, err := os.ReadFile("COSFS.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, w := range cosfsWords {
		name := w.name
		if w.value != noValue {
			name += "="
		}
		row := fmt.Sprintf("| `%s` | %s |", name, w.does)
		if w.apply == nil {
			row = fmt.Sprintf("| `%s` | nothing: %s |", name, w.does)
		}
		want = append(want, row)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows of COSFS.md (-want +got):\n%s", diff)
	}
}

func TestCalledAs(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want []string
		bad  string
	}{
		{"itself", []string{"./cosfuse", "umount", "/m"}, []string{"umount", "/m"}, ""},
		{"nothing", []string{"cosfuse"}, []string{}, ""},
		{"by mount.fuse", []string{"cosfuse", "b-1:/p", "/m", "-o", "rw"}, []string{"mount", "b-1:/p", "/m", "-o", "rw"}, ""},
		{"switches of COSFS", []string{"cosfuse", "mount", "b-1", "/m", "-f", "-d", "-s", "-o", "-s", "--", "-d"},
			[]string{"mount", "b-1", "/m", "-f", "-o", "debug", "-o", "single_thread", "-o", "-s", "--", "-d"}, ""},
		{"cosfs", []string{"/usr/bin/cosfs", "b-1", "/m", "-ourl=x", "-d"}, []string{"mount", "-o", "cosfs", "b-1", "/m", "-ourl=x", "-o", "debug"}, ""},
		{"cosfs --version", []string{"cosfs", "--version"}, []string{"version"}, ""},
		{"cosfs -u", []string{"cosfs", "-u", "b-1"}, nil, "-u"},
		{"mount helper", []string{"/sbin/mount.cosfuse", "b-1:/p", "/m", "-vn", "-t", "cosfuse", "-o", "rw,ro"},
			[]string{"mount", "-o", "fsname=b-1:/p", "-o", "rw,ro", "--", "b-1:/p", "/m"}, ""},
		{"mount helper, sloppy", []string{"mount.fuse.cosfuse", "a,b", "/m", "-s"},
			[]string{"mount", "-o", `fsname=a\,b,sloppy`, "--", "a,b", "/m"}, ""},
		{"mount helper of COSFS", []string{"mount.fuse.cosfs", "b-1", "/m"}, []string{"mount", "-o", "fsname=b-1,cosfs", "--", "b-1", "/m"}, ""},
		{"mount helper, no directory", []string{"mount.cosfuse", "b-1"}, nil, "source and a directory"},
		{"mount helper, other namespace", []string{"mount.cosfuse", "b-1", "/m", "-N", "7"}, nil, "nsenter"},
		{"mount helper, unknown", []string{"mount.cosfuse", "b-1", "/m", "-Z"}, nil, "-Z"},
		{"mount helper, value missing", []string{"mount.cosfuse", "b-1", "/m", "-o"}, nil, "needs a value"},
		{"umount helper", []string{"umount.fuse.cosfuse", "/m", "-f", "-t", "fuse.cosfuse"}, []string{"umount", "--", "/m"}, ""},
		{"umount helper, lazily", []string{"umount.fuse.cosfuse", "/m", "-nl"}, []string{"umount", "--lazy", "--no-wait", "--", "/m"}, ""},
		{"umount helper, nothing", []string{"umount.fuse.cosfuse"}, nil, "want a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := calledAs(tt.args)
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) {
					t.Errorf("error %v, want %q in it", err, tt.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.args); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUsualCredentials checks which file is read when nothing says which.
func TestUsualCredentials(t *testing.T) {
	home, system := t.TempDir(), filepath.Join(t.TempDir(), "passwd-cosfs")
	own := filepath.Join(home, ".passwd-cosfs")
	load := func(env map[string]string) *mountOptions {
		t.Helper()
		o := &mountOptions{systemFile: system}
		f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
		o.addFlags(f)
		o.chooseCredentials(f, environmentSecret(func(n string) string { return env[n] }), func(n string) string { return env[n] })
		return o
	}
	env := map[string]string{"HOME": home}
	for _, file := range []string{system, own} { // the second wins over the first
		if err := os.WriteFile(file, []byte("id:key\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := load(env).credentialsFile; got != file {
			t.Errorf("got %q, want %q", got, file)
		}
	}
	env["COS_CREDENTIAL_FILE"] = "/other"
	if got := load(env).credentialsFile; got != "/other" {
		t.Errorf("got %q, want what the environment names", got)
	}
	env["COSACCESSKEYID"], env["COSSECRETACCESSKEY"] = "id", "key"
	if o := load(env); o.credentialsFile != "" || o.secret.id != "id" || o.secret.key != "key" {
		t.Errorf("got file %q, secret %v, want COSFS's environment", o.credentialsFile, o.secret)
	}
	env["COS_SECRET_ID"], env["COS_SECRET_KEY"] = "ours", "key"
	if o := load(env); o.secret.id != "ours" {
		t.Errorf("got secret %v, want our own environment", o.secret)
	}
	if got := homeDir(func(string) string { return "" }); got == "" {
		t.Error("no home without HOME, though the system knows this user")
	}
}

// TestWordsOfTheClient checks what the words about requests make of the client's options.
func TestWordsOfTheClient(t *testing.T) {
	type result struct {
		Attempts    int
		Dial, Stall time.Duration
		Agent       string
	}
	tests := []struct {
		words string
		want  result
	}{
		{"retries=2", result{}}, // fewer than we try anyway
		{"retries=10,connect_timeout=7,readwrite_timeout=11,user_agent_suffix=x", result{11, 7 * time.Second, 11 * time.Second, "cosfuse-x"}},
	}
	for _, tt := range tests {
		t.Run(tt.words, func(t *testing.T) {
			o, err := loadWords(t, "-o"+tt.words, "--region=ap-x", "--anonymous", "b-1", "/m")
			if err != nil {
				t.Fatal(err)
			}
			opt, err := o.clientOptions(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := (result{opt.Attempts, opt.DialTimeout, opt.StallTimeout, opt.UserAgent}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestRole checks that a machine's role signs, and what is said where there is none.
func TestRole(t *testing.T) {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/roles/":
			fmt.Fprintln(w, "backup")
		case "/roles/backup":
			fmt.Fprint(w, `{"TmpSecretId":"id","TmpSecretKey":"key","Token":"t","ExpiredTime":4102444800,"Code":"Success"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer metadata.Close()
	for _, role := range []string{"backup", "default"} {
		o, err := loadWords(t, "-ocam_role="+role+",cam_role_endpoint="+metadata.URL+"/roles", "--region=ap-x", "b-1", "/m")
		if err != nil {
			t.Fatal(err)
		}
		p, err := o.provider(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := p.Credentials(t.Context()); err != nil || c.SecretID != "id" || c.Token != "t" {
			t.Errorf("role %s: %v, %v", role, c, err)
		}
		if a := o.origin(); a.Role != role || a.RoleEndpoint != metadata.URL+"/roles" {
			t.Errorf("the cache directory remembers %+v", a)
		}
	}
	o, err := loadWords(t, "--role=none", "--role-endpoint="+metadata.URL+"/roles", "--region=ap-x", "b-1", "/m")
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.provider(t.Context())
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "instance role none") || !strings.Contains(err.Error(), "console") {
		t.Errorf("a role that is not there: %v", err)
	}
}

// TestHeaderFile checks COSFS's file of headers, and what is said of a line that is none.
func TestHeaderFile(t *testing.T) {
	tc := newTestCLI(t)
	good := tc.write(t, "good", "# all files, then some\n\n\tCache-Control\tmax-age=60\n.gz Content-Encoding gzip\n"+
		".tar.gz Content-Encoding  x-tar, gzip\r\n.gz Content-Type application/x\n.gz x-cos-storage-class COLD\n x-cos-meta-team blue\n", 0o644)
	o, err := loadWords(t, "-oahbe_conf="+good, "--local=/d", "/m")
	if err != nil {
		t.Fatal(err)
	}
	want := []writeback.PropertyRule{
		{Suffix: ".tar.gz", Name: "content-encoding", Value: "x-tar, gzip"},
		{Suffix: ".gz", Name: "storage-class", Value: "COLD"},
		{Suffix: ".gz", Name: "content-type", Value: "application/x"},
		{Suffix: ".gz", Name: "content-encoding", Value: "gzip"},
		{Name: "meta.team", Value: "blue"},
		{Name: "cache-control", Value: "max-age=60"},
	}
	if diff := cmp.Diff(want, o.objects.made.Properties); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	for _, line := range []string{".gz", ".gz Content-Encoding", " Content-Encoding", ".gz Authorization x", ".gz x-cos-storage-class FROZEN", ".gz x-cos-meta-mode 5"} {
		bad := tc.write(t, "bad", "# one\n"+line+"\n", 0o644)
		if _, err := loadWords(t, "-oahbe_conf="+bad, "--local=/d", "/m"); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, want an error about line 2", line, err)
		}
	}
}
