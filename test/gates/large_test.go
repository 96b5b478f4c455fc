package gates

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// overlap is the largest number of records whose times have a moment in common.
func overlap(log []cosserver.Record, op string) int {
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	for _, r := range log {
		if r.Op == op {
			edges = append(edges, edge{r.Start, 1}, edge{r.End, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}

// TestLargeFile writes a large file with dd, in parts that travel at the same time, and reads it back
// through a mount with empty caches.
func TestLargeFile(t *testing.T) {
	mib := 256
	if long() {
		mib = 1024
	}
	v := newStoppedVolume(t, mounttest.Options{})
	shell(t, `ls -la "$MNT"`, mnt(v))
	src, digest := randomFile(t, mib)
	u := v.Measure(t, func() { shell(t, `dd if="$SRC" of="$MNT/big" bs=1M`, src, mnt(v)) })
	logOps(t, u)
	wantOps(t, u, map[string]int64{"InitiateMultipart": 1, "UploadPart": int64(mib / 8), "CompleteMultipart": 1})
	if got := u.Stats["UploadPart"].BytesIn; got != int64(mib)<<20 {
		t.Errorf("%d bytes sent, want each of %d MiB once", got, mib)
	}
	wantParallel(t, u)
	v.Remount(t)
	wantDigest(t, v, digest)
}

// TestLargeFileFaults is TestLargeFile on a service that fails, with a seed that strikes several of the
// few requests.
func TestLargeFileFaults(t *testing.T) {
	mib, seed := 64, uint64(1954)
	if long() {
		mib = 1024
	}
	v := newVolume(t, faultOptions())
	src, digest := randomFile(t, mib)
	faulty(t, v.Bucket, seed)
	u := v.Measure(t, func() { shell(t, `dd if="$SRC" of="$MNT/big" bs=1M`, src, mnt(v)) })
	logOps(t, u)
	wantFaults(t, u)
	wantParallel(t, u)
	v.Remount(t)
	wantDigest(t, v, digest)
}

// randomFile makes a local file and returns the pair that tells a script of it, and its digest.
func randomFile(t *testing.T, mib int) (env, digest string) {
	t.Helper()
	env = "SRC=" + filepath.Join(t.TempDir(), "src")
	shell(t, fmt.Sprintf(`head -c %dM /dev/urandom >"$SRC"`, mib), env)
	return env, shell(t, `sha256sum <"$SRC"`, env)
}

// wantParallel wants parts that were in flight at the same time, as counted and by the log's times.
func wantParallel(t *testing.T, u mounttest.Usage) {
	t.Helper()
	if got := overlap(u.Log, "UploadPart"); got < 2 || u.Stats["UploadPart"].MaxInFlight < 2 {
		t.Errorf("at most %d parts were in flight at the same time, want several", got)
	}
}

func wantDigest(t *testing.T, v *mounttest.Volume, want string) {
	t.Helper()
	if got := shell(t, `sha256sum <"$MNT/big"`, mnt(v)); got != want {
		t.Errorf("digest %s after a remount, want %s", got, want)
	}
}
