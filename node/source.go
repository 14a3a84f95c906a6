package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"landfall/cluster"
	"landfall/message"
)

// ErrNoQuorum is an answer from a leader that could not show that a majority
// still follows it.
var ErrNoQuorum = errors.New("the stream's leader shows no quorum")

// ErrAlone is a request for another node where there is none.
var ErrAlone = errors.New("a single node has nobody to hand over to")

// Source is one stream and its consumer, as this node's sink sees them.
type Source struct {
	node   *Node
	nc     *nats.Conn
	stream string
}

// Source returns the stream for a sink. The connection stays the caller's.
func (n *Node) Source(nc *nats.Conn, stream cluster.Stream) *Source {
	return &Source{node: n, nc: nc, stream: stream.Name}
}

// Leads tells whether this node leads the stream's consumer. No I/O.
func (s *Source) Leads() bool { return s.node.LeadsConsumer(s.stream) }

// State asks the stream's leader where the stream stands. A leader that does
// not know of its successor yet may answer with old news.
func (s *Source) State(ctx context.Context) (message.Stream, error) {
	i, err := s.info(ctx)
	if err != nil {
		return message.Stream{}, err
	}
	return i.stream(s.stream), nil
}

func (s *Source) info(ctx context.Context) (*info, error) {
	i := &info{}
	if err := call(ctx, s.nc, "STREAM.INFO."+s.stream, nil, i); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *info) stream(name string) message.Stream {
	m := message.Stream{
		Name:        name,
		Incarnation: i.Config.Metadata[IncarnationKey],
		First:       i.State.FirstSeq,
		Last:        i.State.LastSeq,
		Messages:    i.State.Messages,
		Bytes:       i.State.Bytes,
		MaxBytes:    i.Config.MaxBytes,
	}
	if m.Messages == 0 {
		m.First = m.Last + 1
	}
	return m
}

// ConfirmedState is State from a leader that has just shown that a majority
// follows it. First something harmless goes through the stream's Raft log,
// which only a quorum can commit; then the state must come from a leader that
// heard from a majority since. A leader that was paused fails the second, as
// its last word from the others is older than their election.
func (s *Source) ConfirmedState(ctx context.Context) (message.Stream, error) {
	began := time.Now()
	if err := s.passQuorum(ctx); err != nil {
		return message.Stream{}, fmt.Errorf("confirm state: %w", err)
	}
	i, err := s.info(ctx)
	if err != nil {
		return message.Stream{}, fmt.Errorf("confirm state: %w", err)
	}
	took := time.Since(began)
	if took > currentTimers().minElection/2 || !i.Cluster.heard(took) {
		return message.Stream{}, fmt.Errorf("confirm state: %w", ErrNoQuorum)
	}
	return i.stream(s.stream), nil
}

// passQuorum sends a purge that removes nothing through the stream's Raft
// log; it is answered when the leader has applied it. It removes nothing for
// two reasons, each sufficient: no message has the random subject, and a purge
// "below 1" has nothing below it. (Below 0 would be the whole stream.)
func (s *Source) passQuorum(ctx context.Context) error {
	request := struct {
		Filter string `json:"filter"`
		Seq    uint64 `json:"seq"`
	}{"landfall.nothing." + uuid.NewString(), 1}
	var answer struct {
		Purged uint64 `json:"purged"`
	}
	if err := call(ctx, s.nc, "STREAM.PURGE."+s.stream, request, &answer); err != nil {
		return err
	}
	if answer.Purged != 0 {
		return fmt.Errorf("a purge of nothing removed %d messages from stream %s", answer.Purged, s.stream)
	}
	return nil
}

// Purge removes the messages below seq. It refuses a seq below 2, which
// JetStream may take for the whole stream, and one beyond the stream's end,
// which would make the stream skip numbers.
func (s *Source) Purge(ctx context.Context, seq uint64) error {
	if seq < 2 {
		return fmt.Errorf("purge stream %s below %d: refused", s.stream, seq)
	}
	state, err := s.State(ctx)
	if err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	if seq > state.Last+1 {
		return fmt.Errorf("purge stream %s below %d, beyond its end at %d: refused", s.stream, seq, state.Last)
	}
	request := struct {
		Seq uint64 `json:"seq"`
	}{seq}
	return call(ctx, s.nc, "STREAM.PURGE."+s.stream, request, nil)
}

// Reincarnate gives the stream a new identity if it still has the old one,
// and returns the one it has afterwards.
func (s *Source) Reincarnate(ctx context.Context, old string) (string, error) {
	stored, err := loadConfig(ctx, s.nc, s.stream)
	if err != nil {
		return "", fmt.Errorf("reincarnate: %w", err)
	}
	if stored.Metadata[IncarnationKey] == old {
		metadata := maps.Clone(stored.Metadata)
		if metadata == nil {
			metadata = map[string]string{}
		}
		metadata[IncarnationKey] = uuid.NewString()
		if err := stored.update(ctx, s.nc, stored.limits, metadata); err != nil {
			return "", fmt.Errorf("reincarnate: %w", err)
		}
	}
	state, err := s.State(ctx)
	if err != nil {
		return "", fmt.Errorf("reincarnate: %w", err)
	}
	return state.Incarnation, nil
}

// Behind is how many messages this node's own replica of the stream lacks that
// the stream's leader has. The consumer delivers from the replica, no faster
// than it catches up. 0 on a single node, and where the replica leads.
func (s *Source) Behind(ctx context.Context) (uint64, error) {
	if !s.node.clustered() || s.node.LeadsStream(s.stream) {
		return 0, nil
	}
	i, err := s.info(ctx)
	if err != nil {
		return 0, err
	}
	own, _ := s.node.lastSeq(s.stream) // none: it lacks all of them
	return i.State.LastSeq - min(own, i.State.LastSeq), nil
}

// StepDown asks that the consumer's leadership move to another node.
func (s *Source) StepDown(ctx context.Context) error {
	if !s.node.clustered() {
		return ErrAlone
	}
	return call(ctx, s.nc, "CONSUMER.LEADER.STEPDOWN."+s.stream+"."+Consumer, nil, nil)
}
