package model

import (
	"flag"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"cosfuse/test/internal/mountproc"
)

var (
	seedFlag     = flag.Uint64("model.seed", defaultSeed(), "seed of the operation lists; by default 1, and random with COSFUSE_LONG=1")
	caseFlag     = flag.Int("model.case", -1, "run this list of each configuration only; -1 runs all")
	stepsFlag    = flag.Int("model.steps", 40, "operations in a list")
	durationFlag = flag.Duration("model.duration", 0, "time for all configurations together; 0 runs 70 s, or an hour with COSFUSE_LONG=1")
	replayFlag   = flag.String("model.replay", "", "run the operations in this file, one JSON object a line, instead")
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
	syscall.Umask(0) // the modes that the model asks for are those it gets
	os.Exit(mountproc.Main(m))
}

// duration is how long the random part may take.
func duration() time.Duration {
	switch {
	case *durationFlag != 0:
		return *durationFlag
	case os.Getenv("COSFUSE_LONG") != "":
		return time.Hour
	}
	return 70 * time.Second
}
