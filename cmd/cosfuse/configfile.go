package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"
)

// maxConfigBytes bounds a config file; a larger one is not one.
const maxConfigBytes = 1 << 20

// notInConfig are the flags that a config file cannot give.
var notInConfig = []string{"config", "help", "options"}

// entry is one "key: value" of a config file. The value is as written, so that 0644 stays octal.
type entry struct {
	key, value string
	line       int
}

// readConfig fills o from its config file where no flag was given on the command line.
func (o *mountOptions) readConfig(f *pflag.FlagSet) error {
	text, mode, err := readSmall(o.configFile)
	if err != nil {
		return usageError("check --config", "config file: %w", err)
	}
	entries, err := parseConfig(text)
	if err != nil {
		return usageError("it is YAML, a line \"region: ap-guangzhou\" for each option", "config file %s: %w", o.configFile, err)
	}
	for _, e := range entries {
		if err := o.applyEntry(f, e); err != nil {
			return err
		}
	}
	if o.secret.from != "" && mode.Perm()&0o077 != 0 {
		return usageError("run chmod 600 "+o.configFile,
			"config file %s holds secrets and others may read it (mode %04o)", o.configFile, mode.Perm())
	}
	return nil
}

// applyEntry sets one option or secret.
func (o *mountOptions) applyEntry(f *pflag.FlagSet, e entry) error {
	secrets := map[string]*string{
		"secret-id": &o.secret.id, "secret-key": &o.secret.key, "session-token": &o.secret.token,
	}
	if p, ok := secrets[e.key]; ok {
		*p, o.secret.from = e.value, "config file "+o.configFile
		return nil
	}
	flag := f.Lookup(e.key)
	if flag == nil || slices.Contains(notInConfig, e.key) {
		names := []string{"secret-id", "secret-key", "session-token"}
		f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(notInConfig, n) })
		mend := "\"cosfuse mount --help\" lists the options"
		if s, ok := nearest(e.key, names); ok {
			mend = fmt.Sprintf("did you mean %q?", s)
		}
		return usageError(mend, "config file %s, line %d: unknown option %q", o.configFile, e.line, e.key)
	}
	if flag.Changed {
		return nil
	}
	if err := flag.Value.Set(e.value); err != nil {
		return usageError("see \"cosfuse mount --help\"", "config file %s, line %d: %s %q: %w",
			o.configFile, e.line, e.key, e.value, err)
	}
	return nil
}

// parseConfig reads one flat YAML mapping.
func parseConfig(text []byte) ([]entry, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(err)
	}
	var entries []entry
	seen := map[string]bool{}
	for _, doc := range file.Docs {
		pairs, err := mapping(doc.Body)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			e := entry{key: p.Key.GetToken().Value, line: p.Key.GetToken().Position.Line}
			scalar, ok := p.Value.(ast.ScalarNode)
			if !ok {
				return nil, fmt.Errorf("line %d: %s needs a single value", e.line, e.key)
			}
			if seen[e.key] {
				return nil, fmt.Errorf("line %d: %s is given twice", e.line, e.key)
			}
			seen[e.key] = true
			if _, null := scalar.(*ast.NullNode); null {
				continue // "key:" with nothing behind it leaves the default
			}
			e.value = scalar.GetToken().Value
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// syntaxError says where and what, but not the text around it, which may be a secret.
func syntaxError(err error) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return errors.New("not YAML")
	}
	return fmt.Errorf("line %d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
}

func mapping(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case nil, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	default:
		return nil, fmt.Errorf("line %d: want \"key: value\" lines", n.GetToken().Position.Line)
	}
}

// readSmall reads a whole regular file of at most maxConfigBytes.
func readSmall(path string) ([]byte, iofs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigBytes {
		return nil, 0, fmt.Errorf("%s is not a small regular file", path)
	}
	text, err := os.ReadFile(path)
	return text, info.Mode(), err
}

// shortHash names something by eight hexadecimal digits.
func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
