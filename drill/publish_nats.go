package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsAttempt bounds one publish through the client port. A message that was
// on its way to a leader that died is never answered: the sooner it is
// repeated, the better, and under its id a repeat does no harm.
const natsAttempt = time.Second

// Errors of JetStream that a repeat can outlast although their status is not
// a 5xx: the first copy is not decided yet, and too many requests.
const (
	errMsgIDInProcess  jetstream.ErrorCode = 10158
	errTooManyRequests jetstream.ErrorCode = 10167
)

// NATSDoor publishes through the nodes' NATS client ports, as any NATS client
// in any language could.
type NATSDoor struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// NewNATSDoor connects to the first of the nodes that answers. It follows the
// cluster when that node goes away.
func NewNATSDoor(urls []string, more ...nats.Option) (*NATSDoor, error) {
	nc, err := Dial(urls, "publisher", more...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("publish over NATS: %w", err)
	}
	return &NATSDoor{nc: nc, js: js}, nil
}

// Close ends the connection.
func (d *NATSDoor) Close() { d.nc.Close() }

// Try publishes once and waits for the acknowledgement.
func (d *NATSDoor) Try(ctx context.Context, _ int, m Message) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, natsAttempt)
	defer cancel()
	// Repeats are ours to decide, so nats.go must not add its own.
	ack, err := d.js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Data: m.Body, Header: nats.Header{}},
		jetstream.WithMsgID(m.ID), jetstream.WithRetryAttempts(0))
	if err != nil {
		return Receipt{}, refusedByNATS(fmt.Errorf("publish %s: %w", m.ID, err))
	}
	return Receipt{Stream: ack.Stream, Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// refusedByNATS makes a definite refusal of those errors that are one.
func refusedByNATS(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return &Refusal{Reason: err.Error()}
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.Code >= 500 || api.Code == 429 ||
		api.ErrorCode == errMsgIDInProcess || api.ErrorCode == errTooManyRequests {
		return err
	}
	return &Refusal{Reason: err.Error()}
}

// Dial connects to a cluster's client ports and never stops reconnecting.
// Nothing is buffered while there is no connection: a hidden buffer would
// publish later what has long been reported as failed. More options win.
func Dial(urls []string, name string, more ...nats.Option) (*nats.Conn, error) {
	opts := nats.GetDefaultOptions()
	opts.Servers = urls
	opts.Name = name
	opts.MaxReconnect = -1
	opts.ReconnectWait = 50 * time.Millisecond
	opts.ReconnectJitter = 20 * time.Millisecond
	opts.ReconnectBufSize = -1
	opts.Timeout = time.Second
	opts.PingInterval = 2 * time.Second
	opts.MaxPingsOut = 2
	// While a write waits for a peer that is out of reach, nats.go looks at
	// nothing else, pings included; its own limit is a minute.
	opts.FlusherTimeout = 2 * time.Second
	// The default prints to stderr. What matters, the calls return.
	opts.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	for _, option := range more {
		if err := option(&opts); err != nil {
			return nil, fmt.Errorf("connect to %v: %w", urls, err)
		}
	}
	nc, err := opts.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", urls, err)
	}
	return nc, nil
}
