package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bounds of length, in lines. A file or function that outgrows them has more than one job; a long
// flat function may stay if a line "Long: reason" of its doc comment says why.
const (
	softFileLines = 600
	hardFileLines = 900
	maxFuncLines  = 100
)

var (
	longReason = regexp.MustCompile(`(?m)^Long: \S`)
	todoWord   = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	todoForm   = regexp.MustCompile(`\bTODO\([a-z][a-z0-9.-]*\): \S`)
)

func lineCount(s *source) int { return bytes.Count(s.text, []byte("\n")) }

// checkFormat wants what gofmt would write.
func checkFormat(s *source) []string {
	want, err := format.Source(s.text)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", s.path, err)}
	}
	if !bytes.Equal(want, s.text) {
		return []string{s.path + ": not formatted, run gofmt"}
	}
	return nil
}

// checkSize bounds files and functions.
func checkSize(s *source) []string {
	var bad []string
	if n := lineCount(s); n > hardFileLines {
		bad = append(bad, fmt.Sprintf("%s: %d lines, at most %d are allowed", s.path, n, hardFileLines))
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := s.lines(f.Pos(), f.End())
		if n > maxFuncLines && !longReason.MatchString(f.Doc.Text()) {
			bad = append(bad, s.complain(f.Pos(),
				"func %s has %d lines: split it, or give the reason in its doc comment as \"Long: ...\"",
				f.Name.Name, n))
		}
	}
	return bad
}

// checkTODO wants an owner and a condition on everything left to do.
func checkTODO(s *source) []string {
	var bad []string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if todoWord.MatchString(c.Text) && !todoForm.MatchString(c.Text) {
				bad = append(bad, s.complain(c.Pos(), "write it as TODO(name): when it can be done"))
			}
		}
	}
	return bad
}

// checkExportedDocs wants a doc comment on every exported identifier, beginning with its name.
// Constants and variables declared in one block may share the block's. Fields and the methods of
// unexported types are free.
func checkExportedDocs(s *source) []string {
	if s.isTest() {
		return nil
	}
	var bad []string
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				bad = append(bad, s.wantDoc(d.Name, d.Doc)...)
			}
		case *ast.GenDecl:
			bad = append(bad, s.checkGenDocs(d)...)
		}
	}
	return bad
}

func (s *source) checkGenDocs(d *ast.GenDecl) []string {
	var bad []string
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil && !d.Lparen.IsValid() {
				doc = d.Doc
			}
			if spec.Name.IsExported() {
				bad = append(bad, s.wantDoc(spec.Name, doc)...)
			}
		case *ast.ValueSpec:
			if !slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
				continue
			}
			switch {
			case d.Lparen.IsValid() && (d.Doc != nil || spec.Doc != nil):
			case d.Lparen.IsValid():
				bad = append(bad, s.complain(spec.Pos(), "%s: neither it nor its block has a doc comment", spec.Names[0].Name))
			default:
				bad = append(bad, s.wantDoc(spec.Names[0], d.Doc)...)
			}
		}
	}
	return bad
}

func (s *source) wantDoc(name *ast.Ident, doc *ast.CommentGroup) []string {
	text := doc.Text()
	switch {
	case text == "":
		return []string{s.complain(name.Pos(), "%s has no doc comment", name.Name)}
	case !startsWithWord(text, name.Name):
		return []string{s.complain(name.Pos(), "the doc comment of %s does not begin with its name", name.Name)}
	}
	return nil
}

// exportedReceiver is true of functions and of methods on exported types.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return true
	}
	typ := f.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return true
		}
	}
}

var wordRune = regexp.MustCompile(`^[\pL\pN_]`)

func startsWithWord(text, word string) bool {
	rest, ok := strings.CutPrefix(text, word)
	return ok && !wordRune.MatchString(rest)
}

// checkPackageDocs wants the package comment of each package in its doc.go and nowhere else.
func checkPackageDocs(all []*source) []string {
	type pkg struct{ where []string }
	pkgs := map[string]*pkg{}
	var dirs, bad []string
	for _, s := range all {
		p := pkgs[s.dir()]
		if p == nil {
			p = &pkg{}
			pkgs[s.dir()] = p
			dirs = append(dirs, s.dir())
		}
		if s.file.Doc.Text() == "" {
			continue
		}
		p.where = append(p.where, path.Base(s.path))
		name := s.file.Name.Name
		opening := "Package " + name
		if name == "main" {
			opening = "Command " + path.Base(s.dir())
		}
		if !startsWithWord(s.file.Doc.Text(), opening) {
			bad = append(bad, s.complain(s.file.Package, "the package comment does not begin with %q", opening))
		}
	}
	for _, dir := range dirs {
		if where := pkgs[dir].where; !slices.Equal(where, []string{"doc.go"}) {
			bad = append(bad, fmt.Sprintf("%s: the package comment belongs in doc.go alone, it is in %q", dir, where))
		}
	}
	return bad
}
