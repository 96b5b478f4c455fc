package faults

import (
	"flag"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"cosfuse/test/internal/mountproc"
)

var (
	allFlag    = flag.Bool("faults.all", false, "strike every request with every fault; also with COSFUSE_LONG=1")
	sampleFlag = flag.Int("faults.sample", 6, "so many cases of each workload, if not all")
	seedFlag   = flag.Uint64("faults.seed", defaultSeed(), "seed of the sample; by default 1, and random with COSFUSE_LONG=1")
	caseFlag   = flag.String("faults.case", "", "only the case of this name, such as 'PutObject 2 lost reply'; use -run for the workload")
)

// defaultSeed is the same for everyone who runs the short form: it is a gate, and must not fail whom it does not
// concern.
func defaultSeed() uint64 {
	if os.Getenv("COSFUSE_LONG") != "" {
		return rand.Uint64N(1e6)
	}
	return 1
}

// all reports whether no case is left out.
func all() bool { return *allFlag || os.Getenv("COSFUSE_LONG") != "" }

func TestMain(m *testing.M) {
	syscall.Umask(0) // the modes that the workloads ask for are those they get
	os.Exit(mountproc.Main(m))
}
