package node

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// handOverTime bounds HandOver: a stop must not hang on a peer that does not
// take over.
const handOverTime = 3 * time.Second

// LeadsStream tells whether this node's server leads the stream. No I/O.
func (n *Node) LeadsStream(stream string) bool {
	if !n.clustered() {
		return n.server.JetStreamEnabled()
	}
	return n.server.JetStreamIsStreamLeader(account, stream)
}

// LeadsConsumer tells whether this node's server leads the stream's consumer,
// so that the sink here is the one to write. No I/O.
func (n *Node) LeadsConsumer(stream string) bool {
	if !n.clustered() {
		return n.server.JetStreamEnabled()
	}
	return n.server.JetStreamIsConsumerLeader(account, stream, Consumer)
}

// HandOver gives the leadership of every stream and consumer to the peer that
// lags least, and returns when this node leads none, or after a few seconds.
// Without a peer to take over it does nothing. Leadership of the cluster as a
// whole moves in Stop; acknowledging does not need it.
func (n *Node) HandOver(ctx context.Context) {
	n.handOver(ctx, true)
}

// HandOverStreams is HandOver without the consumers: others acknowledge, and
// the sink here may go on storing.
func (n *Node) HandOverStreams(ctx context.Context) {
	n.handOver(ctx, false)
}

func (n *Node) handOver(ctx context.Context, consumers bool) {
	if !n.clustered() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	var g errgroup.Group
	for _, s := range n.cfg.Streams {
		g.Go(func() error {
			n.giveAway(ctx, "STREAM.INFO."+s.Name, "STREAM.LEADER.STEPDOWN."+s.Name,
				func() bool { return n.LeadsStream(s.Name) })
			return nil
		})
		if !consumers {
			continue
		}
		g.Go(func() error {
			name := s.Name + "." + Consumer
			n.giveAway(ctx, "CONSUMER.INFO."+name, "CONSUMER.LEADER.STEPDOWN."+name,
				func() bool { return n.LeadsConsumer(s.Name) })
			return nil
		})
	}
	_ = g.Wait() // giveAway reports by logging
}

// giveAway asks a Raft group's leader, as long as it is this node, to make
// another one leader.
func (n *Node) giveAway(ctx context.Context, infoSubject, stepDownSubject string, leads func() bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var asked time.Time
	for leads() {
		if time.Since(asked) > apiTimeout {
			asked = time.Now()
			err := n.stepDown(ctx, infoSubject, stepDownSubject)
			if err != nil {
				n.log.Debug("hand over leadership", "group", infoSubject, "error", err)
			}
			if errors.Is(err, errNoSuccessor) {
				return
			} // otherwise it is asked again, as long as there is time
		}
		select {
		case <-ctx.Done():
			n.log.Warn("stopping while still leader", "group", infoSubject)
			return
		case <-tick.C:
		}
	}
}

// errNoSuccessor tells that no peer can take over leadership.
var errNoSuccessor = errors.New("nobody can take over leadership")

// stepDown asks a Raft group's leader to make the best peer leader.
func (n *Node) stepDown(ctx context.Context, infoSubject, stepDownSubject string) error {
	var i info
	if err := call(ctx, n.conn, infoSubject, nil, &i); err != nil {
		return err
	}
	best := successor(i.Cluster, currentTimers().lostQuorum)
	if best == "" {
		return errNoSuccessor
	}
	type placement struct {
		Preferred string `json:"preferred"`
	}
	body := struct {
		Placement placement `json:"placement"`
	}{placement{best}}
	return call(ctx, n.conn, stepDownSubject, body, nil)
}

// successor is the peer that lags least among those lately heard from.
func successor(g *group, within time.Duration) string {
	if g == nil {
		return ""
	}
	var best *peer
	for i := range g.Replicas {
		p := &g.Replicas[i]
		if p.Offline || p.Active == 0 || p.Active > within { // 0: never heard
			continue
		}
		if best == nil || p.Lag < best.Lag {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}
