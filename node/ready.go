package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// sayAgain is how often a wait that goes on is logged.
const sayAgain = 5 * time.Second

// WaitReady returns when the cluster has a leader and JetStream answers. The
// very first start needs every node; afterwards a majority is enough. It says
// whom it is waiting for.
func (n *Node) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var said time.Time
	for {
		if n.metaLeader() != "" && call(ctx, n.conn, "INFO", nil, nil) == nil {
			return nil
		}
		if time.Since(said) >= sayAgain {
			n.sayWaiting()
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster: %w", ctx.Err())
		case err := <-n.fatal:
			n.fatal <- err // for whoever asks Fatal
			return fmt.Errorf("wait for the cluster: %w", err)
		case <-tick.C:
		}
	}
}

func (n *Node) sayWaiting() {
	missing := n.Missing()
	if len(missing) == 0 {
		n.log.Info("waiting for the nodes to elect a leader")
		return
	}
	n.log.Info("waiting for "+strings.Join(missing, ", "), slog.Int("of", len(n.cfg.Nodes)))
}

// Missing are the nodes without a route to this one.
func (n *Node) Missing() []string {
	here := map[string]bool{n.self.Name: true}
	if routes, err := n.server.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			here[r.RemoteName] = true
		}
	}
	var missing []string
	for _, peer := range n.cfg.Nodes {
		if !here[peer.Name] {
			missing = append(missing, peer.Name)
		}
	}
	return missing
}

// metaLeader is the node that leads the cluster as a whole, as far as this
// one knows; "" if there is none.
func (n *Node) metaLeader() string {
	if !n.server.JetStreamEnabled() {
		return ""
	}
	if !n.clustered() {
		return n.self.Name
	}
	info, err := n.server.Jsz(nil)
	if err != nil || info.Meta == nil {
		return ""
	}
	return info.Meta.Leader
}

// Ready is nil if this node can acknowledge messages: JetStream runs, and the
// cluster and the streams kept here have leaders with a majority behind them.
// A node that was ready stays so while the nodes elect a leader, for as long as
// that may take and only while it sees a majority: a message that comes now is
// held until there is one, and a load balancer that took all nodes out at once
// would have nowhere to send it. It asks nobody outside the process.
func (n *Node) Ready() error {
	if err := n.fatalErr.Load(); err != nil {
		return *err
	}
	if n.stopping.Load() {
		return errors.New("the node is stopping")
	}
	err := n.led()
	now := time.Now()
	if err == nil {
		n.lastReady.Store(now.UnixNano())
		return nil
	}
	if last := n.lastReady.Load(); last != 0 && now.Sub(time.Unix(0, last)) < electing() && n.seesMajority() {
		return nil
	}
	return err
}

// electing is how long the nodes may take to elect a leader: two elections, as
// the first may end without one. Messages are held a little longer than this
// at most, so it is no use to wait longer.
func electing() time.Duration {
	return min(2*currentTimers().maxElection, 8*time.Second)
}

// seesMajority tells whether this node has routes to so many others that they
// can elect a leader with it.
func (n *Node) seesMajority() bool {
	all := len(n.cfg.Nodes)
	return 2*(all-len(n.Missing())) > all
}

// led is nil if the cluster, and the streams kept here, have leaders with a
// majority behind them.
func (n *Node) led() error {
	if n.metaLeader() == "" {
		return errors.New("the cluster has no leader")
	}
	detail, err := n.server.JszAccount(&server.JSzOptions{Account: account, Streams: true})
	if err != nil {
		return fmt.Errorf("streams: %w", err)
	}
	here := map[string]*server.StreamDetail{}
	for i := range detail.Streams {
		here[detail.Streams[i].Name] = &detail.Streams[i]
	}
	for _, s := range n.cfg.Streams {
		if err := n.streamReady(s.Name, here[s.Name]); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) streamReady(name string, d *server.StreamDetail) error {
	switch {
	case d == nil && len(n.cfg.Nodes) <= n.cfg.Replicas():
		return fmt.Errorf("stream %s is not here yet", name)
	case d == nil || d.Cluster == nil:
		return nil // kept by other nodes, or by this one alone
	case d.Cluster.Leader == "":
		return fmt.Errorf("stream %s has no leader", name)
	case d.Cluster.Leader != n.self.Name:
		return nil
	}
	g := &group{}
	for _, r := range d.Cluster.Replicas {
		g.Replicas = append(g.Replicas, peer{Offline: r.Offline, Active: r.Active})
	}
	if !g.heard(currentTimers().lostQuorum) {
		return fmt.Errorf("stream %s has no quorum", name)
	}
	return nil
}
