package node

import (
	"context"

	"landfall/message"
)

// DisableJetStream does what the server does when its disk is full.
func (n *Node) DisableJetStream() error { return n.server.ShutdownJetStream() }

// ReplicasNearest asks the replicas without the leader having been asked.
func ReplicasNearest(ctx context.Context, s *Source, seq uint64) (message.Message, bool, error) {
	return s.replicasNearest(ctx, seq)
}

// LastSeq is the last sequence that this node itself has of a stream.
func (n *Node) LastSeq(stream string) uint64 {
	last, _ := n.lastSeq(stream)
	return last
}
