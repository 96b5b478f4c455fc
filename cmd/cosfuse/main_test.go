package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
)

// commandEnv makes the test binary behave as the command: the tests that need real processes run it.
const commandEnv = "COSFUSE_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		os.Exit(runAs(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// testCLI is an invocation with an environment of its own, that keeps what it prints.
type testCLI struct {
	*cli
	out, err bytes.Buffer
	env      map[string]string
	dir      string // HOME
}

func newTestCLI(t *testing.T) *testCLI {
	t.Helper()
	tc := &testCLI{dir: t.TempDir()}
	tc.env = map[string]string{"HOME": tc.dir, "XDG_CACHE_HOME": filepath.Join(tc.dir, "cache")}
	tc.cli = newCLI(strings.NewReader(""), &tc.out, &tc.err)
	tc.getenv = func(name string) string { return tc.env[name] }
	tc.runtimeDir = func(int) []string { return []string{filepath.Join(tc.dir, "run")} }
	return tc
}

// mkdir makes a directory below HOME.
func (tc *testCLI) mkdir(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(tc.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// write makes a file below HOME.
func (tc *testCLI) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(tc.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunHelpAndVersion(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"no arguments", nil, []string{"mount", "umount", "status", "sync", "recover", "cache", "warmup", "refresh", "serve", "install", "version", "--local", "Exit codes"}},
		{"mount", []string{"mount", "--help"}, []string{"Examples:", "--region", "default 20MiB", "default 1m0s", "COS_SECRET_ID"}},
		{"umount", []string{"umount", "--help"}, []string{"Examples:", "--lazy"}},
		{"serve", []string{"serve", "--help"}, []string{"Examples:", "--listen", "--dir"}},
		{"version", []string{"version"}, []string{"cosfuse ", "linux/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if code := run(t.Context(), tt.args, strings.NewReader(""), &out, &errOut); code != exitOK {
				t.Fatalf("exit code %d, want 0; stderr: %s", code, &errOut)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, &out)
				}
			}
		})
	}
}

// TestREADME checks that the README's table has each option of mount, with its default.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|`, \n", r) }) {
			if name, ok := strings.CutPrefix(word, "--"); ok && strings.HasPrefix(line, "| `-") {
				rows[name] = line
			}
		}
	}
	f := pflag.NewFlagSet("mount", pflag.ContinueOnError)
	(&mountOptions{}).addFlags(f)
	f.VisitAll(func(flag *pflag.Flag) {
		row, ok := rows[flag.Name]
		delete(rows, flag.Name)
		byItself := flag.DefValue == "" || flag.DefValue == "[]" || flag.DefValue == "false" || flag.Name == "uid" || flag.Name == "gid"
		if !ok || !byItself && !strings.Contains(row, "`"+flag.DefValue+"`") {
			t.Errorf("--%s, default %q: the README says %q", flag.Name, flag.DefValue, row)
		}
	})
	for name := range rows {
		t.Errorf("the README tells of --%s, which is not an option of mount", name)
	}
}

func TestHelpSaysNothingOfSecretFlags(t *testing.T) {
	var out bytes.Buffer
	run(t.Context(), []string{"mount", "--help"}, strings.NewReader(""), &out, io.Discard)
	if strings.Contains(out.String(), "--secret") {
		t.Errorf("help offers a flag for a secret:\n%s", &out)
	}
}
