package gates

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/test/internal/mounttest"
)

// long asks for the long form of the tests that have one.
func long() bool { return os.Getenv("COSFUSE_LONG") != "" }

// must stops the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newVolume mounts an empty bucket whose server remembers every request of a test.
func newVolume(t *testing.T, o mounttest.Options) *mounttest.Volume {
	t.Helper()
	o.Log = true
	o.Server.LogSize = 1 << 17
	return mounttest.New(t, o)
}

// newStoppedVolume is newVolume with a clock that stands still.
func newStoppedVolume(t *testing.T, o mounttest.Options) *mounttest.Volume {
	t.Helper()
	v := newVolume(t, o)
	v.StopClock()
	return v
}

// shell runs a script as sh -e does, and wants it to succeed. env adds NAME=VALUE pairs. The script
// changes into the mount by itself: the test's process must not.
func shell(t testing.TB, script string, env ...string) string {
	t.Helper()
	code, out := shellStatus(t, script, env...)
	if code != 0 {
		t.Fatalf("exit code %d of:\n%s\nit said: %.2000s", code, script, out)
	}
	return out
}

// shellStatus is shell for a script that may fail: it returns the exit code and all output.
func shellStatus(t testing.TB, script string, env ...string) (int, string) {
	t.Helper()
	cmd := command(t, env, "sh", "-ec", script)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// command prepares a program with an environment that says the same everywhere.
func command(t testing.TB, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// mnt is the pair that tells a script where the mount is.
func mnt(v *mounttest.Volume) string { return "MNT=" + v.Dir }

// needs skips the test where a program is not installed.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// wantOps checks that the requests are exactly these, by operation.
func wantOps(t testing.TB, u mounttest.Usage, want map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for op, s := range u.Stats {
		if s.Requests != 0 {
			got[op] = s.Requests
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

// wantAtMost checks a number against its budget, and tells it in any case.
func wantAtMost(t testing.TB, what string, got, most int64) {
	t.Helper()
	if got > most {
		t.Errorf("%d %s, want at most %d", got, what, most)
		return
	}
	t.Logf("%d %s, budget %d", got, what, most)
}

// ops tells the requests by operation, for messages.
func ops(u mounttest.Usage) string {
	var b strings.Builder
	for _, op := range slices.Sorted(maps.Keys(u.Stats)) {
		s := u.Stats[op]
		b.WriteString(" ")
		b.WriteString(op)
		for _, n := range []int64{s.Requests, s.BytesIn, s.BytesOut} {
			b.WriteString(":")
			b.WriteString(strconv.FormatInt(n, 10))
		}
	}
	return b.String()
}

// logOps tells the requests by operation, with bytes in and out.
func logOps(t testing.TB, u mounttest.Usage) {
	t.Helper()
	t.Logf("operation:requests:in:out%s", ops(u))
}

// changes are the requests on a key that change it, in the order they ended.
func changes(u mounttest.Usage, key string) []cosserver.Record {
	var out []cosserver.Record
	for _, r := range u.Log {
		if r.Key == key && !strings.HasPrefix(r.Op, "Head") && !strings.HasPrefix(r.Op, "Get") {
			out = append(out, r)
		}
	}
	return out
}

// object is the content of an object as another client sees it.
func object(t testing.TB, b *mounttest.Bucket, key string) []byte {
	t.Helper()
	r, err := b.Client.Get(context.Background(), key, nil)
	must(t, err)
	p, err := io.ReadAll(r.Body)
	must(t, errors.Join(err, r.Body.Close()))
	return p
}

// put stores an object behind the mounts' back.
func put(t testing.TB, b *mounttest.Bucket, key string, content []byte) {
	t.Helper()
	_, err := b.Client.Upload(context.Background(), key, bytes.NewReader(content), int64(len(content)), &cos.UploadOptions{NoResume: true})
	must(t, err)
}

// noise is n bytes that do not compress; the same seed gives the same.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	if _, err := rand.NewChaCha8(key).Read(p); err != nil {
		panic(err) // documented never to fail
	}
	return p
}

// noiseFile makes a local file of n bytes of noise.
func noiseFile(t testing.TB, seed uint64, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise")
	must(t, os.WriteFile(path, noise(seed, n), 0o644))
	return path
}
