package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	iofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// modulePath is the main module; import paths of ours are below it.
const modulePath = "cosfuse"

// source is one Go file. Its path is relative to the repository and uses slashes.
type source struct {
	path string
	text []byte
	fset *token.FileSet
	file *ast.File
}

// parseSource parses text as the file at path.
func parseSource(path string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	return &source{path: path, text: text, fset: fset, file: file}, nil
}

// dir is the directory of the package, "" for the root.
func (s *source) dir() string {
	if d := path.Dir(s.path); d != "." {
		return d
	}
	return ""
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// under reports whether the file lies in the directory dir or below it.
func (s *source) under(dir string) bool { return within(s.dir(), dir) }

// complain formats one complaint about the code at pos.
func (s *source) complain(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// lines counts the lines from pos to end, both included.
func (s *source) lines(pos, end token.Pos) int {
	return s.fset.Position(end).Line - s.fset.Position(pos).Line + 1
}

// importPath is the unquoted path of an import.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // unreachable: the parser accepted it
	}
	return p
}

// within reports whether the slash path p is dir or lies below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// root finds the directory of the main module above the test's own.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
			return dir
		}
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			t.Fatal(err)
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod of the main module above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// files lists the regular files of the repository, relative, with slashes. Data for tests and
// dot-directories other than .ci are left out.
func files(t *testing.T) []string {
	t.Helper()
	dir := root(t)
	var found []string
	err := filepath.WalkDir(dir, func(p string, d iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		name := d.Name()
		hidden := strings.HasPrefix(name, ".") && rel != "." && name != ".ci"
		if d.IsDir() && (hidden || name == "testdata") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []*source {
	t.Helper()
	dir := root(t)
	var all []*source
	for _, p := range files(t) {
		if path.Ext(p) != ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseSource(p, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatal("found no Go files")
	}
	return all
}
