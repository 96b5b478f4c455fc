package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
)

const testBucket = "photos-1250000000"

// startServer serves testBucket to whoever has the returned secret. edit may be nil.
func startServer(t *testing.T, edit func(*cosserver.Options)) (*cosserver.Server, string, secret) {
	t.Helper()
	s := newSecret()
	o := cosserver.Options{
		Dir: t.TempDir(), Credentials: s.allow(), NoSync: true,
		Buckets: []cosserver.Bucket{{Name: testBucket}},
	}
	if edit != nil {
		edit(&o)
	}
	srv, err := cosserver.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(t.Context(), l) })
	return srv, l.URL, s
}

// TestBadService checks that a mount that the service does not allow says why and what to do, and
// mounts nothing.
func TestBadService(t *testing.T) {
	_, url, good := startServer(t, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() }) // not defer: the subtests outlive this function
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	env := func(id, key string) map[string]string {
		return map[string]string{"COS_SECRET_ID": id, "COS_SECRET_KEY": key, "COS_REGION": cosserver.DefaultRegion}
	}
	tests := []struct {
		name string
		args []string // HOME is replaced
		env  map[string]string
		code int
		want []string
	}{
		{"wrong key", []string{testBucket, "--endpoint", url}, env(good.id, "hush"), exitService, []string{"wrong secret key", "check the secret key"}},
		{"unknown id", []string{testBucket, "--endpoint", url}, env("AKIDnobody", "hush"), exitService, []string{"does not know this secret id", "console"}},
		{"no such bucket", []string{"nothing-1250000000", "--endpoint", url}, env(good.id, good.key), exitService,
			[]string{"no bucket nothing-1250000000 in region ap-local", "check the name"}},
		{"private", []string{testBucket, "--endpoint", url, "--anonymous"}, env("", ""), exitService, []string{"not public", "credentials"}},
		{"nothing listens", []string{testBucket, "--endpoint", "http://" + closed.Addr().String()}, env("a", "hush"), exitService,
			[]string{"nothing listens at", "--endpoint"}},
		{"no answer", []string{testBucket, "--endpoint", "http://" + silent.Addr().String()}, env("a", "hush"), exitService,
			[]string{"does not answer", "--endpoint", "firewall"}},
		{"no such host", []string{testBucket, "--endpoint", "http://cos.no-such-place.invalid"}, env("a", "hush"), exitService,
			[]string{"cos.no-such-place.invalid", "--endpoint"}},
		{"credentials file missing", []string{testBucket, "--endpoint", url, "--credentials", "HOME/none"}, env("", ""), exitUsage,
			[]string{"does not exist", "check the path"}},
		{"credentials file open to all", []string{testBucket, "--endpoint", url, "--credentials", "HOME/open"}, env("", ""), exitUsage,
			[]string{"0644", "chmod 600"}},
		{"credentials file malformed", []string{testBucket, "--endpoint", url, "--credentials", "HOME/bad"}, env("", ""), exitUsage,
			[]string{"bad", "line 2", "secret_id = AKID"}},
		{"credentials file empty", []string{testBucket, "--endpoint", url, "--credentials", "HOME/empty"}, env("", ""), exitUsage,
			[]string{"empty", "secret_key"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait for their answer
			tc := newTestCLI(t)
			skipWithoutFuse(t, tc.cli)
			tc.write(t, "open", "secret_id = a\nsecret_key = hush\n", 0o644)
			tc.write(t, "bad", "secret_id = a\nhush\n", 0o600)
			tc.write(t, "empty", "", 0o600)
			for k, v := range tt.env {
				tc.env[k] = v
			}
			args := []string{"mount", "--foreground", "--log-file", filepath.Join(tc.dir, "log")}
			for _, a := range append(tt.args, tc.mkdir(t, "mnt")) {
				args = append(args, strings.Replace(a, "HOME", tc.dir, 1))
			}
			began := time.Now()
			tc.expectFailure(t, args, tt.code, tt.want)
			if took := time.Since(began); took > probeTimeout+2*time.Second {
				t.Errorf("took %v", took)
			}
			if _, mounted, err := tc.findMount(filepath.Join(tc.dir, "mnt")); err != nil || mounted {
				t.Errorf("mounted: %v, %v", mounted, err)
			}
			log, err := os.ReadFile(filepath.Join(tc.dir, "log"))
			if err != nil || strings.Contains(string(log), "hush") {
				t.Errorf("log: %v, or it shows a secret:\n%s", err, log)
			}
		})
	}
}

// TestClock checks that a clock off by an hour is told and does not keep anyone out.
func TestClock(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			_, url, s := startServer(t, nil)
			tc := newTestCLI(t)
			for k, v := range map[string]string{"COS_SECRET_ID": s.id, "COS_SECRET_KEY": s.key, "COS_REGION": cosserver.DefaultRegion} {
				tc.env[k] = v
			}
			o, _, err := loadOptions(t, []string{"--endpoint", url, testBucket, tc.mkdir(t, "mnt")}, tc.env)
			if err != nil {
				t.Fatal(err)
			}
			opt, err := o.clientOptions(t.Context(), discard())
			if err != nil {
				t.Fatal(err)
			}
			opt.Clock = func() time.Time { return time.Now().Add(-off) }
			var said []string
			if _, err := probe(t.Context(), o, opt, func(s string) { said = append(said, s) }); err != nil {
				t.Fatalf("not let in: %v", err)
			}
			direction := map[bool]string{true: "behind", false: "ahead"}[off > 0]
			if len(said) != 1 || !strings.Contains(said[0], direction) || !strings.Contains(said[0], "timedatectl") {
				t.Errorf("clock off by %v, said %q", off, said)
			}
		})
	}
}
