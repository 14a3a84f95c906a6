package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// attemptTime is how long an attempt waits for its acknowledgement, the
	// first one: each further one waits twice as long. A leader that has died
	// never answers; another attempt may find its successor.
	attemptTime = time.Second

	// Pauses between attempts double from the first to the longest. They are
	// short, because an announced leader is not yet subscribed (wake.go).
	firstPause   = 20 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// JetStream's error codes that the loop knows by number; nats.go names only
// some of them (errors.json in nats-server).
const (
	codeUnavailable    jetstream.ErrorCode = 10008 // no leader of the cluster just now
	codeNoResources    jetstream.ErrorCode = 10023 // server or account storage is used up
	codeNoMemory       jetstream.ErrorCode = 10028
	codeNoStorage      jetstream.ErrorCode = 10047
	codeStoreFailed    jetstream.ErrorCode = 10077 // the stream is full, or its disk
	codeHeaderTooLarge jetstream.ErrorCode = 10097
	codeTooMany        jetstream.ErrorCode = 10167
)

// receipt is the answer to an acknowledged message.
//
// Duplicate says that the key was there before this request: some earlier
// request stored the very same message. When an attempt of this request ended
// without an answer and the next one finds the key, it cannot be known which
// request stored it; then it counts as this one's own, and Duplicate is
// false. In every case the message is stored once, under that sequence.
type receipt struct {
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	MsgID     string `json:"msg_id"`
	Duplicate bool   `json:"duplicate"`

	known bool // JetStream knew the id: an earlier request's, or an attempt's of this one
}

// publish has the message acknowledged by its stream's quorum, repeating it
// under the same id for as long as there is hope and time.
func (d *Door) publish(ctx context.Context, b *Backend, m *incoming) (receipt, error) {
	held, cancel := context.WithTimeout(ctx, d.o.Deadline)
	defer cancel()
	var last error    // of the last attempt that had a whole chance
	var unknown bool  // an attempt ended without telling whether it stored
	var pause backoff // between attempts
	patience := attemptTime
	for {
		bell := d.bells[m.stream].next()
		ack, err := attempt(held, bell, patience, b, m)
		if err == nil {
			return d.settle(held, b, m, ack, unknown)
		}
		if ctx.Err() != nil {
			return receipt{}, fmt.Errorf("%w: %w", errClientGone, context.Cause(ctx))
		}
		if final := hopeless(err); final != nil {
			return receipt{}, fmt.Errorf("%w: %w", final, err)
		}
		if last == nil || held.Err() == nil {
			last = err
		}
		unknown = unknown || !refused(err)
		switch {
		case bell.Err() != nil:
			patience = attemptTime
		case errors.Is(err, errUnanswered):
			// It may be on its way: every repeat takes room in the leader's
			// queue, and makes a slow one slower.
			patience *= 2
		}
		if held.Err() != nil || !pause.wait(held, bell) {
			return receipt{}, fmt.Errorf("%w; stream %s was tried for %v, at last: %w", unacknowledged(last), m.stream, d.o.Deadline, last)
		}
	}
}

// attempt sends the message once. A new leader's announcement ends it early:
// what was sent to the old one may never be answered, and if the new one has
// it already, the next attempt finds it by its id.
func attempt(ctx, bell context.Context, patience time.Duration, b *Backend, m *incoming) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(bell, cancel)()

	// Zero: the loop around it does the repeating.
	ack, err := b.Publisher.PublishMsg(ctx, m.msg(), jetstream.WithRetryAttempts(0))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", errUnanswered, err)
	case err != nil:
		return nil, err
	case ack.Stream != m.stream:
		// Somebody else answered on that subject: a subscriber, or a stream
		// that cluster.yaml does not know. It is no promise of ours.
		return nil, fmt.Errorf("%w: %s answered, not %s", errStranger, ack.Stream, m.stream)
	}
	return ack, nil
}

// settle makes an acknowledgement the answer. If JetStream knew the key, the
// stored message must be this one (compare.go).
func (d *Door) settle(ctx context.Context, b *Backend, m *incoming, ack *jetstream.PubAck, unknown bool) (receipt, error) {
	done := receipt{Stream: ack.Stream, Seq: ack.Sequence, MsgID: m.id, known: ack.Duplicate}
	if !ack.Duplicate || m.made { // nobody but this request knows an id made here
		return done, nil
	}
	done.Duplicate = !unknown
	if err := b.compare(ctx, d.bells[m.stream], m, ack.Sequence); err != nil {
		return receipt{}, err
	}
	return done, nil
}

// hopeless returns what to tell the client if no repeat can help, else nil.
func hopeless(err error) error {
	switch api := apiError(err); {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return errTooLarge
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return errStopping // closed for good: this process is on its way out
	case api != nil && api.ErrorCode == codeHeaderTooLarge:
		return errHeadersTooLarge
	case api != nil && api.Code >= 400 && api.Code < 500 && api.Code != 409 && api.Code != 429:
		return errRefused // JetStream's own code: the message or the set-up, not the moment
	}
	return nil
}

// refused tells whether an attempt is known to have stored nothing. Whatever
// is not on the list is not known.
func refused(err error) bool {
	if api := apiError(err); api != nil {
		switch api.ErrorCode {
		case codeUnavailable, codeNoResources, codeNoMemory, codeNoStorage, codeStoreFailed, codeTooMany:
			return true
		}
		return false // 10158 among them: a copy of it is being decided
	}
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, nats.ErrReconnectBufExceeded)
}

// unacknowledged says why a message could not be acknowledged in time.
func unacknowledged(last error) error {
	if api := apiError(last); api != nil {
		switch api.ErrorCode {
		case codeStoreFailed:
			return errStreamFull
		case codeNoResources, codeNoMemory, codeNoStorage:
			return errNoResources
		}
	}
	return errNoQuorum
}

func apiError(err error) *jetstream.APIError {
	var js jetstream.JetStreamError
	if errors.As(err, &js) {
		return js.APIError()
	}
	return nil
}

// backoff is the pause between attempts.
type backoff struct{ next time.Duration }

// pause is how long the next pause is: jittered, so that the held requests do
// not come back all at once.
func (p *backoff) pause() time.Duration {
	p.next = min(max(2*p.next, firstPause), longestPause)
	return p.next/2 + rand.N(p.next/2)
}

// wait pauses, and less if the bell rings. It is false if the context ended.
func (p *backoff) wait(ctx, bell context.Context) bool {
	t := time.NewTimer(p.pause())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-bell.Done():
		p.next = 0
	case <-t.C:
	}
	return true
}
