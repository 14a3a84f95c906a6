package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A node that has led a stream without a majority, or died amid it, has entries
// in its Raft log that the others never got. When it is back it has to drop
// them, and nats-server 2.15.2 does that one at a time: having found one to be
// wrong it takes what else was on its way for an answer to a question that it
// has not asked, asks again where nobody listens (the inbox for its progress),
// and waits for two seconds. Thirty such entries take a minute, during which the
// node is no replica. It is spared that where the leader's log begins behind
// them: then it is sent the leader's snapshot at once. So the leader makes one.
//
// The server makes none on a leader that reads its log for a replica, and such
// a leader may be doing that all the time. Then the leadership goes to the
// other replica. The old leader, which reads for nobody any more, makes its
// snapshot, and gets the leadership back as the next one finds the same.

const (
	// rescueAfter is how often a replica must have been seen to have less than
	// before: one that catches up, however long that takes, has more and more.
	rescueAfter = 2

	// rescuePause is how long a node does not give away the leadership of a
	// stream again, in case it was no help.
	rescuePause = 30 * time.Second
)

// rescuer helps the replicas of the streams that a node leads.
type rescuer struct {
	node     *Node
	replicas map[string]retreat   // by stream and peer, while this node leads
	owed     map[string]string    // by stream: the replica for which it has been given away
	gave     map[string]time.Time // by stream, when
}

// retreat is how a replica loses what it has.
type retreat struct {
	index uint64
	falls int
}

func newRescuer(n *Node) *rescuer {
	return &rescuer{node: n, replicas: map[string]retreat{}, owed: map[string]string{}, gave: map[string]time.Time{}}
}

// look is to be called for each stream at each look; r is its Raft group, as
// it is here.
func (c *rescuer) look(stream string, r server.RaftzGroup) {
	leads := r.Leader != "" && r.Leader == r.ID
	if replica := c.owed[stream]; replica != "" && c.snapshot(stream, replica) {
		delete(c.owed, stream)
	}
	for id, p := range r.Peers {
		key, has := stream+" "+id, p.LastReplicatedIndex
		if !leads || has >= r.Committed {
			delete(c.replicas, key)
			continue
		}
		now := c.replicas[key]
		if has < now.index && has > 0 {
			now.falls++
		}
		now.index = has
		if now.falls >= rescueAfter {
			c.rescue(stream, p.Name)
			now.falls = 0 // it catches up now, or shows again that it does not
		}
		c.replicas[key] = now
	}
}

// rescue sees to it that a replica gets a snapshot.
func (c *rescuer) rescue(stream, replica string) {
	if c.snapshot(stream, replica) || time.Since(c.gave[stream]) < rescuePause {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if err := c.node.stepDown(ctx, "STREAM.INFO."+stream, "STREAM.LEADER.STEPDOWN."+stream); err != nil {
		c.node.log.Debug("hand over leadership for a replica that is stuck", "stream", stream, "error", err)
		return
	}
	c.gave[stream], c.owed[stream] = time.Now(), replica
}

// snapshot has the server make one of a stream, and drop its log up to there.
//
// The server takes it beside its own work, so it may be of a later state than
// the entry that it is filed under; the messages in between are known by their
// sequence and passed over by whoever replays them.
func (c *rescuer) snapshot(stream, replica string) (done bool) {
	log := c.node.log.With(slog.String("stream", stream), slog.String("replica", replica))
	if err := c.node.server.JetStreamSnapshotStream(account, stream); err != nil {
		log.Debug("no snapshot for a replica that is stuck", "error", err)
		return false
	}
	log.Info("made a snapshot for a replica that is stuck")
	return true
}
