package lint

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
)

var notImplemented = regexp.MustCompile(`(?i)not (yet )?implemented|unimplemented`)

// checkCalls bans calls that hide waiting, lifetime or output. A sleep guesses when something is
// done: wait for the thing itself, or use testing/synctest. A context made below cmd cannot be ended
// by the mount. Output belongs to the command, or to the logger that was passed in.
func checkCalls(s *source) []string {
	inCmd := s.under("cmd")
	inTest := s.isTest() || s.under("test")
	imports := importNames(s)
	var bad []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			what := qualified(n, imports)
			switch {
			case what == "time.Sleep" && (!inCmd || s.isTest()):
				bad = append(bad, s.complain(n.Pos(), "time.Sleep: wait for the event, or use testing/synctest"))
			case (what == "context.Background" || what == "context.TODO") && !inCmd && !inTest:
				bad = append(bad, s.complain(n.Pos(), "%s: take the caller's context", what))
			case strings.HasPrefix(what, "fmt.Print") && !inCmd && !inTest:
				bad = append(bad, s.complain(n.Pos(), "%s: only the command prints", what))
			}
		case *ast.CallExpr:
			if isStub(n) {
				bad = append(bad, s.complain(n.Pos(), "a stub: leave it out until it exists"))
			}
		}
		return true
	})
	return bad
}

// importNames maps the name a file uses for an import to its path.
func importNames(s *source) map[string]string {
	names := map[string]string{}
	for _, spec := range s.file.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// qualified is "path.Name" for a use of an imported package, else "".
func qualified(sel *ast.SelectorExpr, imports map[string]string) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil { // Obj is set for what the file itself declares, so for what shadows an import
		return ""
	}
	p, ok := imports[id.Name]
	if !ok {
		return ""
	}
	return p + "." + sel.Sel.Name
}

// isStub is true of panic("not implemented") and the like.
func isStub(call *ast.CallExpr) bool {
	fn, ok := call.Fun.(*ast.Ident)
	if !ok || fn.Name != "panic" || len(call.Args) != 1 {
		return false
	}
	stub := false
	ast.Inspect(call.Args[0], func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && notImplemented.MatchString(lit.Value) {
			stub = true
		}
		return true
	})
	return stub
}
