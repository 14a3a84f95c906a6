package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"landfall/message"
)

const (
	pullMessages  = 5_000   // of one request
	pullBytes     = 8 << 20 // of one request
	pullSlots     = 2       // requests open at a time: one is on its way while the other is taken
	pullExpires   = 30 * time.Second
	pullHeartbeat = 500 * time.Millisecond
	pullSilence   = 4 * pullHeartbeat
)

// ErrPullClosed is Recv after Close.
var ErrPullClosed = errors.New("the pull is closed")

// ErrPullSilent is a pull whose heartbeats stayed out: its consumer has lost
// its leader, or this node its cluster.
var ErrPullSilent = errors.New("the consumer has fallen silent")

// ErrPullEnded is a pull that the server ended; the leader has changed, or the
// consumer was removed.
var ErrPullEnded = errors.New("the consumer ended the pull")

// Pull delivers a consumer's messages. Two requests are open at a time, and
// each is renewed only when what it brought has been taken: a slow sink holds
// no more than two requests' worth in memory.
//
// Recv belongs to one goroutine; Close may come from another.
type Pull struct {
	nc       *nats.Conn
	next     string         // subject that requests go to
	arrivals chan *nats.Msg // of both slots, in the order the server sent them
	slots    [pullSlots]slot
	tick     *time.Ticker // to notice silence
	heard    time.Time    // last sign of life, or last request
	taken    []message.Message
	err      error // why the pull ended

	closing sync.Once
	closed  chan struct{}
}

// slot is one request at a time, with an inbox of its own: what arrives there
// is of that request, and its last arrival is the status that ends it.
type slot struct {
	sub   *nats.Subscription
	inbox string
	open  bool
	bytes int // still allowed
}

// Open resets the consumer so that it delivers from sequence from on, and
// starts pulling.
func (s *Source) Open(ctx context.Context, from uint64) (*Pull, error) {
	if from < 1 {
		return nil, fmt.Errorf("pull stream %s from %d: sequences start at 1", s.stream, from)
	}
	consumer := s.stream + "." + Consumer
	reset := struct {
		Seq uint64 `json:"seq"`
	}{from}
	if err := call(ctx, s.nc, "CONSUMER.RESET."+consumer, reset, nil); err != nil {
		return nil, fmt.Errorf("reset consumer to %d: %w", from, err)
	}
	p := &Pull{
		nc:   s.nc,
		next: "$JS.API.CONSUMER.MSG.NEXT." + consumer,
		// All that may be asked for, and heartbeats until the requests expire:
		// a full channel would drop messages.
		arrivals: make(chan *nats.Msg, pullSlots*pullMessages+1024),
		tick:     time.NewTicker(pullHeartbeat),
		closed:   make(chan struct{}),
	}
	for i := range p.slots {
		sl := &p.slots[i]
		sl.inbox = s.nc.NewInbox()
		var err error
		if sl.sub, err = s.nc.ChanSubscribe(sl.inbox, p.arrivals); err != nil {
			p.Close()
			return nil, fmt.Errorf("pull: %w", err)
		}
	}
	if p.ask(); p.err != nil {
		p.Close()
		return nil, p.err
	}
	return p, nil
}

// Recv waits for at least one message and returns all that are at hand, in
// order. The slice belongs to the caller until the next Recv, the messages'
// contents for good. An error ends the pull.
func (p *Pull) Recv(ctx context.Context) ([]message.Message, error) {
	clear(p.taken) // let go of what the caller has not kept
	p.taken = p.taken[:0]
	for {
		p.drain()
		if len(p.taken) > 0 {
			return p.taken, nil
		}
		if p.err == nil && time.Since(p.heard) > pullSilence {
			p.err = ErrPullSilent
		}
		if p.err != nil {
			return nil, p.err
		}
		select {
		case m := <-p.arrivals:
			p.heard = time.Now()
			p.accept(m)
		case <-p.tick.C:
		case <-p.closed:
			p.err = ErrPullClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// drain accepts what is at hand and renews the requests that have ended.
func (p *Pull) drain() {
	if len(p.arrivals) > 0 {
		p.heard = time.Now()
	}
	for {
		select {
		case m := <-p.arrivals:
			p.accept(m)
		default:
			p.ask()
			return
		}
	}
}

// accept takes one arrival: a message, or a status of its request. Only a
// message has an ack subject to reply to; what its headers say is its
// producer's affair.
func (p *Pull) accept(m *nats.Msg) {
	sl := &p.slots[0]
	if m.Sub != sl.sub {
		sl = &p.slots[1]
	}
	seq, nanos, ok := parseAckReply(m.Reply)
	if !ok {
		p.status(sl, m.Header)
		return
	}
	// A request that has used up its bytes to the last one is the only one
	// to end without a status. The server counts as we do.
	if sl.bytes -= m.Size(); sl.bytes <= 0 {
		sl.open = false
	}
	p.taken = append(p.taken, message.Message{
		Seq: seq, Subject: m.Subject, Header: m.Header, Data: m.Data,
		Time: time.Unix(0, nanos).UTC(),
	})
}

// status reads what the server says about a request. A request that ended in
// an ordinary way (completed, expired, or too small for the next message) says
// how much it leaves; without that, the consumer itself is in trouble.
func (p *Pull) status(sl *slot, h nats.Header) {
	const heartbeat = "100"
	switch code := h.Get("Status"); {
	case code == heartbeat:
	case h.Get("Nats-Pending-Messages") != "":
		sl.open = false
	case p.err == nil:
		p.err = fmt.Errorf("%w: %s %s", ErrPullEnded, code, h.Get("Description"))
	}
}

// pullRequest is the body of every request.
type pullRequest struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// ask opens a new request in every slot whose last one has ended.
func (p *Pull) ask() {
	for i := range p.slots {
		sl := &p.slots[i]
		if sl.open || p.err != nil {
			continue
		}
		sl.open, sl.bytes = true, pullBytes
		p.heard = time.Now()
		body, err := json.Marshal(pullRequest{pullMessages, pullBytes, pullExpires, pullHeartbeat})
		if err == nil {
			err = p.nc.PublishRequest(p.next, sl.inbox, body)
		}
		if err != nil {
			p.err = fmt.Errorf("pull: %w", err)
		}
	}
}

// Close stops pulling. It does not wait for what is on its way.
func (p *Pull) Close() {
	p.closing.Do(func() {
		close(p.closed)
		p.tick.Stop()
		for i := range p.slots {
			if sub := p.slots[i].sub; sub != nil {
				_ = sub.Unsubscribe() // fails only when the connection is gone as well
			}
		}
	})
}
