package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Landfall looks every five seconds for what was deleted. That it has not
// brought it back after so long is a finding.
const healPatience = 30 * time.Second

func streamFaults() []Fault {
	fault := func(name, about string, takes Takes, inflict func(context.Context, *Site, Act) error) Fault {
		takes.Stream = true
		return Fault{Name: name, Group: "stream", About: about, Takes: takes, Inflict: inflict}
	}
	// What is only in Postgres must not be taken back there meanwhile, and no
	// node may wake up that still has a message in hand from before: its
	// publisher has long sent it through another.
	lossy := Takes{Nodes: nodes, Network: true, Postgres: true}
	full := fault("stream-full", "the stream's max_bytes is lowered by hand: it is full at once", Takes{Postgres: true}, fillStream)
	full.Hold = [2]time.Duration{time.Second, 4 * time.Second}
	removed := fault("message-removed", "messages are purged by hand that Postgres does not have: a gap", Takes{Postgres: true}, removeMessages)
	removed.Hold = [2]time.Duration{200 * time.Millisecond, time.Second}
	one := fault("wipe-one", "kill -9 of a node, whose directory is emptied before it is started again", Takes{Nodes: nodes, Network: true}, wipeOne)
	one.Hold = [2]time.Duration{500 * time.Millisecond, 3 * time.Second}
	return []Fault{
		full,
		fault("stream-deleted", "the stream is deleted by hand, once all of it is stored", lossy, deleteStream),
		fault("consumer-deleted", "the stream's consumer is deleted by hand", Takes{}, deleteConsumer),
		removed,
		one,
		fault("wipe-all", "kill -9 of all nodes, whose directories are emptied, once all of the stream is stored", lossy, wipeAll),
		fault("tail-cut", "kill -9 of all nodes, whose directories are put back to copies: the stream's tail is cut, once all of it is stored", lossy, cutTail),
	}
}

// settledPatience is how long the publishers may take to come to rest, and
// Postgres to have everything.
const settledPatience = time.Minute

// settleAll holds the publishers until release, with everything they were
// promised in Postgres: what then becomes of the stream, nothing is lost. An
// error means that it did not come to that.
func (s *Site) settleAll(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, settledPatience)
	defer cancel()
	release, err = s.Gate.Hold(ctx)
	if err != nil {
		return nil, fmt.Errorf("hold the publishers: %w", err)
	}
	if err := s.StoredAll(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// deleteStream deletes each stream, and waits until Landfall has made it again.
func deleteStream(ctx context.Context, s *Site, a Act) error {
	release, err := s.settleAll(ctx)
	if err != nil {
		return err
	}
	for _, stream := range s.streams() {
		s.Say("  %s: %s is deleted", a.Fault.Name, stream)
		err = errors.Join(err, s.delete(ctx, "STREAM.DELETE."+stream, jetstream.JSErrCodeStreamNotFound))
	}
	release()
	if err != nil {
		return err
	}
	for _, stream := range s.streams() {
		if err := s.awaitHealed(ctx, a, "STREAM.INFO."+stream); err != nil {
			return err
		}
	}
	return nil
}

// deleteConsumer deletes each stream's consumer, and waits until Landfall has made it again.
func deleteConsumer(ctx context.Context, s *Site, a Act) error {
	for _, stream := range s.streams() {
		s.Say("  %s: consumer %s of %s is deleted", a.Fault.Name, Consumer, stream)
		if err := s.delete(ctx, "CONSUMER.DELETE."+stream+"."+Consumer, jetstream.JSErrCodeConsumerNotFound); err != nil {
			return err
		}
	}
	for _, stream := range s.streams() {
		if err := s.awaitHealed(ctx, a, "CONSUMER.INFO."+stream+"."+Consumer); err != nil {
			return err
		}
	}
	return nil
}

// delete insists until something is gone. A call that was not answered may
// have succeeded, so that the next one finds nothing.
func (s *Site) delete(ctx context.Context, subject string, gone jetstream.ErrorCode) error {
	return insist(ctx, func(ctx context.Context) error {
		err := s.ask(ctx, subject, nil, nil)
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == gone {
			return nil
		}
		return err
	})
}

// awaitHealed waits until a call succeeds again.
func (s *Site) awaitHealed(ctx context.Context, a Act, subject string) error {
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	err := insist(waiting, func(ctx context.Context) error { return s.ask(ctx, subject, nil, nil) })
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.Found("%s: what was deleted is not back after %s: %v", a.Fault.Name, healPatience, err)
	default:
		s.Say("  %s: it is back after %s", a.Fault.Name, seconds(time.Since(began)))
	}
	return nil
}
