package gates

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cosfuse/test/internal/mounttest"
)

// TestEveryday holds what the smallest changes cost in a directory that was listed.
func TestEveryday(t *testing.T) {
	tests := []struct {
		name   string
		script string
		want   map[string]int64
		asks   bool // what exists may be asked for its version, and for what a put would reset
	}{
		{name: "echo to a new file", script: `echo x >new`, want: map[string]int64{"PutObject": 1}},
		{name: "touch a new file", script: `touch new`, want: map[string]int64{"PutObject": 1}},
		{name: "echo over a file", script: `echo y >old`, want: map[string]int64{"PutObject": 1}, asks: true},
		{name: "echo over a file of ours", script: `echo x >new; echo yy >new`, want: map[string]int64{"PutObject": 2}},
		{name: "echo onto a new file", script: `echo x >>new`, want: map[string]int64{"AppendObject": 1}},
		{name: "cp -p", script: `cp -p "$SRC" new`, want: map[string]int64{"PutObject": 1}},
		{name: "mkdir", script: `mkdir d`, want: map[string]int64{"PutObject": 1}},
		{name: "a file in a new directory", script: `mkdir d; echo x >d/f`, want: map[string]int64{"PutObject": 2}},
		{name: "write under another name", script: `exec 3>tmp; mv tmp new; echo x >&3`, want: map[string]int64{"PutObject": 1}},
		{name: "test for a name that is absent", script: `! test -e absent`, want: map[string]int64{}},
		{name: "df", script: `df . >/dev/null`, want: map[string]int64{}},
	}
	src := noiseFile(t, 1, 1000)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newStoppedVolume(t, mounttest.Options{})
			put(t, v.Bucket, "old", []byte("old content\n"))
			shell(t, `ls -la "$MNT"`, mnt(v))
			u := v.Measure(t, func() { shell(t, `cd "$MNT"; `+tt.script, mnt(v), "SRC="+src) })
			if tt.asks {
				for _, op := range []string{"HeadObject", "GetObjectACL", "GetObjectTagging"} {
					wantAtMost(t, op, u.Count(op), 1)
					delete(u.Stats, op)
				}
			}
			wantOps(t, u, tt.want)
		})
	}
}

// steps is a shell that runs one command line after the other, so that the test can look in between.
type steps struct {
	t    *testing.T
	in   *os.File
	out  *os.File
	wait func() error
}

func newSteps(t *testing.T, dir string) *steps {
	t.Helper()
	s := &steps{t: t}
	stdin, in, err := os.Pipe()
	must(t, err)
	out, stdout, err := os.Pipe()
	must(t, err)
	cmd := command(t, nil, "sh", "-e")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stdout
	must(t, cmd.Start())
	s.in, s.out, s.wait = in, out, cmd.Wait
	must(t, stdin.Close())
	must(t, stdout.Close())
	s.run("cd '" + dir + "'")
	return s
}

// run runs a line and returns when it is done.
func (s *steps) run(line string) {
	s.t.Helper()
	_, err := fmt.Fprintf(s.in, "%s\necho done\n", line)
	must(s.t, err)
	var said []byte
	for !bytes.HasSuffix(said, []byte("done\n")) {
		buf := make([]byte, 4096)
		n, err := s.out.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			s.t.Fatalf("%s: %v: %s", line, err, said)
		}
	}
}

func (s *steps) end() {
	s.t.Helper()
	must(s.t, s.in.Close())
	must(s.t, s.wait())
	must(s.t, s.out.Close())
}

// TestOverwrittenFileIsNeverSeenEmpty looks at the object between the steps of a shell that overwrites it.
func TestOverwrittenFileIsNeverSeenEmpty(t *testing.T) {
	v := newStoppedVolume(t, mounttest.Options{})
	const old, text = "old content\n", "new\n"
	put(t, v.Bucket, "f", []byte(old))
	shell(t, `ls -la "$MNT"`, mnt(v))
	u := v.Measure(t, func() {
		s := newSteps(t, v.Dir)
		for _, step := range []struct{ line, want string }{
			{"exec 3>f", old}, {"/bin/true >&3", old}, {"/bin/true", old}, {"echo new >&3", text}, {"exec 3>&-", text},
		} {
			s.run(step.line)
			if got := string(object(t, v.Bucket, "f")); got != step.want {
				t.Errorf("after %q the object is %q, want %q", step.line, got, step.want)
			}
		}
		s.end()
	})
	for _, r := range changes(u, "f") {
		if r.Op != "PutObject" || r.Size != int64(len(text)) {
			t.Errorf("%s of %d bytes, want one PutObject of %d", r.Op, r.Size, len(text))
		}
	}
	if n := len(changes(u, "f")); n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
}

// TestSharedDescriptor has thirty children share a redirected output: the end of each flushes the file.
// What is counted are commits of bytes that were written since the last one.
func TestSharedDescriptor(t *testing.T) {
	const children = 30
	var lines strings.Builder
	for i := range children {
		fmt.Fprintf(&lines, "line %d\n", i+1)
	}
	numbers := ""
	for i := range children {
		numbers += fmt.Sprint(" ", i+1)
	}
	tests := []struct {
		name, script string
		want         map[string]int64
		stats        bool // the children ask for the file's time, which only the service knows
		content      string
	}{
		{"silent children", `{ echo head; for i in $N; do /bin/true; done; } >f`,
			map[string]int64{"PutObject": 1}, false, "head\n"},
		{"silent children, then more", `{ echo head; for i in $N; do /bin/true; done; echo tail; } >f`,
			map[string]int64{"PutObject": 2}, false, "head\ntail\n"},
		{"silent children of an appending shell", `{ echo head; for i in $N; do /bin/true; done; } >>f`,
			map[string]int64{"AppendObject": 1}, false, "head\n"},
		{"children that append", `{ for i in $N; do /bin/echo line $i; done; } >>f`,
			map[string]int64{"AppendObject": children}, true, lines.String()},
		{"children that write", `{ for i in $N; do /bin/echo line $i; done; } >f`,
			map[string]int64{"PutObject": children}, false, lines.String()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newStoppedVolume(t, mounttest.Options{})
			shell(t, `ls -la "$MNT"`, mnt(v))
			u := v.Measure(t, func() { shell(t, `cd "$MNT"; `+tt.script, mnt(v), "N="+numbers) })
			if tt.stats {
				wantAtMost(t, "HEADs", u.Count("HeadObject"), children)
				delete(u.Stats, "HeadObject")
			}
			wantOps(t, u, tt.want)
			if got := string(object(t, v.Bucket, "f")); got != tt.content {
				t.Errorf("object is %q, want %q", got, tt.content)
			}
			if op := u.Stats["AppendObject"]; op.Requests != 0 && op.BytesIn != int64(len(tt.content)) {
				t.Errorf("%d bytes sent, want %d", op.BytesIn, len(tt.content))
			}
		})
	}
}

// TestReadersCommitNothing has others read a file that is being written: only its writer decides when it
// is complete.
func TestReadersCommitNothing(t *testing.T) {
	v := newStoppedVolume(t, mounttest.Options{})
	shell(t, `ls -la "$MNT"`, mnt(v))
	s := newSteps(t, v.Dir) // started first: at exec, a child closes what its parent was writing
	out := filepath.Join(t.TempDir(), "out")
	var want string
	u := v.Measure(t, func() {
		f, err := os.Create(v.Path("f"))
		must(t, err)
		for i := range 5 {
			line := fmt.Sprintf("line %d\n", i)
			_, err := f.WriteString(line)
			must(t, err)
			want += line
			s.run("cat f >" + out)
			if got, err := os.ReadFile(out); err != nil || string(got) != want {
				t.Errorf("a reader sees %q, %v, want %q", got, err, want)
			}
		}
		must(t, f.Close())
	})
	s.end()
	wantOps(t, u, map[string]int64{"PutObject": 1})
}
