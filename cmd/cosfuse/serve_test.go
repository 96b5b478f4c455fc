package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

func TestServeBadInput(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	const any = "127.0.0.1:0"
	tests := []struct {
		name string
		args []string // HOME is replaced
		code int
		want []string
	}{
		{"no directory", []string{"--listen", any}, exitUsage, []string{"--dir DIR"}},
		{"an argument", []string{"HOME/data"}, exitUsage, []string{"too many"}},
		{"bucket without APPID", []string{"--dir", "HOME/data", "--bucket", "photos"}, exitUsage, []string{"no APPID"}},
		{"bad region", []string{"--dir", "HOME/data", "--region", "?"}, exitUsage, []string{"ap-guangzhou"}},
		{"no port", []string{"--dir", "HOME/data", "--listen", "127.0.0.1"}, exitUsage, []string{"host:port"}},
		{"negative latency", []string{"--dir", "HOME/data", "--latency=-1s"}, exitUsage, []string{"negative"}},
		{"anonymous for all machines", []string{"--dir", "HOME/data", "--listen", ":0", "--anonymous"}, exitUsage,
			[]string{"everyone", "--allow-remote-anonymous"}},
		{"anonymous with credentials", []string{"--dir", "HOME/data", "--anonymous", "--credentials", "HOME/c"}, exitUsage, []string{"exclude"}},
		{"admin for all machines", []string{"--dir", "HOME/data", "--admin", "0.0.0.0:0"}, exitUsage, []string{"127.0.0.1:PORT"}},
		{"port in use", []string{"--dir", "HOME/data", "--listen", busy.Addr().String()}, exitMachine, []string{"in use", "another port"}},
		{"admin port in use", []string{"--dir", "HOME/data", "--listen", any, "--admin", busy.Addr().String()}, exitMachine, []string{"--admin", "in use"}},
		{"address of another machine", []string{"--dir", "HOME/data", "--listen", "192.0.2.1:9"}, exitMachine, []string{"--listen"}},
		{"directory a file", []string{"--dir", "HOME/file", "--listen", any}, exitMachine, []string{"--dir DIR"}},
		{"no credentials file", []string{"--dir", "HOME/data", "--listen", any, "--credentials", "HOME/none"}, exitUsage, []string{"does not exist"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tc := newTestCLI(t)
			tc.write(t, "file", "", 0o644)
			args := []string{"serve"}
			for _, a := range tt.args {
				args = append(args, strings.Replace(a, "HOME", tc.dir, 1))
			}
			tc.expectFailure(t, args, tt.code, tt.want)
		})
	}
}

// startServe runs serve until the test ends and returns what it printed at its start.
func startServe(t *testing.T, tc *testCLI, args ...string) (greeting string, stop func() int) {
	t.Helper()
	said := newSignalWriter("Ctrl-C ends")
	tc.stdout = said
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- tc.run(ctx, append([]string{"serve"}, args...)) }()
	select {
	case <-said.seen:
	case code := <-done:
		t.Fatalf("serve ended with %d: %s", code, &tc.err)
	}
	return said.text(), func() int { cancel(); return <-done }
}

var servedURL = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// TestServeGreeting checks that the command that serve shows works as shown, also after a restart,
// and that nobody else gets in.
func TestServeGreeting(t *testing.T) {
	tc := newTestCLI(t)
	dir := filepath.Join(tc.dir, "data")
	var credentials []byte
	for range 2 {
		said, stop := startServe(t, tc, "--dir", dir, "--listen", "127.0.0.1:0", "--bucket", testBucket)
		fields := strings.Fields(said[strings.Index(said, "cosfuse mount"):strings.Index(said, "Ctrl-C")])
		o, _, err := loadOptions(t, fields[2:], map[string]string{"HOME": tc.dir})
		if err != nil {
			t.Fatalf("options of %q: %v", fields, err)
		}
		opt, err := o.clientOptions(t.Context(), discard())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := probe(t.Context(), o, opt, func(string) {}); err != nil {
			t.Errorf("%q: %v", fields, err)
		}
		opt.Credentials = nil
		if _, err := probe(t.Context(), o, opt, func(string) {}); !errors.Is(err, cos.ErrAccessDenied) {
			t.Errorf("without credentials: %v, want %v", err, cos.ErrAccessDenied)
		}
		path := filepath.Join(dir, "credentials")
		now, err := os.ReadFile(path)
		if err != nil || credentials != nil && string(now) != string(credentials) {
			t.Errorf("credentials changed or are gone: %v", err)
		}
		credentials = now
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the credentials file: %v, %v", info.Mode(), err)
		}
		if code := stop(); code != exitOK {
			t.Errorf("exit code %d: %s", code, &tc.err)
		}
	}
}

func TestServeAnonymousAndAdmin(t *testing.T) {
	tc := newTestCLI(t)
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin.Close() // its port is free now
	said, stop := startServe(t, tc, "--dir", filepath.Join(tc.dir, "data"), "--listen", "127.0.0.1:0", "--anonymous",
		"--admin", admin.Addr().String(), "--latency", "5ms")
	if !strings.Contains(said, "--anonymous") || !strings.Contains(said, cosserver.DefaultBucket) {
		t.Errorf("greeting: %s", said)
	}
	client, err := cos.New(cos.Options{
		Endpoint: servedURL.FindString(said), Region: cosserver.DefaultRegion, Bucket: cosserver.DefaultBucket,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(t.Context(), "a.txt", strings.NewReader("text"), 4, nil); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{"/stats": "PutObject", "/shape": `"5ms"`} {
		res, err := http.Get("http://" + admin.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: got %s, %v, want %s in it", path, text, err, want)
		}
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d: %s", code, &tc.err)
	}
}

func TestServeEnvironmentCredentials(t *testing.T) {
	tc := newTestCLI(t)
	tc.env["COS_SECRET_ID"], tc.env["COS_SECRET_KEY"] = "AKIDtest", "hush"
	dir := filepath.Join(tc.dir, "data")
	said, stop := startServe(t, tc, "--dir", dir, "--listen", "127.0.0.1:0")
	if strings.Contains(said, "hush") || !strings.Contains(said, "COS_SECRET_ID") {
		t.Errorf("greeting: %s", said)
	}
	if _, err := os.Stat(filepath.Join(dir, "credentials")); err == nil {
		t.Error("a credentials file was made although the environment has credentials")
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d: %s", code, &tc.err)
	}
}
