package node

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// catchUpRound is how often the leader is asked again. Under load a replica is
// never exactly where the leader is, but a moment later where it was.
const catchUpRound = time.Second

// CatchUp returns when this node has every message, of the streams that it
// keeps, that their leaders had a moment before: until then a cluster that
// loses another node may have to wait for this one. What the server itself
// says of its replicas is no help: right after a start it takes one that has
// heard nothing yet for current. The error is ctx's.
func (n *Node) CatchUp(ctx context.Context) error {
	if !n.clustered() {
		return nil
	}
	for _, s := range n.cfg.Streams {
		if err := n.catchUp(ctx, s.Name); err != nil {
			return fmt.Errorf("catch up with stream %s: %w", s.Name, err)
		}
	}
	return nil
}

func (n *Node) catchUp(ctx context.Context, stream string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var want uint64
	var asked time.Time // when the leader said that
	for {
		if time.Since(asked) > catchUpRound {
			if last, ok := n.leaderHas(ctx, stream); ok {
				want, asked = last, time.Now()
			}
		}
		if last, ok := n.lastSeq(stream); !asked.IsZero() && last >= want && (ok || want == 0) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// leaderHas is the last sequence that the stream's leader has, or 0 if there
// is nothing to wait for: the stream is not there, or kept by other nodes.
func (n *Node) leaderHas(ctx context.Context, stream string) (last uint64, ok bool) {
	var leader info
	err := call(ctx, n.conn, "STREAM.INFO."+stream, nil, &leader)
	if isAPIError(err, jetstream.JSErrCodeStreamNotFound) {
		return 0, true
	}
	if err != nil {
		return 0, false // nobody leads, just now
	}
	if !leader.Cluster.has(n.self.Name) {
		return 0, true
	}
	return leader.State.LastSeq, true
}

// lastSeq is the last sequence of a stream that this node itself has.
func (n *Node) lastSeq(stream string) (last uint64, ok bool) {
	detail, err := n.server.JszAccount(&server.JSzOptions{Account: account, Streams: true})
	if err != nil {
		return 0, false
	}
	for i := range detail.Streams {
		if detail.Streams[i].Name == stream {
			return detail.Streams[i].State.LastSeq, true
		}
	}
	return 0, false
}

// has tells whether the node is one of the group's.
func (g *group) has(name string) bool {
	if g == nil {
		return false
	}
	if g.Leader == name {
		return true
	}
	for _, p := range g.Replicas {
		if p.Name == name {
			return true
		}
	}
	return false
}
