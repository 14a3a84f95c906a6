package node

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"

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

// RaftEntries is how many entries this node's Raft log of a stream has had.
func (n *Node) RaftEntries(stream string) uint64 {
	detail, err := n.server.JszAccount(&server.JSzOptions{Account: account, Streams: true, RaftGroups: true})
	if err != nil {
		return 0
	}
	for _, d := range detail.Streams {
		if d.Name == stream {
			return n.raftGroups()[d.RaftGroup].PIndex
		}
	}
	return 0
}

// GroupsPoll is how often the groups are to be looked at.
const GroupsPoll = groupsPoll

// LookAtGroups is one look at the node's Raft groups after the other.
func LookAtGroups(n *Node, metaElected func()) func() error { return newGroups(n, metaElected).look }

// Silence has nobody hear any more what the server says.
func Silence(n *Node) {
	n.server.SetLoggerV2(&serverLog{log: slog.New(slog.DiscardHandler), stopping: &n.stopping, fatal: func(error) {}}, false, false, false)
}

// LeadsAll tells whether this node leads the cluster as a whole.
func (n *Node) LeadsAll() bool { return n.metaLeader() == n.self.Name }
