package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// slack is how much room a full stream still has: for no message more, or
	// for a few.
	slack = 2 << 10

	// errStoreFailed is JetStream's word for a full stream.
	errStoreFailed jetstream.ErrorCode = 10077
)

// fillStream lowers the stream's limit, and puts it back. Either it is just
// above what the stream holds: then Landfall makes room by letting go of what
// is stored, and nobody notices for long. Or nothing fits, whatever is let go:
// then publishers are refused, and come again.
func fillStream(ctx context.Context, s *Site, a Act) error {
	var before *streamInfo
	err := insist(ctx, func(ctx context.Context) (err error) {
		before, err = s.streamInfo(ctx, Stream)
		return err
	})
	if err != nil {
		return err
	}
	was, err := before.maxBytes()
	if err != nil {
		return err
	}
	limit := int64(1)
	if a.Rand().IntN(2) == 0 {
		limit = before.State.Bytes + slack
	}
	leave := func(context.Context) {}
	if err = s.setMaxBytes(ctx, limit); err == nil {
		s.Say("  %s: max_bytes is %d instead of %d, for %s; the stream holds %d", a.Fault.Name, limit, was, a.Hold, before.State.Bytes)
		leave, err = s.knock(ctx, a)
	}
	undo, cancel := undoing(ctx)
	defer cancel()
	if back := s.setMaxBytes(undo, was); back != nil {
		err = errors.Join(err, fmt.Errorf("put max_bytes back to %d: %w", was, back))
	}
	leave(ctx)
	return err
}

// knock publishes for the act's time, to see that the stream is full. The
// message is repeated like any other when there is room again: by leave.
func (s *Site) knock(ctx context.Context, a Act) (leave func(context.Context), err error) {
	full, cancel := context.WithTimeout(ctx, a.Hold)
	defer cancel()
	leave = func(context.Context) {}
	door, err := s.Cluster.NATSDoor()
	if err != nil {
		return leave, err
	}
	book, err := s.borrowBook(a.Fault.Name)
	if err != nil {
		door.Close()
		return leave, err
	}
	m := probe()
	ref := book.Offer(m, time.Now())
	refused := false
	_ = poll(full, 20*time.Millisecond, func(ctx context.Context) (bool, error) { // until the time is over
		_, err := door.Try(ctx, 0, m)
		var api *jetstream.APIError
		refused = refused || errors.As(err, &api) && api.ErrorCode == errStoreFailed
		return err == nil, nil
	})
	pause(full, a.Hold)
	if refused {
		s.Say("  %s: publishers are refused for lack of room", a.Fault.Name)
	}
	return func(ctx context.Context) {
		book.Tell(ref, Deliver(ctx, door, m, cutPatience))
		door.Close()
		_ = book.Close() // the ledger keeps it
	}, nil
}
