package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
)

// More that can happen to one of many messages in flight.
const (
	slow       event = lastEvent + 1 + iota // stored, and said so after those behind it
	twice                                   // stored, and said so two times
	late                                    // stored, and said so when it was sent again
	lateFull                                // 10077, when it was sent again
	elsewhere                               // nothing stored, but another stream answered
	andOther                                // another stream answered, then this one
	oversize                                // 10054
	sealed                                  // 10109
	lastOfLane = andOther
)

// laneWorld is a stream behind a lane, with a leader that misbehaves as told:
// one event for each message sent, the last one for ever.
type laneWorld struct {
	events  []event
	latency time.Duration
	pace    time.Duration // one message is stored in
	free    time.Time     // when the next one can be
	status  chan nats.Status
	flight  *flight

	mu      sync.Mutex // guards the rest
	closed  bool
	seen    []tag
	ids     map[string]int // places in stored
	stored  []message.Message
	lag     int // replicas lack so many of the newest
	every   int // and each message whose number it divides; 0: none
	broken  int // so many reads fail before one succeeds
	trimmed bool
	foreign bool // replicas have other messages at those sequences
	ranges  int
	reads   int
}

func (w *laneWorld) changes() <-chan nats.Status { return w.status }

func (w *laneWorld) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

func (w *laneWorld) send(m *incoming, t tag) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := ack
	if len(w.events) > 0 {
		e = w.events[0]
		if len(w.events) > 1 {
			w.events = w.events[1:]
		}
	}
	w.seen = append(w.seen, t)
	refusal := func(after time.Duration, code int, errCode jetstream.ErrorCode) {
		w.answer(after, reply{tag: t, err: fmt.Errorf("nats: %w", &jetstream.APIError{Code: code, ErrorCode: errCode})})
	}
	other := reply{tag: t, ack: jetstream.PubAck{Stream: "OTHER", Sequence: 7}}
	switch e {
	case ack:
		if now := time.Now(); w.free.Before(now) {
			w.free = now
		}
		w.free = w.free.Add(w.pace)
		w.answer(w.latency+time.Until(w.free), w.store(m, t))
	case nobody:
		w.answer(w.latency, reply{tag: t, err: nats.ErrNoResponders})
	case unavailable:
		refusal(w.latency, 503, 10008)
	case full:
		refusal(w.latency, 503, 10077)
	case throttled:
		refusal(w.latency, 429, 10167)
	case inProcess:
		refusal(w.latency, 409, 10158)
	case disconnected:
		return nats.ErrDisconnected
	case lost:
	case storedLost:
		w.store(m, t)
	case storedBroken:
		w.store(m, t)
		return nats.ErrDisconnected
	case slow:
		w.answer(w.latency+5*time.Millisecond, w.store(m, t))
	case twice:
		w.answer(w.latency, w.store(m, t))
		w.answer(w.latency+time.Millisecond, w.store(m, t))
	case late:
		w.answer(attemptTime+300*time.Millisecond, w.store(m, t))
	case lateFull:
		refusal(attemptTime+300*time.Millisecond, 503, 10077)
	case elsewhere:
		w.answer(w.latency, other)
	case andOther:
		w.answer(w.latency, other)
		w.answer(w.latency+time.Millisecond, w.store(m, t))
	case oversize:
		refusal(w.latency, 400, 10054)
	case sealed:
		refusal(w.latency+time.Millisecond, 400, 10109)
	}
	return nil
}

func (w *laneWorld) answer(after time.Duration, r reply) {
	time.AfterFunc(after, func() {
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if !closed {
			w.flight.answered(r)
		}
	})
}

// store does what JetStream does: the first message under an id wins.
func (w *laneWorld) store(m *incoming, t tag) reply {
	if at, ok := w.ids[m.id]; ok {
		return reply{tag: t, ack: jetstream.PubAck{Stream: "MESSAGES", Sequence: w.stored[at].Seq, Duplicate: true}}
	}
	return reply{tag: t, ack: jetstream.PubAck{Stream: "MESSAGES", Sequence: w.put(m)}}
}

func (w *laneWorld) put(m *incoming) uint64 {
	if w.ids == nil {
		w.ids = map[string]int{}
	}
	w.ids[m.id] = len(w.stored)
	w.stored = append(w.stored, message.Message{Seq: uint64(len(w.stored) + 1), Subject: m.subject, Header: m.header, Data: m.data})
	return uint64(len(w.stored))
}

func (w *laneWorld) rangeRead(ctx context.Context, _ string, first, last uint64) ([]message.Message, error) {
	select {
	case <-time.After(w.latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ranges++
	if w.broken > 0 {
		w.broken--
		return nil, nats.ErrTimeout
	}
	var found []message.Message
	for _, m := range w.stored[:max(0, len(w.stored)-w.lag)] {
		if m.Seq >= first && m.Seq <= last && (w.every == 0 || m.Seq%uint64(w.every) != 0) {
			if w.foreign {
				m = message.Message{Seq: m.Seq, Subject: m.Subject, Data: []byte("of another life")}
			}
			found = append(found, m)
		}
	}
	return found, nil
}

func (w *laneWorld) read(_ context.Context, _ string, seq uint64) (message.Message, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	if w.broken > 0 {
		w.broken--
		return message.Message{}, false, nats.ErrTimeout
	}
	if w.trimmed {
		return message.Message{}, false, nil
	}
	return w.stored[seq-1], true, nil
}

// sendTo sends the items through a door to that world.
func (w *laneWorld) sendTo(ctx context.Context, d *Door, r room, in items) (tally, error) {
	f := d.newFlight(&Backend{Stored: w.read, Range: w.rangeRead}, "MESSAGES", r)
	f.lane, w.flight = w, f
	return f.run(ctx, in)
}

// listed are items that are there already, and how they end.
type listed struct {
	items []item
	end   error // nil: properly
}

func (l *listed) next() (item, error) {
	if len(l.items) == 0 {
		if l.end != nil {
			return item{}, l.end
		}
		return item{}, io.EOF
	}
	it := l.items[0]
	l.items = l.items[1:]
	return it, nil
}

func numbered(count int) []item {
	var all []item
	for n := range uint64(count) {
		all = append(all, item{n: n + 1, m: lineOf("k", n+1, fmt.Append(nil, "body ", n+1))})
	}
	return all
}

// cell is a room with walls, which notes how full it was.
type cell struct {
	maxMessages, maxBytes int // 0: no wall

	mu                       sync.Mutex
	messages, bytes          int
	mostMessages, mostOfMany int // bytes of more than one message
}

func (c *cell) take(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.messages > 0 && (c.maxMessages > 0 && c.messages >= c.maxMessages || c.maxBytes > 0 && c.bytes+n > c.maxBytes) {
		return false
	}
	c.messages++
	c.bytes += n
	c.mostMessages = max(c.mostMessages, c.messages)
	if c.messages > 1 {
		c.mostOfMany = max(c.mostOfMany, c.bytes)
	}
	return true
}

func (c *cell) give(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages--
	c.bytes -= n
}

// check that the room was kept and is free again.
func (c *cell) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.messages != 0 || c.bytes != 0:
		return fmt.Errorf("%d messages of %d bytes are still in their room", c.messages, c.bytes)
	case c.mostMessages > windowMessages || c.mostOfMany > windowBytes:
		return fmt.Errorf("%d messages, and %d bytes, were in flight", c.mostMessages, c.mostOfMany)
	}
	return nil
}

var errLine = errors.New("a line that is none")
