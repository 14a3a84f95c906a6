package node

import (
	"log/slog"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

// A node that has led a stream without a majority, or died amid it, has entries
// in its Raft log that the others never got. When it is back it has to replace
// them, and nats-server 2.15.2 does that one at a time: having found one to be
// wrong, it takes what else was on its way for an answer to a question that it
// has not asked, asks again where nobody listens (the inbox for its progress),
// and waits for two seconds. Thirty such entries take a minute, during which the
// node is no replica. It is spared that if the leader's log begins only behind
// them: then it is sent the leader's snapshot at once. So the leader makes one.

// rescueAfter is for how many looks in a row a replica that is there must have
// got nowhere.
const rescueAfter = 3

// rescuer helps the replicas of the streams that a node leads.
type rescuer struct {
	node  *Node
	stuck map[string]stuck // by stream and peer
}

type stuck struct {
	index uint64 // what the replica is known to have
	looks int
}

// look is to be called for each stream at each look; r is its Raft group, as
// it is here.
func (c *rescuer) look(stream string, r server.RaftzGroup) {
	leads := r.Leader != "" && r.Leader == r.ID
	away := c.node.Missing()
	for id, p := range r.Peers {
		key := stream + " " + id
		before, seen := c.stuck[key]
		if !leads || slices.Contains(away, p.Name) || p.LastReplicatedIndex >= r.Committed || seen && p.LastReplicatedIndex > before.index {
			delete(c.stuck, key)
			continue
		}
		now := stuck{index: p.LastReplicatedIndex, looks: before.looks + 1}
		if now.looks > rescueAfter && c.snapshot(stream, p.Name) {
			now.looks = 0
		}
		c.stuck[key] = now
	}
}

// snapshot has the server make one of a stream, and drop its log up to there.
// It refuses as long as it reads the log for a replica: one that only has much
// to read is left alone, and for one that is stuck it is tried again.
//
// The server takes the snapshot beside its own work, so it may be of a later
// state than the entry that it is filed under; those in between are known by
// their sequence and passed over by whoever replays them.
func (c *rescuer) snapshot(stream, replica string) (done bool) {
	log := c.node.log.With(slog.String("stream", stream), slog.String("replica", replica))
	if err := c.node.server.JetStreamSnapshotStream(account, stream); err != nil {
		log.Debug("no snapshot for a replica that gets nowhere", "error", err)
		return false
	}
	log.Info("made a snapshot for a replica that gets nowhere")
	return true
}
