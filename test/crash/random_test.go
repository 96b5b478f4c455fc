package crash

import (
	"testing"

	"cosfuse/test/internal/treemodel"
)

// workers is how many work on the mount at the same time.
const workers = 4

// TestRandomKills kills the mount at random moments while several workers change its tree.
func TestRandomKills(t *testing.T) {
	kills := *killsFlag
	switch {
	case kills != 0:
	case long():
		kills = 500
	default:
		kills = 10
	}
	const batch = 10 // kills before the mounts begin anew with an empty cache
	for _, mode := range modes() {
		t.Run(mode.Name, func(t *testing.T) {
			mode.Mix = treemodel.Mix{Weights: treemodel.Local(), Large: 3}
			w := treemodel.NewWorld(t, mode)
			var ops int64
			for done := 0; done < kills; done += batch {
				n, err := w.Crowd(*seedFlag+uint64(done), workers, min(batch, kills-done))
				if err != nil {
					t.Fatalf("after %d kills: %v\nagain: go test ./test/crash -run 'TestRandomKills/%s' -args -crash.seed=%d -crash.kills=%d\n%s",
						done, err, mode.Name, *seedFlag+uint64(done), batch, w.Log)
				}
				ops += n
			}
			t.Logf("seed %d: %d kills, %d operations agree", *seedFlag, kills, ops)
		})
	}
}
