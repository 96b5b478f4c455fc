package fs

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cosfuse/cos"
	"cosfuse/writeback"
)

func TestErrno(t *testing.T) {
	wrapped := func(err error) error {
		return fmt.Errorf("commit %q: %w", "k", &cos.Error{Op: "PutObject", Err: err})
	}
	tests := []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{syscall.ENOTEMPTY, syscall.ENOTEMPTY},
		{fmt.Errorf("write staging: %w", syscall.ENOSPC), syscall.ENOSPC},
		{errors.New("anything else"), syscall.EIO},
		{wrapped(cos.ErrAccessDenied), syscall.EACCES},
		{wrapped(cos.ErrNotFound), syscall.ENOENT},
		{wrapped(cos.ErrNoSuchBucket), syscall.EIO},
		{wrapped(cos.ErrNoSpace), syscall.EDQUOT},
		{wrapped(errors.Join(cos.ErrTransport, syscall.ECONNREFUSED)), syscall.EIO}, // not the socket's number
		{fmt.Errorf("%w: %w", writeback.ErrConflict, wrapped(cos.ErrNotFound)), syscall.ESTALE},
		{fmt.Errorf("%w: %w", writeback.ErrStale, wrapped(cos.ErrPrecondition)), syscall.ESTALE},
		{fmt.Errorf("wait: %w", context.Canceled), syscall.EINTR},
		{context.DeadlineExceeded, syscall.ETIMEDOUT},
	}
	for _, tt := range tests {
		if got := toErrno(tt.err); got != tt.want {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestErrnoTableIsComplete finds the exported errors of the packages below that have no row: a new one
// must not become EIO by oversight.
func TestErrnoTableIsComplete(t *testing.T) {
	table := sourceOf(t, "errno.go")
	for _, pkg := range []string{"cos", "writeback", "cache"} {
		for _, name := range exportedErrors(t, filepath.Join("..", pkg)) {
			if !strings.Contains(table, "{"+pkg+"."+name+",") {
				t.Errorf("%s.%s has no row", pkg, name)
			}
		}
	}
}

// exportedErrors lists the package's variables named Err….
func exportedErrors(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var names []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}
