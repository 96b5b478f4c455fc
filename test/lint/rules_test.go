package lint

import (
	"strings"
	"testing"
)

// TestRules feeds each rule what must offend it and what must not.
func TestRules(t *testing.T) {
	longBody := strings.Repeat("\tx++\n", maxFuncLines)
	tests := []struct {
		name  string
		check func(*source) []string
		path  string
		text  string
		want  string // part of the one complaint; "" for none
	}{
		{"formatted", checkFormat, "fs/a.go", "package fs\n", ""},
		{"not formatted", checkFormat, "fs/a.go", "package  fs\n", "gofmt"},

		{"file fits", checkSize, "fs/a.go", "package fs\n" + strings.Repeat("//\n", hardFileLines-1), ""},
		{"file too long", checkSize, "fs/a.go", "package fs\n" + strings.Repeat("//\n", hardFileLines), "at most"},
		{"func too long", checkSize, "fs/a.go", "package fs\nfunc f(x int) {\n" + longBody + "}\n", "split it"},
		{"func long with a reason", checkSize, "fs/a.go",
			"package fs\n// f counts.\n//\n// Long: one flat switch.\nfunc f(x int) {\n" + longBody + "}\n", ""},
		{"func long with an empty reason", checkSize, "fs/a.go",
			"package fs\n// f counts.\n//\n// Long:\nfunc f(x int) {\n" + longBody + "}\n", "split it"},

		{"todo in form", checkTODO, "fs/a.go", "package fs\n// TODO(fs): when the kernel tells.\n", ""},
		{"todo without owner", checkTODO, "fs/a.go", "package fs\n// TODO: later\n", "TODO(name)"},
		{"fixme", checkTODO, "fs/a.go", "package fs\n/* FIXME later */\n", "TODO(name)"},

		{"func doc", checkExportedDocs, "fs/a.go", "package fs\n// F does.\nfunc F() {}\n", ""},
		{"func without doc", checkExportedDocs, "fs/a.go", "package fs\nfunc F() {}\n", "F has no doc"},
		{"doc of another name", checkExportedDocs, "fs/a.go", "package fs\n// Fs do.\nfunc F() {}\n", "begin with its name"},
		{"method of exported", checkExportedDocs, "fs/a.go", "package fs\nfunc (t *T[K]) M() {}\n", "M has no doc"},
		{"method of unexported", checkExportedDocs, "fs/a.go", "package fs\nfunc (t *t) M() {}\n", ""},
		{"type without doc", checkExportedDocs, "fs/a.go", "package fs\ntype T int\n", "T has no doc"},
		{"type in a block", checkExportedDocs, "fs/a.go", "package fs\n// Types.\ntype (\n\tT int\n)\n", "T has no doc"},
		{"fields are free", checkExportedDocs, "fs/a.go", "package fs\n// T is.\ntype T struct{ F int }\n", ""},
		{"block shares", checkExportedDocs, "fs/a.go", "package fs\n// Limits.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"block without", checkExportedDocs, "fs/a.go", "package fs\nvar (\n\tA = 1\n)\n", "nor its block"},
		{"single const", checkExportedDocs, "fs/a.go", "package fs\n// The limit.\nconst A = 1\n", "begin with its name"},
		{"tests are free", checkExportedDocs, "fs/a_test.go", "package fs\nfunc TestX() {}\n", ""},

		{"fs to writeback", checkImports, "fs/a.go", "package fs\nimport _ \"cosfuse/writeback\"\n", ""},
		{"writeback to fs", checkImports, "writeback/a.go", "package writeback\nimport _ \"cosfuse/fs\"\n", "must not import"},
		{"fs to cmd", checkImports, "fs/a.go", "package fs\nimport _ \"cosfuse/cmd/cosfuse\"\n", "must not import"},
		{"cache to cos", checkImports, "cache/a.go", "package cache\nimport _ \"cosfuse/cos\"\n", "must not import"},
		{"writeback to its part", checkImports, "writeback/a.go", "package writeback\nimport _ \"cosfuse/writeback/extent\"\n", ""},
		{"the part to cos", checkImports, "writeback/extent/a.go", "package extent\nimport _ \"cosfuse/cos\"\n", "must not import"},
		{"client to signer", checkImports, "cos/a.go", "package cos\nimport _ \"cosfuse/cos/internal/sign\"\n", ""},
		{"server to signer", checkImports, "cos/cosserver/a.go", "package cosserver\nimport _ \"cosfuse/cos/internal/sign\"\n", ""},
		{"server to client", checkImports, "cos/cosserver/a.go", "package cosserver\nimport _ \"cosfuse/cos\"\n", "must not import"},
		{"client to server", checkImports, "cos/a.go", "package cos\nimport _ \"cosfuse/cos/cosserver\"\n", "must not import"},
		{"client's test to server", checkImports, "cos/a_test.go", "package cos_test\nimport _ \"cosfuse/cos/cosserver\"\n", ""},
		{"external test to its package", checkImports, "cache/a_test.go", "package cache_test\nimport _ \"cosfuse/cache\"\n", ""},
		{"fs to server", checkImports, "fs/a.go", "package fs\nimport _ \"cosfuse/cos/cosserver\"\n", "must not import"},
		{"cmd to server", checkImports, "cmd/cosfuse/a.go", "package main\nimport _ \"cosfuse/cos/cosserver\"\n", ""},
		{"cmd to test", checkImports, "cmd/cosfuse/a.go", "package main\nimport _ \"cosfuse/test/mount\"\n", "must not import"},
		{"test to test", checkImports, "test/a/a_test.go", "package a\nimport _ \"cosfuse/test/mount\"\n", "must not import"},
		{"test to test's internal", checkImports, "test/a/a_test.go", "package a\nimport _ \"cosfuse/test/internal/mnt\"\n", ""},
		{"go-fuse below fs", checkImports, "cache/a.go", "package cache\nimport _ \"github.com/hanwen/go-fuse/v2/fuse\"\n", "go-fuse"},
		{"go-fuse in fs", checkImports, "fs/a.go", "package fs\nimport gofs \"github.com/hanwen/go-fuse/v2/fs\"\n", ""},
		{"go-fuse not renamed", checkImports, "fs/a.go", "package fs\nimport \"github.com/hanwen/go-fuse/v2/fs\"\n", "as gofs"},
		{"io/fs not renamed", checkImports, "cmd/a/a.go", "package main\nimport \"io/fs\"\n", "as iofs"},
		{"log", checkImports, "cmd/a/a.go", "package main\nimport \"log\"\n", "slog"},
		{"vague name", checkImports, "fs/util/a.go", "package util\n", "says nothing"},

		{"sleep in a test", checkCalls, "cmd/a/a_test.go", "package main\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", "time.Sleep"},
		{"sleep under another name", checkCalls, "fs/a.go", "package fs\nimport t \"time\"\nfunc f() { t.Sleep(1) }\n", "time.Sleep"},
		{"sleep in cmd", checkCalls, "cmd/a/a.go", "package main\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", ""},
		{"another Sleep", checkCalls, "fs/a.go", "package fs\nimport \"time\"\nfunc f(time clock) { time.Sleep(1) }\n", ""},
		{"background", checkCalls, "fs/a.go", "package fs\nimport \"context\"\nvar c = context.Background()\n", "caller's context"},
		{"todo context", checkCalls, "fs/a.go", "package fs\nimport \"context\"\nvar c = context.TODO()\n", "caller's context"},
		{"background in a test", checkCalls, "fs/a_test.go", "package fs\nimport \"context\"\nvar c = context.Background()\n", ""},
		{"print", checkCalls, "fs/a.go", "package fs\nimport \"fmt\"\nfunc f() { fmt.Println() }\n", "command prints"},
		{"fprint", checkCalls, "fs/a.go", "package fs\nimport (\"fmt\"; \"io\")\nfunc f() { fmt.Fprintln(io.Discard) }\n", ""},
		{"stub", checkCalls, "fs/a.go", "package fs\nfunc f() { panic(\"Not implemented: f\") }\n", "stub"},
		{"invariant", checkCalls, "fs/a.go", "package fs\nfunc f() { panic(\"extent set out of order\") }\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSource(tt.path, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			expect(t, tt.check(s), tt.want)
		})
	}
}

func TestPackageDocRule(t *testing.T) {
	const doc = "// Package fs is.\npackage fs\n"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"in doc.go", map[string]string{"fs/doc.go": doc, "fs/a.go": "package fs\n"}, ""},
		{"missing", map[string]string{"fs/a.go": "package fs\n"}, "belongs in doc.go"},
		{"elsewhere", map[string]string{"fs/a.go": doc}, "belongs in doc.go"},
		{"other opening", map[string]string{"fs/doc.go": "// This is fs.\npackage fs\n"}, "does not begin"},
		{"command", map[string]string{"cmd/x/doc.go": "// Command x runs.\npackage main\n"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []*source
			for p, text := range tt.files {
				s, err := parseSource(p, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
			expect(t, checkPackageDocs(all), tt.want)
		})
	}
}

func TestRepositoryRules(t *testing.T) {
	all := []string{"README.md", "test/README.md"}
	missing := "PLAN" + ".md" // in two pieces, or the rule would find it here
	tests := []struct {
		name string
		got  []string
		want string
	}{
		{"document here", checkReferences("a", "see test/README.md.", all), ""},
		{"document elsewhere", checkReferences("a", "see "+missing+".", all), "there is no"},
		{"document on the web", checkReferences("a", "see https://example.com/"+missing, all), ""},
		{"numbered elsewhere", checkReferences("a", "as issue"+" #7 says", all), "means nothing"},
		{"direct with a reason", checkRequirements("go.mod", "require (\n\ta v1 // metrics\n)\n"), ""},
		{"direct without", checkRequirements("go.mod", "require (\n\ta v1\n)\n"), "what it is for"},
		{"single without", checkRequirements("go.mod", "require a v1\n"), "what it is for"},
		{"indirect", checkRequirements("go.mod", "require (\n\ta v1 // indirect\n)\n"), ""},
		{"top level", checkTopLevel([]string{"cos", "x.test"}, "*.test\n"), ""},
		{"top level grows", checkTopLevel([]string{"cos", "pkg"}, "*.test\n"), "closed list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.got, tt.want) })
	}
}

// expect wants one complaint that contains want, or none if want is "".
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("got %q, want no complaint", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("got %q, want one complaint with %q", got, want)
	}
}
