package crash

import (
	"flag"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"cosfuse/test/internal/mountproc"
)

var (
	seedFlag  = flag.Uint64("crash.seed", defaultSeed(), "seed of the random kills; by default 1, and random with COSFUSE_LONG=1")
	killsFlag = flag.Int("crash.kills", 0, "random kills in each commit mode; 0 is 10, or 500 with COSFUSE_LONG=1")
	allFlag   = flag.Bool("crash.all", false, "die at every passing of every failpoint, not the first and the last only; also with COSFUSE_LONG=1")
)

// defaultSeed is the same for everyone who runs the short form: it is a gate, and must not fail whom it does not
// concern. The long form looks for what is new.
func defaultSeed() uint64 {
	if os.Getenv("COSFUSE_LONG") != "" {
		return rand.Uint64N(1e6)
	}
	return 1
}

func TestMain(m *testing.M) {
	syscall.Umask(0) // the modes that the workloads ask for are those they get
	os.Exit(mountproc.Main(m))
}

// long reports whether the long forms were asked for.
func long() bool { return os.Getenv("COSFUSE_LONG") != "" }
