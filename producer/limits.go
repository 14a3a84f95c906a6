package producer

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxHeaderBytes is what JetStream stores of headers at most: their length is
// kept in 16 bits (error 10097).
const maxHeaderBytes = 1<<16 - 1

// gate bounds what is in flight, so that an outage of the streams fills the
// clients' queues and not this process's memory.
type gate struct {
	maxMessages int
	maxBytes    int64
	maxBatches  int

	mu       sync.Mutex // guards the rest
	messages int        // in flight, those of batches included
	bytes    int64
	batches  int // requests that carry one
	batched  struct {
		messages int
		bytes    int64
	} // what batches have of messages and bytes
}

// enter takes room for one message, or refuses. The slot must be left.
func (g *gate) enter() (*slot, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.messages >= g.maxMessages {
		return nil, fmt.Errorf("%w: %d messages are in flight at this node, its limit", errBusy, g.messages)
	}
	g.messages++
	return &slot{gate: g}, nil
}

// slot is the room that one message has.
type slot struct {
	gate  *gate
	bytes int64
}

// grow takes room for n more bytes, or refuses. A single message always has
// room when nothing else is there, whatever the limit.
func (s *slot) grow(n int) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if others := g.bytes - s.bytes; others > 0 && g.bytes+int64(n) > g.maxBytes {
		return fmt.Errorf("%w: %d bytes are in flight at this node, its limit is %d", errBusy, g.bytes, g.maxBytes)
	}
	g.bytes += int64(n)
	s.bytes += int64(n)
	return nil
}

// shrink gives n bytes back.
func (s *slot) shrink(n int) {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes -= int64(n)
	s.bytes -= int64(n)
}

func (s *slot) leave() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages--
	g.bytes -= s.bytes
}

// enterBatch admits a batch, or refuses. The share must be left.
func (g *gate) enterBatch() (*share, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.batches >= g.maxBatches {
		return nil, fmt.Errorf("%w: %d batches are on their way at this node, its limit", errBusy, g.batches)
	}
	g.batches++
	return &share{gate: g}, nil
}

// share is the room that one batch has. A batch that has begun is never
// refused for want of room: it waits until some of its own messages are
// acknowledged. All batches together have at most half of the gate, so that
// single messages pass beside them; the first message of each, and the memory
// that reading it takes, come on top of that, so that every batch moves.
type share struct {
	gate     *gate
	messages int
	bytes    int64
}

// take is there for one more message of n bytes; false: not now.
func (s *share) take(n int) bool {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.messages > 0 && (g.messages >= g.maxMessages || g.batched.messages >= g.maxMessages/2 || !g.fits(n)) {
		return false
	}
	s.add(1, int64(n))
	return true
}

// give returns the room of one message of n bytes.
func (s *share) give(n int) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.add(-1, -int64(n))
}

// reserve takes n bytes for as long as the batch lasts, or refuses. A batch
// alone always has them.
func (s *share) reserve(n int) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bytes > 0 && !g.fits(n) {
		return fmt.Errorf("%w: decompressing this batch takes %d bytes, and %d are in flight at this node, whose limit for batches is %d", errBusy, n, g.batched.bytes, g.maxBytes/2)
	}
	s.add(0, int64(n))
	return nil
}

// hold takes n bytes for as long as the batch lasts, whatever room there is: a
// batch that has begun must be read.
func (s *share) hold(n int) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.add(0, int64(n))
}

// fits tells whether batches may have n more bytes. g.mu is held.
func (g *gate) fits(n int) bool {
	return g.bytes+int64(n) <= g.maxBytes && g.batched.bytes+int64(n) <= g.maxBytes/2
}

// add counts, below zero too. The gate's mu is held.
func (s *share) add(messages int, bytes int64) {
	g := s.gate
	s.messages, s.bytes = s.messages+messages, s.bytes+bytes
	g.messages, g.bytes = g.messages+messages, g.bytes+bytes
	g.batched.messages, g.batched.bytes = g.batched.messages+messages, g.batched.bytes+bytes
}

// leave gives everything back.
func (s *share) leave() {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.add(-s.messages, -s.bytes)
	s.gate.batches--
}

// headerSize is what the headers take of the payload, in NATS's encoding.
func headerSize(h nats.Header) int {
	n := len("NATS/1.0\r\n") + len("\r\n")
	for k, vs := range h {
		for _, v := range vs {
			n += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// bodyLimit is how large the body beside those headers may be.
func (d *Door) bodyLimit(h nats.Header) (int, error) {
	size := headerSize(h)
	if size > maxHeaderBytes || size >= d.o.MaxPayload {
		return 0, fmt.Errorf("%w: they take %d bytes, %d are allowed", errHeadersTooLarge, size, min(maxHeaderBytes, d.o.MaxPayload-1))
	}
	return d.o.MaxPayload - size, nil
}
