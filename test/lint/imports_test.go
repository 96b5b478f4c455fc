package lint

import (
	"path"
	"slices"
	"strings"
)

// layer says which directories of ours the packages of a directory may import. The deepest layer
// that holds a package decides; what lies below an allowed directory is not allowed with it.
type layer struct {
	dir   string
	below []string // may be imported by all files
	tests []string // may be imported by _test.go files too
}

// layers are the arrows cmd -> fs -> writeback -> {cos, cache}, downwards only. A package may import
// what is below its own layer's directory as well: parts of it, and what is internal to it.
var layers = []layer{
	{dir: "cmd", below: []string{"fs", "writeback", "cos", "cos/cosserver", "cache"}},
	{dir: "fs", below: []string{"writeback", "writeback/extent", "cos", "cache"}, tests: []string{"cos/cosserver"}},
	{dir: "writeback", below: []string{"cos", "cache"}, tests: []string{"cos/cosserver"}},
	{dir: "writeback/extent"},
	{dir: "writeback/journal", below: []string{"writeback/extent"}},
	{dir: "cos", tests: []string{"cos/cosserver"}},
	{dir: "cos/cosserver", below: []string{"cos/internal"}, tests: []string{"cos"}},
	{dir: "cos/internal"},
	{dir: "cache"},
	{dir: "test", below: []string{"fs", "writeback", "writeback/extent", "writeback/journal", "cos", "cos/cosserver", "cache"}},
}

// aliases keeps two packages of one name apart, the same way everywhere.
var aliases = map[string]string{
	"github.com/hanwen/go-fuse/v2/fs": "gofs",
	"io/fs":                           "iofs",
}

// vagueNames are package names that say nothing about what a package is for.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "base"}

// checkImports holds the arrows, keeps go-fuse in fs, and the log package out.
func checkImports(s *source) []string {
	var bad []string
	if slices.Contains(vagueNames, s.file.Name.Name) {
		bad = append(bad, s.complain(s.file.Package, "package name %s says nothing", s.file.Name.Name))
	}
	for _, spec := range s.file.Imports {
		p := importPath(spec)
		if want := aliases[p]; want != "" && (spec.Name == nil || spec.Name.Name != want) {
			bad = append(bad, s.complain(spec.Pos(), "import %s as %s", p, want))
		}
		switch {
		case p == "log":
			bad = append(bad, s.complain(spec.Pos(), "log with the log/slog logger that was passed in"))
		case within(p, "github.com/hanwen/go-fuse/v2") && !s.under("fs") && !s.under("test"):
			bad = append(bad, s.complain(spec.Pos(), "only fs and test may import go-fuse"))
		case within(p, modulePath) && !mayImport(s, strings.TrimPrefix(p, modulePath+"/")):
			bad = append(bad, s.complain(spec.Pos(), "%s must not import %s", s.dir(), p))
		}
	}
	return bad
}

// mayImport judges an import of ours; target is relative to the module.
func mayImport(s *source, target string) bool {
	own, ok := layerOf(s.dir())
	switch {
	case !ok:
		return false
	case target == s.dir() && s.isTest(): // an external test package
		return true
	case within(target, "test"):
		return s.under("test") && slices.Contains(strings.Split(target, "/"), "internal")
	}
	theirs, ok := layerOf(target)
	if !ok {
		return false
	}
	if theirs.dir == own.dir && own.dir != target {
		return true
	}
	// A layer's parts are open to the layer itself: writeback may import writeback/extent.
	if within(theirs.dir, own.dir) && theirs.dir != own.dir && !isServer(target) {
		return true
	}
	allowed := own.below
	if s.isTest() {
		allowed = append(slices.Clone(allowed), own.tests...)
	}
	return slices.ContainsFunc(allowed, func(dir string) bool {
		return target == dir || path.Base(dir) == "internal" && within(target, dir)
	})
}

// isServer is true of the embedded server, which the client beside it must not know.
func isServer(target string) bool { return within(target, "cos/cosserver") }

// layerOf finds the deepest layer that holds dir.
func layerOf(dir string) (layer, bool) {
	var best layer
	for _, l := range layers {
		if within(dir, l.dir) && len(l.dir) > len(best.dir) {
			best = l
		}
	}
	return best, best.dir != ""
}
