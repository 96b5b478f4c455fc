package fs

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

func sourceOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// newTestTree returns a mount's tree without the mount.
func newTestTree(t *testing.T, prefix string) (*tree, *node) {
	t.Helper()
	m := &Mount{o: Options{Prefix: prefix}, tree: newTree()}
	m.root = &node{m: m}
	gofs.NewNodeFS(m.root, &gofs.Options{})
	return m.tree, m.root
}

func add(t *testing.T, tr *tree, dir *node, name string, mode uint32) *node {
	t.Helper()
	c, errno := parseName(name)
	if errno != 0 {
		t.Fatal(errno)
	}
	return tr.enter(t.Context(), dir, name, c, mode)
}

func wantKey(t *testing.T, tr *tree, n *node, want string) {
	t.Helper()
	got, err := tr.key(t.Context(), n)
	if err != nil || got != want {
		t.Errorf("key %q, %v, want %q", got, err, want)
	}
}

func TestTreeKeysFollowRenames(t *testing.T) {
	tr, root := newTestTree(t, "p/")
	a := add(t, tr, root, "a", syscall.S_IFDIR)
	f := add(t, tr, a, "f", syscall.S_IFREG)
	hidden := add(t, tr, a, "d.~object", syscall.S_IFREG)
	wantKey(t, tr, root, "p/")
	wantKey(t, tr, f, "p/a/f")
	wantKey(t, tr, hidden, "p/a/d")
	tr.move(a, root, "b", component{seg: "b"})
	wantKey(t, tr, f, "p/b/f")
	if got := tr.find(root, "p/b/f"); got != f {
		t.Error("a moved file is not found by its key")
	}
	if got := tr.find(root, "p/b/d"); got != hidden {
		t.Error("a hidden object is not found by its key")
	}
	if got := tr.find(root, "p/a/f"); got != nil {
		t.Error("a moved file is found by its old key")
	}
	if tr.child(root, "a") != nil || tr.child(root, "b") != a {
		t.Error("the directory is not where it was moved to")
	}
}

func TestTreeIdentity(t *testing.T) {
	tr, root := newTestTree(t, "")
	f := add(t, tr, root, "f", syscall.S_IFREG)
	if add(t, tr, root, "f", syscall.S_IFREG) != f {
		t.Error("a second lookup made another node")
	}
	link := add(t, tr, root, "f", syscall.S_IFLNK)
	if link == f || !tr.isGone(f) {
		t.Error("an object of another type kept the node")
	}
	g := add(t, tr, root, "g", syscall.S_IFREG)
	tr.move(g, root, "f", component{seg: "f"})
	if !tr.isGone(link) || tr.child(root, "f") != g {
		t.Error("what was replaced by a rename still has its name")
	}
	again := tr.add(t.Context(), root, "g", component{seg: "g"}, syscall.S_IFREG)
	if again == g || again.StableAttr().Ino == g.StableAttr().Ino {
		t.Error("a new file of the old name has the identity of the one that was moved")
	}
	tr.detach(g)
	if _, err := tr.key(t.Context(), g); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("an unlinked node has a key: %v", err)
	}
	tr.forget(again)
	if tr.child(root, "g") != nil {
		t.Error("a forgotten node is still in the tree")
	}
}

// TestTreeClaims checks that whoever needs a key waits for the rename of any directory above, and a
// rename for those below, and that waiting ends with the context.
func TestTreeClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, root := newTestTree(t, "")
		a := add(t, tr, root, "a", syscall.S_IFDIR)
		f := add(t, tr, a, "f", syscall.S_IFREG)
		release, err := tr.claim(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		done := false
		wg.Go(func() {
			wantKey(t, tr, f, "b/f")
			done = true
		})
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := tr.claim(ctx, f); !errors.Is(err, context.Canceled) {
				t.Errorf("claim below a claim: %v", err)
			}
		})
		synctest.Wait()
		if done {
			t.Error("a key was told in the middle of a rename")
		}
		cancel()
		tr.move(a, root, "b", component{seg: "b"})
		release()
		wg.Wait()

		release, err = tr.claim(t.Context(), f, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := tr.claim(ctx, a); !errors.Is(err, context.Canceled) {
				t.Errorf("claim above a claim: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		release()
		if release, err = tr.claim(t.Context(), a); err != nil {
			t.Fatalf("claim after all ended: %v", err)
		}
		release()
	})
}
