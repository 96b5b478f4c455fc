package mountproc

import (
	"encoding/json"
	"time"

	"cosfuse/writeback"
)

// Config describes a mount. It crosses the process boundary as JSON.
type Config struct {
	URL, Region, Bucket string // of a server that takes anonymous requests
	Dir                 string // mount point; exists
	Cache               string // staging files and journal; survives the process
	Log                 string // file that takes the log and what the process says when it dies

	Background         bool
	MultipartThreshold int64         // 0 = the default
	AttrDelay          time.Duration // 0 = the default
	SettleTime         time.Duration // 0 = the default
	UploadGrace        time.Duration // 0 = the default
	MetaTTL            time.Duration // 0 = the default
	NegativeTTL        time.Duration // 0 = the default
	Attempts           int           // of one request; 0 = the default
	StallTimeout       time.Duration // 0 = the default
	Ahead              time.Duration // how far the mount's clock is ahead of the machine's

	Failpoint string // where to die; "" = nowhere
	Pass      int    // at the n-th passing; 0 = the first
	Record    string // file that takes the name of each failpoint passed, a line each; "" = none
}

// command is one line of standard input.
type command struct {
	Op    string        `json:"op"` // sync, advance or unmount
	Ahead time.Duration `json:"ahead,omitempty"`
}

// reply is one line of standard output: the first after mounting, then one for each command.
type reply struct {
	Err       string             `json:"err,omitempty"`
	Recovered writeback.Recovery `json:"recovered"`
}

// env names the variable that carries the Config.
const env = "COSFUSE_TEST_MOUNT"

func (c Config) encode() (string, error) {
	b, err := json.Marshal(c)
	return string(b), err
}
