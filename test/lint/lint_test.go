package lint

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// rule looks at one file and returns what is wrong with it, a line for each complaint.
type rule struct {
	name  string
	check func(*source) []string
}

// rules are those that need one file at a time.
var rules = []rule{
	{"format", checkFormat},
	{"size", checkSize},
	{"exported docs", checkExportedDocs},
	{"imports", checkImports},
	{"calls", checkCalls},
	{"todo", checkTODO},
}

func TestSources(t *testing.T) {
	all := sources(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, s := range all {
				for _, complaint := range r.check(s) {
					t.Error(complaint)
				}
			}
		})
	}
	for _, s := range all {
		if n := lineCount(s); n > softFileLines {
			t.Logf("%s: %d lines, more than the %d we aim to stay under", s.path, n, softFileLines)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, complaint := range checkPackageDocs(sources(t)) {
		t.Error(complaint)
	}
}

func TestReferences(t *testing.T) {
	dir, all := root(t), files(t)
	for _, p := range all {
		if !isProse(p) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range checkReferences(p, string(text), all) {
			t.Error(complaint)
		}
	}
}

func TestRequirementReasons(t *testing.T) {
	dir := root(t)
	for _, p := range files(t) {
		if path.Base(p) != "go.mod" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range checkRequirements(p, string(text)) {
			t.Error(complaint)
		}
	}
}

func TestTopLevel(t *testing.T) {
	dir := root(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, complaint := range checkTopLevel(names, string(ignore)) {
		t.Error(complaint)
	}
}

// TestVet covers the main module; test/run vets the nested ones, whose dependencies may not be here.
func TestVet(t *testing.T) {
	if testing.Short() {
		t.Skip("go vet compiles the module; -short asks for less")
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", "./...")
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, strings.TrimSpace(string(out)))
	}
}
