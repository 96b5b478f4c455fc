package treemodel

import (
	"errors"
	"fmt"

	"cosfuse/cos/cosserver"
)

// Requests runs setup, then ops, and returns how many requests of each operation ops made, until all was committed.
func (w *World) Requests(setup, ops []Op) (map[string]int, error) {
	out := map[string]int{}
	_, err := w.strike(setup, ops, nil, func() {
		for op, s := range w.bucket.Server.Stats() {
			out[op] = int(s.Requests)
		}
	})
	return out, err
}

// Strike runs setup, then ops while the rules are in force: one thing goes wrong in the service. Either nobody notices; or
// an operation fails with the right number, the program ends there, and no byte that was taken in is lost, not even
// if the mount is killed then. It reports whether a rule struck.
func (w *World) Strike(setup, ops []Op, rules []cosserver.Rule, kill bool) (struck bool, err error) {
	w.killing = kill
	return w.strike(setup, ops, rules, func() {})
}

func (w *World) strike(setup, ops []Op, rules []cosserver.Rule, done func()) (struck bool, err error) {
	srv := w.bucket.Server
	err = w.run(func(l *list) error {
		for i, o := range setup {
			if err := l.step(o); err != nil {
				return fmt.Errorf("setup %d %v: %w", i, o, err)
			}
		}
		if err := l.sync(); err != nil {
			return err
		}
		srv.ResetStats()
		srv.SetRules(rules)
		s := &strike{list: l}
		failed := s.work(ops)
		var told error
		if !s.got.stored || !w.killing {
			told = w.mounts[0].Sync()
		}
		done()
		struck = srv.Struck() > 0
		srv.SetRules(nil)
		if failed == nil {
			failed = s.settle(told)
		}
		if failed == nil {
			failed = l.end(false)
		}
		return failed
	})
	return struck, err
}

// strike is a list under a rule.
type strike struct {
	*list
	were []*machine // what the tree was before each operation
	last Op
	got  result // of last, if it failed
}

// work runs operations up to the first that fails. The error is of one that fails in a way it must not.
func (s *strike) work(ops []Op) error {
	for i, o := range ops {
		s.were = append(s.were, s.want.clone())
		got, want := s.disk().run(o), s.want.run(o)
		if got.equal(want) {
			continue
		}
		if !refused(got.errno) {
			return fmt.Errorf("step %d %v: got %v, want %v or what the service's failure is", i, o, got, want)
		}
		s.last, s.got = o, got
		return nil
	}
	return nil
}

// settle finds what is left of it. told is what a sync said while the rule was in force.
func (s *strike) settle(told error) error {
	before := s.were[len(s.were)-1]
	switch {
	case s.got.errno == 0 && told == nil:
		return s.committed(s.want)
	case s.got.errno == 0: // what was acknowledged is refused, which was told: it may be back
		return s.committed(append([]*machine{s.want}, s.were...)...)
	case !s.got.stored:
		s.forgetClosed(before)
		can := []*machine{s.want, before, s.halfRenamed(s.last, before)}
		if told != nil || s.last.Op == "rmdir" { // it tells of deletions that were refused
			can = append(can, s.were...)
		}
		return s.committed(can...)
	case s.w.killing:
		return s.kill(s.want)
	}
	s.forgetClosed(before)
	return s.committed(s.want)
}

// committed wants one of the candidates once everything is in the bucket.
func (s *strike) committed(candidates ...*machine) error {
	if err := s.w.mounts[s.active].Sync(); err != nil {
		return fmt.Errorf("sync after the fault: %w", err)
	}
	for _, c := range candidates {
		c.root.ackAll()
	}
	if err := s.choose(view{attrs: true}, candidates...); err != nil {
		return errors.Join(fmt.Errorf("after %v: %v", s.last, s.got), err)
	}
	return nil
}

// forgetClosed closes in the model what is closed on the mount.
func (l *list) forgetClosed(before *machine) {
	for i, fd := range l.disk().fds {
		if fd < 0 {
			l.want.fds[i], before.fds[i] = nil, nil
		}
	}
}
