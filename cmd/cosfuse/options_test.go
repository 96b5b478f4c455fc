package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// loadOptions parses args as mount does.
func loadOptions(t *testing.T, args []string, env map[string]string) (*mountOptions, *pflag.FlagSet, error) {
	t.Helper()
	o := &mountOptions{}
	f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	o.addFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	err := o.load(f, f.Args(), func(name string) string { return env[name] })
	return o, f, err
}

func TestPrecedence(t *testing.T) {
	tc := newTestCLI(t)
	config := tc.write(t, "config.yaml", strings.Join([]string{
		"# a comment",
		"region: ap-chengdu",
		"meta-ttl: 10s",
		"file-mode: 0600",
		"memory: 1GiB",
		"read-only: true",
		"threads: # nothing leaves the default",
		"secret-id: AKIDfile",
		"secret-key: 'file-key'",
	}, "\n"), 0o600)
	home := map[string]string{"HOME": tc.dir}
	with := func(more map[string]string) map[string]string {
		for k, v := range home {
			more[k] = v
		}
		return more
	}
	const bucket, mnt = "photos-1250000000", "/mnt"
	type result struct {
		Region, From, ID, File string
		MetaTTL                time.Duration
		FileMode               fileMode
		Memory                 byteSize
		ReadOnly, Anonymous    bool
		Threads                int
	}
	defaults := result{MetaTTL: time.Minute, FileMode: 0o644, Memory: 256 << 20, Threads: 8}
	fromFile := result{
		Region: "ap-chengdu", From: "config file " + config, ID: "AKIDfile",
		MetaTTL: 10 * time.Second, FileMode: 0o600, Memory: 1 << 30, ReadOnly: true, Threads: 8,
	}
	const envFrom = "the environment (COS_SECRET_ID, COS_SECRET_KEY)"
	keys := map[string]string{"COS_SECRET_ID": "AKIDenv", "COS_SECRET_KEY": "k", "COS_REGION": "ap-beijing"}
	tests := []struct {
		name string
		args []string
		env  map[string]string
		base result
		edit func(*result)
	}{
		{"defaults", []string{"--region=ap-guangzhou", "--anonymous", bucket, mnt}, home, defaults,
			func(r *result) { r.Region, r.Anonymous = "ap-guangzhou", true }},
		{"environment", []string{bucket, mnt}, with(keys), defaults,
			func(r *result) { r.Region, r.From, r.ID = "ap-beijing", envFrom, "AKIDenv" }},
		{"flag over environment", []string{"--region=ap-guangzhou", bucket, mnt}, with(keys), defaults,
			func(r *result) { r.Region, r.From, r.ID = "ap-guangzhou", envFrom, "AKIDenv" }},
		{"credentials file over environment", []string{"--credentials=/c", bucket, mnt}, with(keys), defaults,
			func(r *result) { r.Region, r.File = "ap-beijing", "/c" }},
		{"anonymous over environment", []string{"--anonymous", bucket, mnt}, with(keys), defaults,
			func(r *result) { r.Region, r.Anonymous = "ap-beijing", true }},
		{"flag over file", []string{"--config", config, "--meta-ttl=1s", "--read-only=false", bucket, mnt}, home, fromFile,
			func(r *result) { r.MetaTTL, r.ReadOnly = time.Second, false }},
		{"environment over file", []string{"--config", config, bucket, mnt}, with(keys), fromFile,
			func(r *result) { r.Region, r.From, r.ID = "ap-beijing", envFrom, "AKIDenv" }},
		{"credentials file over file", []string{"--config", config, "--credentials=/c", bucket, mnt}, home, fromFile,
			func(r *result) { r.From, r.ID, r.File = "", "", "/c" }},
		{"region of the endpoint", []string{"--endpoint=http://cos.ap-tokyo.myqcloud.com", "--anonymous", bucket, mnt}, home, defaults,
			func(r *result) { r.Region, r.Anonymous = "ap-tokyo", true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, _, err := loadOptions(t, tt.args, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.base
			tt.edit(&want)
			got := result{
				o.region, o.secret.from, o.secret.id, o.credentialsFile, o.metaTTL, o.fileMode, o.memory,
				o.readOnly, o.anonymous, o.threads,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFileErrors(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       []string
	}{
		{"unknown option", "region: ap-beijing\nmeta-tll: 5s\n", 0o644, []string{"line 2", `"meta-tll"`, `did you mean "meta-ttl"?`}},
		{"unknown, nothing near", "zzzzzzzz: 1\n", 0o644, []string{"line 1", "--help"}},
		{"lists in config", "options: ro\n", 0o644, []string{"unknown option"}},
		{"config in config", "config: other.yaml\n", 0o644, []string{"unknown option"}},
		{"bad value", "threads: many\n", 0o644, []string{"line 1", "threads", `"many"`}},
		{"nested", "region:\n  name: x\n", 0o644, []string{"line 1", "single value"}},
		{"list", "- region\n", 0o644, []string{"key: value"}},
		{"twice", "region: a-b\nregion: c-d\n", 0o644, []string{"region"}},
		{"not yaml", "secret-key: \"hush\nregion: [", 0o600, []string{"config file"}},
		{"secrets for all to read", "secret-id: a\nsecret-key: hush\n", 0o644, []string{"chmod 600", "0644"}},
		{"incomplete secrets", "secret-id: a\nregion: ap-beijing\n", 0o600, []string{"not complete"}},
		{"two kinds", "secret-id: a\nsecret-key: hush\nanonymous: true\nregion: ap-beijing\n", 0o600, []string{"more than one way"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			path := tc.write(t, "config.yaml", tt.text, tt.mode)
			tc.expectFailure(t, []string{"mount", "photos-1250000000", tc.mkdir(t, "mnt"), "--config", path}, exitUsage, tt.want)
		})
	}
}

func TestTarget(t *testing.T) {
	tests := []struct{ name, text, bucket, prefix, source string }{
		{"bucket", "photos-1250000000", "photos-1250000000", "", "photos-1250000000"},
		{"slash", "photos-1250000000:/", "photos-1250000000", "", "photos-1250000000"},
		{"prefix", "photos-1250000000:/a/b c", "photos-1250000000", "a/b c/", "photos-1250000000:/a/b c"},
		{"trailing slash", "photos-1250000000:/a/", "photos-1250000000", "a/", "photos-1250000000:/a"},
		{"no slash", "x-1:a", "x-1", "a/", "x-1:/a"},
		{"colon in prefix", "x-1:/a:b", "x-1", "a:b/", "x-1:/a:b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bucket, prefix, err := parseTarget(tt.text)
			if err != nil || bucket != tt.bucket || prefix != tt.prefix {
				t.Errorf("got %q, %q, %v, want %q, %q", bucket, prefix, err, tt.bucket, tt.prefix)
			}
			if got := (&mountOptions{bucket: bucket, prefix: prefix}).source(); got != tt.source {
				t.Errorf("source: got %q, want %q", got, tt.source)
			}
		})
	}
}

func TestCacheDirs(t *testing.T) {
	env := map[string]string{"XDG_CACHE_HOME": "/xdg"}
	seen := map[string]string{}
	for _, args := range [][]string{
		{"b-1", "/m"},
		{"c-1", "/m"},
		{"b-1:/p", "/m"},
		{"--endpoint=http://127.0.0.1:1", "b-1", "/m"},
		{"--endpoint=http://127.0.0.1:2", "b-1", "/m"},
		{"--endpoint=http://127.0.0.1:1", "b-1:/p", "/m"},
		{"--local=/d", "/m"},
		{"--local=/e", "/m"},
	} {
		flags := []string{"--region=ap-guangzhou", "--anonymous"}
		if strings.HasPrefix(args[0], "--local") {
			flags = nil
		}
		o, _, err := loadOptions(t, append(flags, args...), env)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(o.cacheDir, "/xdg/cosfuse/") {
			t.Errorf("%v: cache directory %s is not below XDG_CACHE_HOME", args, o.cacheDir)
		}
		if other, ok := seen[o.cacheDir]; ok {
			t.Errorf("%v and %s share %s", args, other, o.cacheDir)
		}
		seen[o.cacheDir] = strings.Join(args, " ")
	}
	if _, ok := seen["/xdg/cosfuse/b-1"]; !ok {
		t.Errorf("the plain bucket's directory is not named after it: %v", seen)
	}
}

func TestSettingsAreLoggedWithoutSecrets(t *testing.T) {
	o, f, err := loadOptions(t, []string{"--region=ap-guangzhou", "b-1", "/m"},
		map[string]string{"HOME": "/h", "COS_SECRET_ID": "hush-id", "COS_SECRET_KEY": "hush-key", "COS_SESSION_TOKEN": "hush-token"})
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("starting", settings(f), "credentials", o.secret)
	for _, want := range []string{"settings.region=ap-guangzhou", "settings.multipart-threshold=20MiB", "settings.meta-ttl=1m0s", "environment"} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("log lacks %q: %s", want, &buf)
		}
	}
	if strings.Contains(buf.String(), "hush") {
		t.Errorf("log shows a secret: %s", &buf)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		text, printed string
		want          byteSize
		bad           bool
	}{
		{text: "0", printed: "0B"},
		{text: "1500", want: 1500, printed: "1500B"},
		{text: "20MiB", want: 20 << 20, printed: "20MiB"},
		{text: "20m", want: 20 << 20, printed: "20MiB"},
		{text: "1 GB", want: 1e9, printed: "1000000000B"},
		{text: "1024k", want: 1 << 20, printed: "1MiB"},
		{text: "5GiB", want: 5 << 30, printed: "5GiB"},
		{text: "3B", want: 3, printed: "3B"},
		{text: "-1", bad: true}, {text: "", bad: true}, {text: "MiB", bad: true},
		{text: "1.5G", bad: true}, {text: "9999999TiB", bad: true}, {text: "5XB", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var got byteSize
			err := got.Set(tt.text)
			if (err != nil) != tt.bad || got != tt.want {
				t.Fatalf("got %d, %v, want %d", got, err, tt.want)
			}
			if err == nil && got.String() != tt.printed {
				t.Errorf("prints %q, want %q", got.String(), tt.printed)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	names := []string{"region", "read-only", "threads", "uid", "gid"}
	tests := []struct{ word, want string }{
		{"reigon", "region"}, {"regon", "region"}, {"readonly", "read-only"}, {"thread", "threads"},
		{"udi", "uid"}, {"xyzzy", ""}, {"q", ""}, {"", ""},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			if got, ok := nearest(tt.word, names); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}
