package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"cosfuse/cos"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestTinyRun has the benchmark run with everything small, and looks at what was counted, never at times.
func TestTinyRun(t *testing.T) {
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil || os.Getuid() != 0 {
		t.Skipf("nothing can be mounted here: %v", err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var out, progress strings.Builder
	args := []string{"-scale", "50", "-latency", "1ms", "-bandwidth", "0", "-dir", t.TempDir(), "-subjects", "cosfuse,client alone"}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &progress); code != 0 {
		t.Fatalf("exit code %d: %s", code, progress.String())
	}
	t.Log(out.String())
	s, seen, steps := newSizes(50), 0, 0
	for _, w := range workloads(s) {
		for _, st := range w.steps {
			steps++
			if row := rowOf(out.String(), st.name, cosfuseName); strings.Contains(row, "failed") {
				t.Errorf("%s: %s", st.name, row)
			} else if row != "" {
				seen++
			}
		}
	}
	if seen != steps {
		t.Errorf("%d rows of cosfuse, want %d", seen, steps)
	}
	for _, want := range []struct{ step, subject, cell string }{
		{"`ls` of", aloneName, " 1 LIST "},
		{"`tar c`", cosfuseName, fmt.Sprintf("%d GET", s.tree)},
		{"`tar c`", aloneName, fmt.Sprintf("%d GET", s.tree)},
		{"`ls -l`, remounted", cosfuseName, " 2 LIST"},
		{"the same again", cosfuseName, " none "},
		{"the same, remounted", cosfuseName, " 0.0 "},
		{"new files of 16 KiB", cosfuseName, fmt.Sprintf("%d PUT", s.small)},
		{"new files of 16 KiB", aloneName, fmt.Sprintf("%d PUT", s.small)},
		{"at the end of", cosfuseName, " 1.0 "},
	} {
		if row := rowOf(out.String(), want.step, want.subject); !strings.Contains(row, want.cell) {
			t.Errorf("%s of %s: no %q in %q", want.step, want.subject, want.cell, row)
		}
	}
}

// rowOf finds the row of a subject at a step whose name contains text.
func rowOf(out, text, subject string) string {
	lines := strings.Split(out, "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, text) })
	for ; i >= 0 && i < len(lines); i++ {
		cells := strings.Split(lines[i], "|")
		if len(cells) > 2 && strings.TrimSpace(cells[2]) == subject {
			return lines[i]
		}
	}
	return ""
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-scale", "0"}, {"-repeat", "-1"}, {"-subjects", "goofys"}, {"-run", "("}, {"more"}, {"-latency", "-1s"}, {"-nothing"}} {
		var said bytes.Buffer
		if code := run(context.Background(), args, strings.NewReader(""), io.Discard, &said); code == 0 || said.Len() == 0 {
			t.Errorf("%q: exit code %d, it said %q", args, code, said.String())
		}
	}
}

func TestNoiseIsTheSameAtEachRead(t *testing.T) {
	n := noise{seed: 3, size: 3*noiseBlock + 17}
	whole := make([]byte, n.size)
	if k, err := n.ReadAt(whole, 0); int64(k) != n.size || err != nil {
		t.Fatalf("read %d bytes: %v", k, err)
	}
	part := make([]byte, noiseBlock)
	if k, err := n.ReadAt(part, noiseBlock/2); k != len(part) || err != nil || !bytes.Equal(part, whole[noiseBlock/2:][:noiseBlock]) {
		t.Errorf("a part of %d bytes differs: %v", k, err)
	}
	if k, err := n.ReadAt(part, n.size-5); k != 5 || err != io.EOF {
		t.Errorf("at the end: %d bytes, %v", k, err)
	}
	if again := cos.CRC64(whole); again == 0 || bytes.Equal(whole[:noiseBlock], whole[noiseBlock:][:noiseBlock]) {
		t.Error("the blocks are alike")
	}
}
