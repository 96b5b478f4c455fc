package cache

import "testing"

func TestGateServesReadsInOrder(t *testing.T) {
	g := newGate(4, 100)
	if !g.tryRead(80) {
		t.Fatal("an idle gate refused a read")
	}
	big, small := g.enqueue(50), g.enqueue(10)
	if g.tryRead(10) {
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
		if !g.tryAhead(10) {
			t.Fatalf("read-ahead %d was refused", i)
		}
	}
	if g.tryAhead(10) {
		t.Error("read-ahead took the last connection")
	}
	g.hangUp()
	if g.tryAhead(50) || g.tryHold(50) {
		t.Error("read-ahead took the last quarter of the memory")
	}
	if !g.tryHold(40) || !g.tryRead(30) {
		t.Error("what is there was refused")
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
