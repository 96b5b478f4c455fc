package cache

import "container/list"

// gate admits flights: each needs memory for its bytes, and a connection unless it reads from disk.
// Reads queue in order of arrival; read-ahead is admitted at once or not at all, and leaves a share
// of both for reads. Its fields are guarded by Blocks.mu.
type gate struct {
	conns, maxConns int
	bytes, maxBytes int64     // bytes that are not reserved, of all
	queue           list.List // of *ticket
	queued          int64     // bytes the queue waits for
}

// need is what a flight asks the gate for.
type need struct {
	bytes int64
	conns int // 0 or 1
}

// ticket is a place in the queue.
type ticket struct {
	need
	admitted chan struct{} // closed when the connection and bytes are the holder's
	elem     *list.Element // nil once admitted or given up
}

func newGate(conns int, bytes int64) gate {
	return gate{conns: conns, maxConns: conns, bytes: bytes, maxBytes: bytes}
}

// tryRead takes what a read needs if it is there and nobody who queues would wait longer for it: a
// read from disk does not wait for those who lack a connection.
func (g *gate) tryRead(n need) bool {
	if g.conns < n.conns || g.bytes-g.queued < n.bytes || g.queue.Len() > 0 && n.conns > 0 {
		return false
	}
	g.conns -= n.conns
	g.bytes -= n.bytes
	return true
}

// tryAhead is tryRead for read-ahead, which leaves a quarter of the connections and of the bytes.
func (g *gate) tryAhead(n need) bool {
	if n.conns > 0 && g.conns <= g.maxConns-g.aheadConns() || g.bytes-n.bytes < g.maxBytes/4 {
		return false
	}
	return g.tryRead(n)
}

// aheadConns returns how many connections read-ahead may use at once.
func (g *gate) aheadConns() int { return g.maxConns - g.maxConns/4 }

// tryHold takes n bytes, leaving a quarter, for a block that is in memory anyway.
func (g *gate) tryHold(n int64) bool {
	if g.queue.Len() > 0 || g.bytes-n < g.maxBytes/4 {
		return false
	}
	g.bytes -= n
	return true
}

// enqueue takes a place for a read; admit serves it.
func (g *gate) enqueue(n need) *ticket {
	t := &ticket{need: n, admitted: make(chan struct{})}
	t.elem = g.queue.PushBack(t)
	g.queued += n.bytes
	return t
}

// enqueueFirst takes a place before all who wait for memory, for a flight that has its own and lacks
// a connection after all. It must not wait behind others, who may be waiting for that memory.
func (g *gate) enqueueFirst() *ticket {
	t := &ticket{need: need{conns: 1}, admitted: make(chan struct{})}
	t.elem = g.queue.PushFront(t)
	return t
}

// giveUp leaves the queue, and reports false if the ticket had been admitted before.
func (g *gate) giveUp(t *ticket) bool {
	if t.elem == nil {
		return false
	}
	g.queue.Remove(t.elem)
	t.elem = nil
	g.queued -= t.bytes
	return true
}

// admit serves the queue in order while there is enough. reclaim is asked for the bytes the first in
// the queue lacks; it frees what it can.
func (g *gate) admit(reclaim func(n int64)) {
	for g.queue.Len() > 0 {
		t := g.queue.Front().Value.(*ticket)
		if g.conns < t.conns {
			return
		}
		if g.bytes < t.bytes {
			reclaim(t.bytes - g.bytes)
		}
		if g.bytes < t.bytes {
			return
		}
		g.conns -= t.conns
		g.bytes -= t.bytes
		g.giveUp(t)
		close(t.admitted)
	}
}

// free returns n reserved bytes. The caller calls admit when it is done changing things.
func (g *gate) free(n int64) { g.bytes += n }

// hangUp returns a connection. The caller calls admit when it is done changing things.
func (g *gate) hangUp() { g.conns++ }
