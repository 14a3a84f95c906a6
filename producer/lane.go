package producer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lane carries the messages of one batch to their stream, and brings back what
// is answered. It knows nothing of repeats: what is not answered is silence.
type lane interface {
	// send sends one message. An error means that this attempt sent nothing,
	// or that the connection broke under it. m is only read. Answers come
	// from another goroutine, and never before send has returned there.
	send(m *incoming, t tag) error

	// changes tells when the connection was lost, found again or closed.
	changes() <-chan nats.Status

	// close ends the lane. Afterwards nothing is answered any more.
	close()
}

// tag says to which message, and to which attempt at it, an answer belongs.
type tag struct {
	pos     uint64 // position in the batch, from 0
	attempt uint32 // from 1
}

// reply is what came back for an attempt: an acknowledgement, or an error
// as nats.go would return it.
type reply struct {
	tag
	ack jetstream.PubAck
	err error
}

// natsLane sends with the answers' subject as reply, and hears all answers of
// the batch on one subscription. nats.go's own asynchronous publishing does
// much the same, but it arms a timer for each message, repeats by itself, and
// gives up everything when the connection breaks.
type natsLane struct {
	nc     *nats.Conn
	stream string
	plain  string // how a plain acknowledgement of the stream begins
	sub    *nats.Subscription
	status chan nats.Status
	ended  chan struct{} // closed when the subscription's goroutine has ended

	prefix  string   // of the answers' subjects
	replyTo []byte   // the last one, its memory used again
	msg     nats.Msg // the last one sent, likewise
}

// openLane opens a lane to the stream. answered is called for every answer,
// one after the other.
func openLane(nc *nats.Conn, stream string, answered func(reply)) (*natsLane, error) {
	l := &natsLane{
		nc: nc, stream: stream, prefix: nc.NewInbox() + ".",
		plain: fmt.Sprintf("{%q:%q,%q:", "stream", stream, "seq"),
		ended: make(chan struct{}),
	}
	l.replyTo = append(l.replyTo, l.prefix...)
	sub, err := nc.Subscribe(l.prefix+"*", func(m *nats.Msg) {
		if a, ok := l.read(m); ok {
			answered(a)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen for acknowledgements: %w", err)
	}
	sub.SetClosedHandler(func(string) { close(l.ended) })
	if !sub.IsValid() {
		// It may have ended before it was told whom to tell.
		return nil, fmt.Errorf("listen for acknowledgements: %w", nats.ErrConnectionClosed)
	}
	l.sub = sub
	l.status = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	return l, nil
}

func (l *natsLane) send(m *incoming, t tag) error {
	l.replyTo = strconv.AppendUint(l.replyTo[:len(l.prefix)], t.pos, 10)
	l.replyTo = append(l.replyTo, '-')
	l.replyTo = strconv.AppendUint(l.replyTo, uint64(t.attempt), 10)
	l.msg = nats.Msg{Subject: m.subject, Reply: string(l.replyTo), Header: m.header, Data: m.data}
	return l.nc.PublishMsg(&l.msg)
}

func (l *natsLane) changes() <-chan nats.Status { return l.status }

func (l *natsLane) close() {
	l.nc.RemoveStatusListener(l.status)
	// It fails only if the connection is closed, and then it is gone too.
	_ = l.sub.Unsubscribe()
	<-l.ended
}

// read makes a reply of what came. What carries no tag of ours is none.
func (l *natsLane) read(m *nats.Msg) (reply, bool) {
	pos, attempt, ok := strings.Cut(m.Subject[len(l.prefix):], "-")
	p, posErr := strconv.ParseUint(pos, 10, 64)
	n, attemptErr := strconv.ParseUint(attempt, 10, 32)
	if !ok || posErr != nil || attemptErr != nil {
		return reply{}, false
	}
	a := reply{tag: tag{p, uint32(n)}}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		a.err = nats.ErrNoResponders
		return a, true
	}
	if a.ack, ok = l.readPlain(m.Data); !ok {
		a.ack, a.err = readAck(m.Data)
	}
	return a, true
}

// readPlain reads an acknowledgement as nats-server writes it from its
// template (server/stream.go, pubAck): nearly all are, and decoding any JSON
// takes ten times as long.
func (l *natsLane) readPlain(data []byte) (jetstream.PubAck, bool) {
	if len(data) <= len(l.plain) || string(data[:len(l.plain)]) != l.plain || data[len(data)-1] != '}' {
		return jetstream.PubAck{}, false
	}
	const repeat = `,"duplicate": true`
	rest := data[len(l.plain) : len(data)-1]
	ack := jetstream.PubAck{Stream: l.stream}
	if n := len(rest) - len(repeat); n > 0 && string(rest[n:]) == repeat {
		rest, ack.Duplicate = rest[:n], true
	}
	var err error
	ack.Sequence, err = strconv.ParseUint(string(rest), 10, 64)
	return ack, err == nil && ack.Sequence > 0
}

// readAck reads any acknowledgement, or what is there instead of one.
func readAck(data []byte) (jetstream.PubAck, error) {
	var a struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.PubAck
	}
	switch err := json.Unmarshal(data, &a); {
	case err != nil:
		return jetstream.PubAck{}, fmt.Errorf("%w: %w", jetstream.ErrInvalidJSAck, err)
	case a.Error != nil:
		return jetstream.PubAck{}, fmt.Errorf("nats: %w", a.Error)
	case a.Stream == "" || a.Sequence == 0:
		return jetstream.PubAck{}, jetstream.ErrInvalidJSAck
	}
	return a.PubAck, nil
}
