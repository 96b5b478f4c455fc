package writeback

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cosfuse/cos"
	"cosfuse/writeback/journal"
)

// Between asking for an upload and knowing its ID, the reply can be lost, or the process killed: then an upload of
// ours exists whose ID nobody has. So the journal holds an intent before the question is asked, and what it may
// have left is looked for: uploads of that very key, begun then, that we do not know. COS tells nothing else of an
// upload that would say whose it is. Another client's gets parts, and ours never will: only one that has had none
// for UploadGrace is aborted.

// beginsWithin is how long after an intent of a killed mount its upload can have begun.
const beginsWithin = 10 * time.Minute

// orphans keeps what tells uploads of ours from those of others, and looks for those that nobody knows.
type orphans struct {
	s    *Store
	wake chan struct{} // capacity 1
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below; a leaf
	live    map[string]bool
	unclear map[string]int            // key to how often an upload was asked for without a reply
	due     map[uint64]journal.Intent // to be looked into
	next    map[uint64]time.Time      // and when
}

func newOrphans(s *Store) *orphans {
	return &orphans{s: s, wake: make(chan struct{}, 1), live: make(map[string]bool), unclear: make(map[string]int),
		due: make(map[uint64]journal.Intent), next: make(map[uint64]time.Time)}
}

// noteUnclear is told of an attempt without a reply.
func (s *Store) noteUnclear(op, key string) {
	if op != "InitiateMultipart" {
		s.late.note(op, key)
		return
	}
	s.orphans.mu.Lock()
	defer s.orphans.mu.Unlock()
	s.orphans.unclear[key]++
}

// lost returns how many replies to questions for uploads of key were lost so far.
func (o *orphans) lost(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unclear[key]
}

// know notes whether an upload is one of ours that somebody takes care of.
func (o *orphans) know(id string, live bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if live {
		o.live[id] = true
		return
	}
	delete(o.live, id)
}

// initiate begins an upload to key for inode ino, and records it before any part can be sent, so that it is never
// left behind.
func (s *Store) initiate(ctx context.Context, key string, ino uint64, h cos.Headers) (id string, err error) {
	s.mu.Lock()
	s.ino++
	in := journal.Intent{ID: s.ino, Key: key, Since: s.now()}
	s.mu.Unlock()
	b := s.journal.Begin()
	b.PutIntent(in)
	if err := b.Commit(journal.Sync); err != nil {
		return "", fmt.Errorf("journal: %w", stagingError(err))
	}
	s.Failpoint(fpUploadIntended)
	lost := s.orphans.lost(key)
	id, err = s.Client.InitiateMultipart(ctx, key, &cos.InitiateOptions{Headers: h})
	s.Failpoint(fpUploadInitiated)
	b = s.journal.Begin()
	if err == nil {
		s.orphans.know(id, true)
		b.PutUpload(journal.Upload{Key: key, UploadID: id, Ino: ino, Since: s.now()})
	}
	unsure := s.orphans.lost(key) != lost || err != nil && maybeApplied(err)
	if unsure {
		in.Until = s.now()
		b.PutIntent(in)
	} else {
		b.DropIntent(in.ID)
	}
	cerr := b.Commit(journal.Sync)
	s.Failpoint(fpUploadRecorded)
	if unsure {
		s.orphans.watch(in, s.now().Add(max(s.UploadGrace, s.SettleTime)))
	}
	switch {
	case err != nil:
		return "", err
	case cerr != nil:
		s.abort(ctx, key, id)
		return "", fmt.Errorf("journal: %w", stagingError(cerr))
	}
	return id, nil
}

// watch looks into in at the given time.
func (o *orphans) watch(in journal.Intent, at time.Time) {
	o.mu.Lock()
	o.due[in.ID], o.next[in.ID] = in, at
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// start looks into intents when it is time, until the Store ends.
func (o *orphans) start() { o.wg.Go(o.run) }

func (o *orphans) run() {
	timer := time.NewTimer(o.s.UploadGrace)
	defer timer.Stop()
	for {
		if at := o.soonest(); !at.IsZero() {
			timer.Reset(max(0, at.Sub(o.s.now())))
		}
		select {
		case <-o.wake:
			continue
		case <-o.s.ctx.Done():
			return
		case <-timer.C:
		}
		for _, in := range o.ripe() {
			if _, err := o.look(in); err != nil && o.s.ctx.Err() == nil {
				o.s.Logger.Warn("uploads that may be left behind cannot be looked for", "key", in.Key, "err", err)
				o.watch(in, o.s.now().Add(retryMax))
			}
		}
	}
}

// soonest is when the next intent is to be looked into; zero if there is none.
func (o *orphans) soonest() (at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.next {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// ripe takes out the intents whose time has come.
func (o *orphans) ripe() (out []journal.Intent) {
	now := o.s.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, t := range o.next {
		if !t.After(now) {
			out = append(out, o.due[id])
			delete(o.due, id)
			delete(o.next, id)
		}
	}
	return out
}

// look aborts the uploads that in has left, and returns how many. If one of them may be another client's yet, it is
// looked at again when it cannot.
func (o *orphans) look(in journal.Intent) (aborted int, err error) {
	s := o.s
	found, err := o.unknown(in)
	if err != nil {
		return 0, err
	}
	again := latest(in.Since, in.Until).Add(s.SettleTime) // until then the service may begin it yet
	if !s.now().Before(again) {
		again = time.Time{}
	}
	for _, u := range found {
		if ripe := u.Initiated.Add(s.UploadGrace); s.now().Before(ripe) {
			again = ripe
			continue
		}
		if err := s.Client.AbortMultipart(s.ctx, u.Key, u.UploadID); err != nil && !errors.Is(err, cos.ErrNotFound) {
			return aborted, err
		}
		s.Logger.Info("aborted an upload without parts whose beginning was lost", "key", u.Key, "upload_id", u.UploadID)
		aborted++
	}
	if !again.IsZero() {
		o.watch(in, again)
		return aborted, nil
	}
	b := s.journal.Begin()
	b.DropIntent(in.ID)
	return aborted, b.Commit(journal.NoSync)
}

// unknown returns the uploads without parts that in may have begun, but for those we know.
func (o *orphans) unknown(in journal.Intent) (out []cos.UploadInfo, err error) {
	c, opt := o.s.Client, cos.ListUploadsOptions{Prefix: in.Key}
	for {
		page, err := c.ListUploads(o.s.ctx, &opt)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			if u.Key != in.Key || !o.began(u, in) {
				continue
			}
			parts, err := c.ListParts(o.s.ctx, u.Key, u.UploadID, &cos.ListPartsOptions{MaxParts: 1})
			switch {
			case errors.Is(err, cos.ErrNotFound):
			case err != nil:
				return nil, err
			case len(parts.Parts) == 0:
				out = append(out, u)
			}
		}
		if !page.Truncated {
			return out, nil
		}
		opt.KeyMarker, opt.UploadIDMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// began reports whether u, of the same key, may be the upload of in and is not one that we know.
func (o *orphans) began(u cos.UploadInfo, in journal.Intent) bool {
	until := in.Until.Add(o.s.SettleTime)
	if in.Until.IsZero() {
		until = in.Since.Add(beginsWithin)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.live[u.UploadID] && !u.Initiated.Before(in.Since.Add(-clockSlack)) && !u.Initiated.After(until.Add(clockSlack))
}

// latest returns the later time.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
