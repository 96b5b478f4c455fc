package treemodel

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"cosfuse/test/internal/mountproc"
)

// list is one run of a list of operations, in a directory of its own.
type list struct {
	w      *World
	prefix string // of its keys
	want   *machine
	active int     // mount in use
	disks  []*disk // one of each mount
}

// hung is how long a list may take before its mounts are killed.
const hung = 2 * time.Minute

// Run runs the list in a directory of its own and checks the end. After an error the mounts are gone, and the
// next Run makes new ones.
func (w *World) Run(ops []Op) error {
	return w.run(func(l *list) error {
		for i, o := range ops {
			if err := l.step(o); err != nil {
				return fmt.Errorf("step %d %v: %w", i, o, err)
			}
		}
		if err := l.end(len(ops)%4 == 0); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		return nil
	})
}

// run lets work run a list.
func (w *World) run(work func(*list) error) (err error) {
	defer func() {
		w.bucket.Server.SetRules(nil)
		if err != nil {
			w.Log = w.logs()
			err = errors.Join(err, w.killAll())
		}
	}()
	if err := w.begin(); err != nil {
		return err
	}
	w.lists++
	name := strconv.Itoa(w.lists)
	l := &list{w: w, prefix: name + "/", want: newMachine()}
	for _, p := range w.mounts {
		l.disks = append(l.disks, newDisk(filepath.Join(p.Config.Dir, name)))
	}
	watchdog := time.AfterFunc(hung, func() {
		for _, p := range w.mounts {
			_ = p.Signal(syscall.SIGQUIT) // a dead one needs none
		}
	})
	defer watchdog.Stop()
	defer func() {
		for _, d := range l.disks {
			d.closeAll()
		}
	}()
	if err := w.putObject(l.prefix, nil); err != nil {
		return err
	}
	return work(l)
}

func (l *list) disk() *disk { return l.disks[l.active] }

// step carries out one operation on both sides.
func (l *list) step(o Op) error {
	switch o.Op {
	case "sync":
		return l.sync()
	case "age":
		return l.w.advance()
	case "look":
		return l.choose(view{attrs: true}, l.want)
	case "kill":
		return l.kill(l.want)
	case "remount":
		return l.remount()
	case "fresh":
		return l.fresh()
	case "switch":
		return l.handOver()
	case "remoteput", "remotedelete", "remoteappend":
		return l.remote(o)
	}
	if o.Kill > 0 {
		return l.killed(o)
	}
	if o.Fault != nil && o.Fault.Hard {
		return l.refused(o)
	}
	var before *machine
	if l.mortal() {
		before = l.want.clone()
	}
	if o.Fault != nil {
		l.w.bucket.Server.SetRules(o.Fault.rules(o.Seed))
	}
	stale := l.mayBeStale(o)
	got, want := l.disk().run(o), l.want.run(o)
	if o.Fault != nil {
		l.w.bucket.Server.SetRules(nil)
	}
	switch {
	case got.equal(want), stale && got.errno == syscall.ESTALE:
		return nil
	case before != nil && interrupted(got.errno):
		return l.kill(l.outcomes(o, before)...)
	}
	return fmt.Errorf("got %v, want %v", got, want)
}

// mortal reports whether the active mount may die by itself.
func (l *list) mortal() bool { return l.w.mortal(l.active) }

// mayBeStale reports whether o reads a file whose object may be gone.
func (l *list) mayBeStale(o Op) bool {
	return o.Op == "read" && l.want.fds[o.Slot] != nil && l.want.fds[o.Slot].n.stale
}

// sync commits everything in the active mount.
func (l *list) sync() error {
	err := l.w.mounts[l.active].Sync()
	switch {
	case errors.Is(err, mountproc.ErrDied) && l.mortal():
		return l.kill(l.want)
	case err != nil:
		return fmt.Errorf("sync: %w", err)
	}
	l.want.root.ackAll()
	return nil
}

// refused carries out an operation while the service fails every try of some request. It may fail; then
// it has happened or not, and nothing that was written before is lost.
func (l *list) refused(o Op) error {
	before := l.want.clone()
	l.w.bucket.Server.SetRules(o.Fault.rules(o.Seed))
	stale := l.mayBeStale(o)
	got, want := l.disk().run(o), l.want.run(o)
	l.w.bucket.Server.SetRules(nil)
	if err := l.w.mounts[l.active].Sync(); err != nil { // it may tell of commits that failed meanwhile
		if err := l.sync(); err != nil {
			return err
		}
	}
	if got.equal(want) || stale && got.errno == syscall.ESTALE {
		return l.choose(view{attrs: true}, l.want)
	}
	if !refused(got.errno) {
		return fmt.Errorf("got %v, want %v or what the service's failure is", got, want)
	}
	l.forgetClosed(before)
	return l.choose(view{attrs: true}, l.want, before, l.halfRenamed(o, before))
}

// choose goes on with the first candidate that the mount agrees with.
func (l *list) choose(v view, candidates ...*machine) error {
	found, err := l.disk().look(l.w.c.Shared)
	if err != nil {
		return err
	}
	var diffs []error
	for _, c := range candidates {
		diff := c.mismatch(found, v)
		if diff == "" {
			l.want = c
			return nil
		}
		diffs = append(diffs, errors.New(diff))
	}
	return errors.Join(diffs...)
}

// killed kills the mount while the operation runs, or just after it.
func (l *list) killed(o Op) error {
	before := l.want.clone()
	done := make(chan result, 1)
	go func() { done <- l.disk().run(o) }()
	timer := time.NewTimer(time.Duration(o.Kill) * time.Microsecond)
	defer timer.Stop()
	var got result
	select {
	case got = <-done:
		done <- got
	case <-timer.C:
	}
	if err := l.w.mounts[l.active].Signal(syscall.SIGKILL); err != nil {
		return err
	}
	stale := l.mayBeStale(o)
	got = <-done
	want := l.want.run(o)
	switch {
	case got.equal(want), stale && got.errno == syscall.ESTALE:
		return l.kill(l.want)
	case !interrupted(got.errno):
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return l.kill(l.outcomes(o, before)...)
}

// outcomes are the trees that an operation may leave under which the mount died: it has just been run on
// the model.
func (l *list) outcomes(o Op, before *machine) []*machine {
	l.want.shaky(before)
	return []*machine{l.want, l.halfRenamed(o, before), before}
}

// shaky takes back what an operation acknowledged that was not seen to succeed.
func (m *machine) shaky(before *machine) {
	old, now := map[string]*inode{}, map[string]*inode{}
	before.root.list("", old)
	m.root.list("", now)
	was := map[*byte]*inode{}
	for _, b := range old {
		was[b.tag] = b
	}
	for _, n := range now {
		switch b := was[n.tag]; {
		case n.kind != file:
		case b == nil: // made, and perhaps written and closed, by what was under way
			n.past, n.kept = slices.Concat(n.before, n.past), false
		default:
			if n.acks != b.acks {
				n.past = slices.Concat(n.before, n.past)
			}
			n.past, n.kept = slices.Concat(b.past, n.past), n.kept && b.kept
			if n.under == nil {
				n.under = b.under
			}
		}
	}
}

// halfRenamed is what a kill in the middle of a file's rename leaves, or a service that refuses to delete:
// both names. The bytes are there, and a second rename or unlink makes it right.
func (l *list) halfRenamed(o Op, before *machine) *machine {
	if o.Op != "rename" {
		return before
	}
	half := before.clone()
	_, _, n, errno := half.walk(o.Path)
	if errno != 0 || n == nil || n.kind == directory {
		return before
	}
	tp, tname, _, errno := half.walk(o.To)
	if errno != 0 {
		return before
	}
	c := *n
	tp.kids[tname] = &c
	return half
}

// kill kills the active mount if it is not dead yet, mounts again, and goes on.
func (l *list) kill(candidates ...*machine) error {
	if l.mortal() {
		l.w.Died++
	}
	err := l.w.mounts[l.active].Kill()
	l.disk().closeAll()
	if err != nil {
		return err
	}
	if err := l.w.restart(l.active); err != nil {
		return fmt.Errorf("mount after the kill: %w", err)
	}
	return l.goOn(candidates...)
}

// goOn wants one of the candidates in a mount that took the place of one that died, but for what a crash
// may take from it. What was found goes on.
func (l *list) goOn(candidates ...*machine) error {
	if err := l.choose(view{crashed: true, attrs: true}, candidates...); err != nil {
		return fmt.Errorf("after the kill: %w", err)
	}
	found, err := l.disk().look(l.w.c.Shared)
	if err != nil {
		return err
	}
	l.want = &machine{tree: fromSeen(found)}
	return l.checkBucket()
}

// remount unmounts, which commits everything, and mounts again.
func (l *list) remount() error {
	if err := l.fresh(); err != nil {
		return err
	}
	return l.choose(view{attrs: true}, l.want)
}

// fresh is remount without a look at what is there: the mount knows nothing then.
func (l *list) fresh() error {
	if err := l.closeAll(); err != nil {
		return err
	}
	err := l.w.mounts[l.active].Unmount()
	switch {
	case errors.Is(err, mountproc.ErrDied) && l.mortal():
		return l.kill(l.want)
	case err != nil:
		return fmt.Errorf("unmount: %w", err)
	}
	l.want.root.ackAll()
	return l.w.restart(l.active)
}

// closeAll closes what is open, on both sides.
func (l *list) closeAll() error {
	for i := range slots {
		if err := l.step(Op{Op: "close", Slot: i}); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return nil
}

// handOver commits everything and goes on in the other mount, as if a while had passed.
func (l *list) handOver() error {
	if err := l.closeAll(); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.w.advance(); err != nil {
		return err
	}
	l.active = (l.active + 1) % len(l.disks)
	return l.choose(view{attrs: true}, l.want)
}

// remote changes an object as another program would: one that is not in use here.
func (l *list) remote(o Op) error {
	if o.Op == "remoteappend" {
		return l.remoteAppend(o)
	}
	if err := l.closeNameless(); err != nil { // the name stays gone while an unlinked file is open
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	parent, name, n, errno := l.want.walk(o.Path)
	if errno != 0 || n != nil && (n.kind != file || l.want.isOpen(n)) || n == nil && o.Op == "remotedelete" {
		return nil
	}
	key := l.prefix + o.Path
	switch o.Op {
	case "remotedelete":
		if err := l.w.bucket.Client.Delete(l.w.t.Context(), key, nil); err != nil {
			return err
		}
		l.want.unlink(o.Path)
	default:
		data := content(o.Seed, o.Len)
		if err := l.w.putObject(key, data); err != nil {
			return err
		}
		if n == nil {
			n = parent.create(name, &inode{})
		}
		n.set(data)
		n.mode = 0o644
		n.ack()
		for _, f := range l.want.fds {
			if f != nil && f.n.nameless {
				f.n.stale = true
			}
		}
	}
	return l.w.advance()
}

// closeNameless closes what has no name any more.
func (l *list) closeNameless() error {
	for i, f := range l.want.fds {
		if f == nil || !f.n.nameless {
			continue
		}
		if err := l.step(Op{Op: "close", Slot: i}); err != nil {
			return err
		}
	}
	return nil
}

// remoteAppend appends to an object as another program would. What an appending handle here wrote and has not
// committed follows that.
func (l *list) remoteAppend(o Op) error {
	n, errno := l.want.follow(o.Path)
	if errno != 0 || n.kind != file {
		return errno
	}
	theirs := content(o.Seed, o.Len)
	if err := l.w.appendObject(l.prefix+o.Path, theirs); err != nil {
		return err
	}
	at := len(n.past[0].data)
	for i, v := range n.past {
		n.past[i] = version{data: slices.Concat(v.data[:at], theirs, v.data[at:])}
	}
	n.data = n.past[len(n.past)-1].data
	return nil
}

// end closes and commits everything, and compares the mount and the bucket with the model; again after a
// remount, if asked to.
func (l *list) end(remount bool) error {
	if err := l.closeAll(); err != nil {
		return err
	}
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.choose(view{attrs: true}, l.want); err != nil {
		return err
	}
	if err := l.checkBucket(); err != nil {
		return err
	}
	if remount {
		if err := l.remount(); err != nil {
			return fmt.Errorf("remount: %w", err)
		}
	}
	return nil
}

// checkBucket waits until the bucket is what the tree is: deletions of files that were open are made a
// moment after the last close.
func (l *list) checkBucket() error {
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		objects, err := l.w.objects(l.prefix)
		if err != nil {
			return err
		}
		n, err := l.w.uploads(l.prefix)
		if err != nil {
			return err
		}
		diff := l.want.bucketMismatch(objects)
		if diff == "" && n > 0 {
			diff = fmt.Sprintf("%d multipart uploads are left", n)
		}
		if diff == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("bucket: %s", diff)
		}
	}
}
