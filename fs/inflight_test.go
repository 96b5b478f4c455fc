package fs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/writeback"
)

func TestChangesSince(t *testing.T) {
	var c changes
	c.add(change{key: "a"})
	mark := c.count()
	c.add(change{key: "b"})
	c.add(change{key: "d/", tree: true})
	for key, want := range map[string]bool{"a": false, "b": true, "d/x": true, "d": false} {
		if got := c.since(key, mark); got != want {
			t.Errorf("%s changed since: %v, want %v", key, got, want)
		}
	}
	if !c.since("a", 0) {
		t.Error("a change was missed")
	}
	for i := range 2 * maxInflightChanges {
		c.add(change{key: fmt.Sprint(i)})
	}
	if !c.since("e", mark) {
		t.Error("what was forgotten counts as no change")
	}
	if len(c.list) > maxInflightChanges || c.since("e", c.count()) {
		t.Errorf("%d changes kept", len(c.list))
	}
}

// asker is a Mount without a kernel, on a server.
type asker struct {
	*Mount
	srv *cosserver.Server
}

func newAsker(t *testing.T) *asker {
	t.Helper()
	srv, err := cosserver.Open(cosserver.Options{Dir: t.TempDir(), NoSync: true, Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := cos.New(cos.Options{Endpoint: l.URL, Region: srv.Region(), Bucket: srv.Bucket()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background() // the ends below come after the test's own context has ended
	blocks, err := cache.NewBlocks(ctx, cache.BlocksOptions{MemoryBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	store, err := writeback.Open(ctx, writeback.Options{Client: client, Blocks: blocks, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o, err := Options{Client: client, Store: store, Blocks: blocks, Changes: NewChanges()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m := newMount(ctx, o)
	t.Cleanup(func() {
		srv.SetRules(nil)
		m.shutdown()
		blocks.Close()
		for _, end := range []func() error{func() error { return store.Close(ctx) }, client.Close, func() error { return l.Close(ctx) }, srv.Close} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	return &asker{m, srv}
}

func (a *asker) put(t *testing.T, key, data string) {
	t.Helper()
	if _, err := a.o.Client.Put(t.Context(), key, strings.NewReader(data), int64(len(data)), nil); err != nil {
		t.Fatal(err)
	}
}

// asking begins to ask, and returns when the service has made up its answer.
func (a *asker) asking(t *testing.T, op string, ask func()) (answered <-chan struct{}, answer func()) {
	t.Helper()
	lift := a.srv.AddRule(cosserver.Rule{Op: op, When: cosserver.After, Action: cosserver.Stall})
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask()
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for a.srv.Stats()[op].Requests == 0 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("nobody asked")
		}
	}
	return done, lift
}

// TestAnswerOlderThanChange changes keys while a request about them is under way: what it tells is not kept,
// and who waited for it asks again.
func TestAnswerOlderThanChange(t *testing.T) {
	t.Run("HEAD", func(t *testing.T) {
		a := newAsker(t)
		a.put(t, "k", "old")
		var got fact
		var err error
		done, answer := a.asking(t, "HeadObject", func() { got, _, err = a.facts.head(t.Context(), "k") })
		a.put(t, "k", "newer")
		a.facts.drop("k")
		answer()
		<-done
		if err != nil || got.ver.Size != 5 {
			t.Errorf("size %d, %v, want 5", got.ver.Size, err)
		}
		if f, _, ok := a.facts.heads.Get("k"); !ok || f.ver.Size != 5 {
			t.Errorf("kept: size %d (%v), want 5", f.ver.Size, ok)
		}
	})
	t.Run("LIST", func(t *testing.T) {
		a := newAsker(t)
		var err error
		done, answer := a.asking(t, "ListObjects", func() { err = a.probe(t.Context(), "d/", a.o.Now()) })
		a.put(t, "d/k", "new")
		a.facts.dropTree("d/")
		answer()
		<-done
		if _, _, ok := a.facts.prefixes.Get("d/"); err != nil || ok {
			t.Errorf("an answer of before the change was kept (%v)", err)
		}
	})
}
