package gates

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// latency is that of a service in the same city.
const latency = 15 * time.Millisecond

// putMany stores n small objects as another cosfuse would have, long enough ago to be told from what is
// written now.
func putMany(t testing.TB, b *mounttest.Bucket, dir string, n int) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			o := cos.PutOptions{Headers: cos.Headers{Meta: map[string]string{"mode": "33184", "uid": "0", "gid": "0", "mtime": fmt.Sprint(1e9 + i)}}}
			_, err := b.Client.Put(t.Context(), fmt.Sprintf("%s/f%05d", dir, i), bytes.NewReader([]byte{byte(i)}), 1, &o)
			return err
		})
	}
	must(t, g.Wait())
}

// keeping are the options of a mount that keeps attributes, on a server whose clock the test puts forward.
func keeping() (o mounttest.Options, later func(time.Duration)) {
	var ahead atomic.Int64
	o.Keep = true
	o.Server.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return o, func(d time.Duration) { ahead.Add(int64(d)) }
}

// wantListings checks that nothing but so many listings was asked for.
func wantListings(t testing.TB, u mounttest.Usage, most int64) {
	t.Helper()
	wantAtMost(t, "LIST", u.Count("ListObjects"), most)
	for op, s := range u.Stats {
		if op != "ListObjects" && s.Requests > 0 {
			t.Errorf("%d %s, want none", s.Requests, op)
		}
	}
}

// TestLongListing is ls -l of a large directory that this mount sees for the first time, and that a later
// mount sees again. Only in the long form the time counts.
func TestLongListing(t *testing.T) {
	const n = 5000
	o, later := keeping()
	v := newVolume(t, o)
	putMany(t, v.Bucket, "d", n)
	later(time.Minute)
	v.Server.SetShape(cosserver.Shape{Latency: latency})
	list := func() string { return shell(t, `ls -ln --time-style=+%s "$MNT/d"`, mnt(v)) }
	var first string
	began := time.Now()
	u := v.Measure(t, func() { first = list() })
	took := time.Since(began)
	logOps(t, u)
	t.Logf("ls -l of %d objects: %v, %d HEADs at most at once", n, took, u.Stats["HeadObject"].MaxInFlight)
	wantAtMost(t, "LIST", u.Count("ListObjects"), n/1000+2)
	wantAtMost(t, "HEAD", u.Count("HeadObject"), n+2)
	if long() && took > 3*time.Second {
		t.Errorf("it took %v, want at most 3s", took)
	}
	lines := strings.Split(strings.TrimSpace(first), "\n")
	if len(lines) != n+1 || !strings.HasPrefix(lines[1], "-rw-r----- 1 0 0 1 1000000000 ") {
		t.Errorf("%d lines, the second is %q", len(lines), lines[min(1, len(lines)-1)])
	}

	v.Remount(t)
	var second string
	began = time.Now()
	u = v.Measure(t, func() { second = list() })
	t.Logf("the same after a remount: %v", time.Since(began))
	wantListings(t, u, n/1000+2)
	if first != second {
		t.Errorf("it shows something else: %s", firstDifference(first, second))
	}
	wantListings(t, v.Measure(t, func() {
		out := shell(t, `cd "$MNT"; find d -type f -newermt @1000004899 | wc -l`, mnt(v))
		if strings.TrimSpace(out) != "100" {
			t.Errorf("%s files are newer, want 100", out)
		}
	}), 1)
}

// TestRsyncAfterRemount has rsync compare a tree with what an earlier mount wrote.
func TestRsyncAfterRemount(t *testing.T) {
	needs(t, "rsync")
	const files, dirs = 2000, 50
	src := t.TempDir()
	for i := range files {
		dir := filepath.Join(src, fmt.Sprintf("d%02d", i%dirs))
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%03d", i/dirs)), fmt.Append(nil, i), 0o640))
	}
	o, later := keeping()
	v := newVolume(t, o)
	shell(t, `rsync -a "$SRC/" "$MNT/copy/"`, "SRC="+src, mnt(v))
	later(time.Minute)
	for _, round := range []string{"of what this cache's mount wrote", "of what it read"} {
		v.Remount(t)
		u := v.Measure(t, func() {
			if out := shell(t, `rsync -ai "$SRC/" "$MNT/copy/"`, "SRC="+src, mnt(v)); out != "" {
				t.Errorf("%s: rsync transfers: %.400s", round, out)
			}
		})
		t.Logf("rsync -ai %s: %s", round, ops(u))
		wantListings(t, u, dirs+3)
		wantListings(t, v.Measure(t, func() {
			out := strings.Fields(shell(t, `cd "$MNT"; find . -newer copy/d00/f000 -type f | sort`, mnt(v)))
			if len(out) > files || slices.Contains(out, "./copy/d00/f000") {
				t.Errorf("%d files are newer", len(out))
			}
		}), dirs+3)
	}
}

// TestAttributesOfOthersVersions changes objects behind the back of a mount whose attributes are kept: what a
// listing cannot tell from the version that is known has another time.
func TestAttributesOfOthersVersions(t *testing.T) {
	o, later := keeping()
	v := newVolume(t, o)
	putMany(t, v.Bucket, "d", 3)
	later(time.Minute)
	modes := func(want string) {
		t.Helper()
		if got := shell(t, `stat -c %a "$MNT"/d/f0000[012]`, mnt(v)); got != want {
			t.Errorf("modes %q, want %q", got, want)
		}
	}
	modes("640\n640\n640\n")

	v.Remount(t)
	meta := cos.CopyOptions{Source: cos.Source{Key: "d/f00000"}, Replace: true, Headers: cos.Headers{Meta: map[string]string{"mode": "33152"}}}
	_, err := v.Client.Copy(t.Context(), "d/f00000", &meta) // the same bytes, and so the same ETag
	must(t, err)
	later(time.Minute)
	modes("600\n640\n640\n")

	v.Remount(t)
	put(t, v.Bucket, "d/f00001", []byte("other"))
	_, err = v.Client.Append(t.Context(), "d/log", 0, bytes.NewReader([]byte("a")), 1, nil)
	must(t, err)
	later(time.Minute)
	modes("600\n644\n640\n")
	shell(t, `stat "$MNT"/d/log`, mnt(v))

	v.Remount(t)
	_, err = v.Client.Append(t.Context(), "d/log", 1, bytes.NewReader([]byte("bc")), 2, nil)
	must(t, err)
	later(time.Minute)
	if got := shell(t, `stat -c %s "$MNT"/d/log`, mnt(v)); got != "3\n" {
		t.Errorf("size %s after an append by others", got)
	}
	wantListings(t, v.Measure(t, func() { modes("600\n644\n640\n") }), 2)
}

// TestFreshVersionsAreAskedForAgain changes the metadata of objects within the second in which they were made,
// which a listing does not show: what was learnt in between is not kept.
func TestFreshVersionsAreAskedForAgain(t *testing.T) {
	o, _ := keeping()
	var now atomic.Int64
	now.Store(time.Now().Unix())
	o.Server.Clock = func() time.Time { return time.Unix(now.Load(), 0) } // stands still
	v := newVolume(t, o)
	putMany(t, v.Bucket, "d", 1)
	mode := func(want string) {
		t.Helper()
		if got := shell(t, `stat -c %a "$MNT"/d/f00000`, mnt(v)); got != want+"\n" {
			t.Errorf("mode %q, want %s", got, want)
		}
	}
	mode("640")
	meta := cos.CopyOptions{Source: cos.Source{Key: "d/f00000"}, Replace: true, Headers: cos.Headers{Meta: map[string]string{"mode": "33152"}}}
	_, err := v.Client.Copy(t.Context(), "d/f00000", &meta)
	must(t, err)
	now.Add(60)
	v.Remount(t)
	mode("600")
}
