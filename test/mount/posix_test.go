package mount

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"cosfuse/test/internal/mounttest"
)

// posixSkips are tests of go-fuse's table that ask for what a bucket cannot be.
var posixSkips = map[string]string{
	"FcntlFlockLocksFile": "wants locks forwarded to the file system; the kernel keeps ours, as it does for ext4",
	"Link":                "hard links are refused: an object has one name",
	"LinkUnlinkRename":    "hard links are refused: an object has one name",
	"OpenSymlinkRace":     "an open that is overtaken by two renames in a row gets ESTALE: the kernel retries once; see TestOpenWhileRenamedOver",
	"Tmpfile":             "an unnamed file gets its name by a hard link",
}

func TestPosix(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{Log: true})
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if why := posixSkips[name]; why != "" {
				t.Skip(why)
			}
			dir := v.Path(name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			posixtest.All[name](t, dir)
		})
	}
}
