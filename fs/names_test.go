package fs

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("x", maxNameBytes)
	tests := []struct {
		c    component
		name string
	}{
		{component{seg: "a"}, "a"},
		{component{seg: "a", hidden: true}, "a.~object"},
		{component{seg: "a.~object"}, "a.~object.~object"},
		{component{seg: "a.~object", hidden: true}, "a.~object.~object.~object"},
		{component{seg: ".~object"}, ".~object"}, // nothing in front: not an alias of anything
		{component{seg: "a.~objects"}, "a.~objects"},
		{component{seg: "ä 日本\n"}, "ä 日本\n"},
		{component{seg: long}, long},
	}
	for _, tt := range tests {
		name, ok := tt.c.name()
		if !ok || name != tt.name {
			t.Errorf("%+v is called %q (%v), want %q", tt.c, name, ok, tt.name)
		}
		if c, errno := parseName(tt.name); errno != 0 || c != tt.c {
			t.Errorf("%q means %+v (%v), want %+v", tt.name, c, errno, tt.c)
		}
	}
	if name, ok := (component{seg: long, hidden: true}).name(); ok {
		t.Errorf("%d bytes are a name", len(name))
	}
}

func TestNamesNoKeyCarries(t *testing.T) {
	for name, want := range map[string]syscall.Errno{
		"":                                  syscall.EINVAL,
		".":                                 syscall.EINVAL,
		"..":                                syscall.EINVAL,
		"a/b":                               syscall.EINVAL,
		"\x00":                              syscall.EINVAL,
		"\xff":                              syscall.EILSEQ,
		"escape \x1b[0m":                    syscall.EILSEQ,
		"..~object":                         syscall.EINVAL, // would be "." beside a directory
		"...~object":                        syscall.EINVAL,
		strings.Repeat("x", maxNameBytes+1): syscall.ENAMETOOLONG,
	} {
		if c, errno := parseName(name); errno != want {
			t.Errorf("%.20q means %+v (%v), want %v", name, c, errno, want)
		}
	}
}

// FuzzNames checks that names and components are told from each other both ways.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "a.~object", "a.~object.~object", ".~object", ".~object.~object", "..~object"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, hidden bool) {
		if c, errno := parseName(s); errno == 0 {
			if back, ok := c.name(); !ok || back != s {
				t.Errorf("%q means %+v, which is called %q (%v)", s, c, back, ok)
			}
		}
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") || !utf8.ValidString(s) {
			return
		}
		c := component{seg: s, hidden: hidden}
		name, ok := c.name()
		if !ok {
			return
		}
		if back, errno := parseName(name); errno != 0 || back != c {
			t.Errorf("%+v is called %q, which means %+v (%v)", c, name, back, errno)
		}
	})
}

// TestKeyOf goes from paths to keys, and back where the path is the key's own.
func TestKeyOf(t *testing.T) {
	tests := []struct {
		path, key string
		alone     bool
		err       error
		back      string // "" = path
	}{
		{path: "", key: "p/"},
		{path: "a", key: "p/a"},
		{path: "d/a", key: "p/d/a"},
		{path: "d/a.~object", key: "p/d/a", alone: true, back: "d/a"},
		{path: "d/a.~object.~object", key: "p/d/a.~object"},
		{path: "d.~object.~object/a", key: "p/d.~object/a"},
		{path: "d/a.~object.~object.~object", key: "p/d/a.~object", alone: true, back: "d/a.~object.~object"},
		{path: "d.~object/a", err: syscall.ENOTDIR},
		{path: "a//b", err: syscall.EINVAL},
		{path: "\xff", err: syscall.EILSEQ},
		{path: strings.Repeat("long/", 200), err: syscall.EINVAL},
	}
	for _, tt := range tests {
		key, alone, err := KeyOf("p/", tt.path)
		if key != tt.key || alone != tt.alone || !errors.Is(err, tt.err) {
			t.Errorf("%q is %q (alone: %t), %v, want %q (%t), %v", tt.path, key, alone, err, tt.key, tt.alone, tt.err)
		}
		if tt.err != nil {
			continue
		}
		want := tt.path
		if tt.back != "" {
			want = tt.back
		}
		if got := PathOf("p/", key); got != want {
			t.Errorf("%q is shown as %q, want %q", key, got, want)
		}
	}
}

func TestSplitKey(t *testing.T) {
	for key, want := range map[string][2]string{
		"a":     {"", "a"},
		"a/":    {"", "a"},
		"a/b":   {"a/", "b"},
		"a/b/":  {"a/", "b"},
		"a/b/c": {"a/b/", "c"},
	} {
		if dir, seg := splitKey(key); dir != want[0] || seg != want[1] {
			t.Errorf("%q is %q and %q, want %q", key, dir, seg, want)
		}
	}
}
