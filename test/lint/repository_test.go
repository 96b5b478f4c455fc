package lint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// topLevel is closed: growth happens inside these.
var topLevel = []string{
	".ci", ".git", ".gitignore", "LICENSE", "README.md", "go.mod", "go.sum",
	"cache", "cmd", "cos", "fs", "test", "writeback",
}

var (
	markdownName = regexp.MustCompile(`[\w./-]+\.md\b`)
	outsideRef   = regexp.MustCompile(`(?i)\b(issue|hard case)s? #?\d`)
)

// checkTopLevel compares the names in the root with the closed list, but for what git ignores.
func checkTopLevel(names []string, gitignore string) []string {
	ignored := strings.Fields(gitignore)
	var bad []string
	for _, name := range names {
		skip := slices.ContainsFunc(ignored, func(pattern string) bool {
			ok, err := path.Match(strings.Trim(pattern, "/"), name)
			return err == nil && ok
		})
		if !skip && !slices.Contains(topLevel, name) {
			bad = append(bad, fmt.Sprintf("%s: not on the closed list of the top level", name))
		}
	}
	return bad
}

// isProse is true of files whose words a reader meets.
func isProse(p string) bool {
	switch path.Ext(p) {
	case ".go", ".md", ".sh", ".mod", ".yml", ".yaml", "":
		return path.Base(p) != "LICENSE"
	}
	return false
}

// checkReferences wants a text to stand alone: a document it names is in the repository, and it
// numbers nothing that is kept elsewhere.
func checkReferences(p, text string, all []string) []string {
	var bad []string
	for i, line := range strings.Split(text, "\n") {
		for _, word := range strings.Fields(line) {
			name := markdownName.FindString(word)
			if name == "" || strings.Contains(word, "://") {
				continue
			}
			if !slices.ContainsFunc(all, func(f string) bool { return path.Base(f) == path.Base(name) }) {
				bad = append(bad, fmt.Sprintf("%s:%d: there is no %s here", p, i+1, name))
			}
		}
		if ref := outsideRef.FindString(line); ref != "" {
			bad = append(bad, fmt.Sprintf("%s:%d: %q means nothing to a reader of the repository: say what it is", p, i+1, ref))
		}
	}
	return bad
}

// checkRequirements wants a reason beside each direct requirement of a go.mod.
func checkRequirements(p, text string) []string {
	var bad []string
	inBlock := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "require (":
			inBlock = true
			continue
		case line == ")":
			inBlock = false
		}
		spec, isLine := strings.CutPrefix(line, "require ")
		if !isLine && !inBlock || spec == "" || strings.HasPrefix(spec, "//") {
			continue
		}
		_, reason, _ := strings.Cut(spec, "//")
		if reason = strings.TrimSpace(reason); reason == "" {
			bad = append(bad, fmt.Sprintf("%s:%d: say beside it what it is for: %s", p, i+1, spec))
		}
	}
	return bad
}
