package fs

import (
	"context"
	"time"
)

// interruptGrace is how long a request goes on after a signal. The kernel reports every signal of the
// caller, also those it only handles and forgets: children that ended, profilers, the scheduler of Go
// programs. Giving up at once would make stat(2) and open(2) fail with EINTR in programs that have
// never seen that happen; going on for ever would keep Ctrl-C from ending one that hangs.
const interruptGrace = time.Second

// patient returns a context with ctx's values that ends when the caller has been interrupted for
// interruptGrace. The caller calls done.
func patient(ctx context.Context) (p context.Context, done func()) {
	p, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(interruptGrace, cancel)
		context.AfterFunc(p, func() { t.Stop() })
	})
	return p, func() {
		stop()
		cancel()
	}
}
