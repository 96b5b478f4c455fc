package cache

import "testing"

func TestGateServesReadsInOrder(t *testing.T) {
	g := newGate(4, 100)
	if !g.tryRead(need{80, 1}) {
		t.Fatal("an idle gate refused a read")
	}
	big, small := g.enqueue(need{50, 1}), g.enqueue(need{10, 1})
	if g.tryRead(need{10, 1}) {
		t.Error("a read overtook those in the queue")
	}
	var lacking int64
	g.admit(func(n int64) { lacking = n })
	if lacking != 30 || admitted(big) || admitted(small) {
		t.Errorf("asked to reclaim %d, want 30; admitted %v, %v", lacking, admitted(big), admitted(small))
	}
	g.free(30)
	g.admit(func(int64) {})
	if !admitted(big) || admitted(small) {
		t.Errorf("admitted %v, %v: want the first only", admitted(big), admitted(small))
	}
	if g.giveUp(big) || !g.giveUp(small) || g.giveUp(small) {
		t.Error("giveUp must tell who still queued")
	}
	if g.queue.Len() != 0 || g.conns != 2 || g.bytes != 0 {
		t.Errorf("queue %d, connections %d, bytes %d", g.queue.Len(), g.conns, g.bytes)
	}
}

func TestGateLeavesAShareForReads(t *testing.T) {
	g := newGate(4, 100)
	for i := range 3 {
		if !g.tryAhead(need{10, 1}) {
			t.Fatalf("read-ahead %d was refused", i)
		}
	}
	if g.tryAhead(need{10, 1}) {
		t.Error("read-ahead took the last connection")
	}
	g.hangUp()
	if g.tryAhead(need{50, 1}) || g.tryHold(50) {
		t.Error("read-ahead took the last quarter of the memory")
	}
	if !g.tryHold(40) || !g.tryRead(need{30, 1}) {
		t.Error("what is there was refused")
	}
}

func TestGateLetsDiskReadsPassThoseWithoutConnection(t *testing.T) {
	g := newGate(1, 100)
	if !g.tryRead(need{10, 1}) {
		t.Fatal("an idle gate refused a read")
	}
	waiting := g.enqueue(need{60, 1})
	if g.tryRead(need{40, 0}) {
		t.Error("a read from disk took memory that a read before it needs")
	}
	if !g.tryRead(need{30, 0}) {
		t.Error("a read from disk waits for a connection")
	}
	late := g.enqueueFirst()
	g.hangUp()
	g.admit(func(int64) {})
	if !admitted(late) || admitted(waiting) {
		t.Errorf("admitted %v, %v: who has its memory goes first", admitted(late), admitted(waiting))
	}
	g.hangUp()
	g.admit(func(int64) {})
	if !admitted(waiting) || g.bytes != 0 || g.queued != 0 {
		t.Errorf("admitted %v, %d bytes left, %d queued", admitted(waiting), g.bytes, g.queued)
	}
}

func admitted(t *ticket) bool {
	select {
	case <-t.admitted:
		return true
	default:
		return false
	}
}
