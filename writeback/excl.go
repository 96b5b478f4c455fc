package writeback

import (
	"context"
	"errors"
	"fmt"

	"cosfuse/cos"
)

// Claim makes the object of a file that was just created with CreateMode.Excl, empty as it is, so that of all
// mounts that create the name one succeeds, and the others know before they write. It does nothing unless
// Options.ClaimAtOpen says so. ErrExists if somebody else was first: then, as after any error, the caller
// takes the file back by Remove. It blocks on the network. In a bucket that keeps versions the service decides
// nothing: two that create a name at the very same time may succeed.
func (f *File) Claim() error {
	if !f.s.ClaimAtOpen {
		return nil
	}
	f.mu.Lock()
	key, excl, shadows := f.key, f.create.Excl, f.shadows
	f.mu.Unlock()
	if !excl {
		return nil
	}
	if shadows { // what was deleted here must be gone, or the service would find it in our way
		if err := f.s.removals.flush(key); err != nil {
			return err
		}
		f.unshadow()
	}
	return f.commit(func() bool { return f.neverCommitted && !f.unlinked })
}

// unshadow notes that nothing is at f's key any more, if that is so. The object of a file that was unlinked
// while open stays there until we replace it: it keeps others from creating the name as well.
func (f *File) unshadow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if e := f.s.names.get(f.key); e != nil && e.file == f && !f.s.goingLocked(f.key, e) && f.neverCommitted {
		f.shadows, f.fresh = false, true
	}
}

// checkFree asks whether there is an object of key, if the service is to forbid overwriting one and does not, as in
// a bucket that keeps versions. ErrExists of package cos if there is. A window as long as a request remains.
func (c *snapshot) checkFree(ctx context.Context, key string, forbid bool) error {
	if !forbid || !c.f.s.Versioned {
		return nil
	}
	_, err := c.f.s.Client.Head(ctx, key, nil)
	switch {
	case errors.Is(err, cos.ErrNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("create %q: %w", key, cos.ErrExists)
	}
	return err
}

// claimed reports whether the base is there to hold the name. Whoever replaced it has taken the name over,
// though no byte of ours depends on it.
func (c *snapshot) claimed() bool { return c.f.s.ClaimAtOpen && c.create.Excl }
