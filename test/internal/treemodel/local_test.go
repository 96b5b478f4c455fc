package treemodel

import (
	"math/rand/v2"
	"testing"
)

// TestModelAgreesWithThisMachine runs the model against the machine's own file system: what the model wants
// of a mount is what Linux does.
func TestModelAgreesWithThisMachine(t *testing.T) {
	seed := rand.Uint64N(1e6)
	t.Logf("seed %d", seed)
	m := Mix{Weights: Local(), Large: 2}
	for i := range 100 {
		ops := m.Draw(rand.New(rand.NewPCG(seed, uint64(i))), 60)
		d, want := newDisk(t.TempDir()), newMachine()
		for step, o := range ops {
			if got, want := d.run(o), want.run(o); !got.equal(want) {
				t.Fatalf("seed %d list %d step %d %v: got %v, want %v", seed, i, step, o, got, want)
			}
		}
		d.closeAll()
		found, err := d.look(false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := want.mismatch(found, view{attrs: true}); diff != "" {
			t.Fatalf("seed %d list %d: %s", seed, i, diff)
		}
	}
}
