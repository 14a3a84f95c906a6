package node

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"landfall/message"
)

// Vitals asks the server; no I/O. It may wait as long as the server's own locks
// are held, which is as long as a disk that stands still.
func (n *Node) Vitals() (message.Vitals, error) {
	varz, err := n.server.Varz(nil)
	if err != nil {
		return message.Vitals{}, fmt.Errorf("ask the server for its figures: %w", err)
	}
	js, err := n.server.Jsz(nil)
	if err != nil {
		return message.Vitals{}, fmt.Errorf("ask JetStream for its figures: %w", err)
	}
	v := message.Vitals{
		Missing: n.Missing(), Memory: varz.Mem, Store: js.Store, FsyncP99: n.fsyncs.p99(),
		Connections: varz.Connections, Subscriptions: varz.Subscriptions, SlowConsumers: varz.SlowConsumers,
		ReceivedMessages: varz.InMsgs, SentMessages: varz.OutMsgs, ReceivedBytes: varz.InBytes, SentBytes: varz.OutBytes,
		APIRequests: js.API.Total, APIErrors: js.API.Errors,
	}
	v.Routes = len(n.cfg.Nodes) - 1 - len(v.Missing)
	switch {
	case !n.clustered():
		v.MetaLeader = n.self.Name
	case js.Meta != nil:
		v.MetaLeader = js.Meta.Leader
	}
	v.Replicas, err = n.replicas()
	return v, err
}

// replicas are those of the streams of cluster.yaml, in its order.
func (n *Node) replicas() ([]message.Replica, error) {
	detail, err := n.server.JszAccount(&server.JSzOptions{Account: account, Streams: true})
	if err != nil {
		return nil, fmt.Errorf("ask JetStream for its streams: %w", err)
	}
	all := make([]message.Replica, 0, len(n.cfg.Streams))
	for _, s := range n.cfg.Streams {
		r := message.Replica{Stream: s.Name, Leads: n.LeadsStream(s.Name), Stores: n.LeadsConsumer(s.Name)}
		at := slices.IndexFunc(detail.Streams, func(d server.StreamDetail) bool { return d.Name == s.Name })
		if at >= 0 {
			d := &detail.Streams[at]
			r.Held = true
			r.First, r.Last, r.Messages, r.Bytes = d.State.FirstSeq, d.State.LastSeq, d.State.Msgs, d.State.Bytes
			r.FirstTime = d.State.FirstTime
			switch {
			case d.Cluster != nil:
				r.Leader = d.Cluster.Leader
			case r.Leads:
				r.Leader = n.self.Name
			}
		} else if !n.clustered() {
			r.Leads, r.Stores = false, false
		}
		all = append(all, r)
	}
	return all, nil
}

// fsyncsKept is of how many fsyncs, one a second, the slowest hundredth is
// told: five minutes' worth.
const fsyncsKept = 300

// fsyncs are how long the latest took.
type fsyncs struct {
	mu   sync.Mutex
	took []time.Duration
	next int
}

func (f *fsyncs) add(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.took) < fsyncsKept {
		f.took = append(f.took, d)
		return
	}
	f.took[f.next] = d
	f.next = (f.next + 1) % fsyncsKept
}

func (f *fsyncs) p99() time.Duration {
	f.mu.Lock()
	sorted := slices.Clone(f.took)
	f.mu.Unlock()
	if len(sorted) == 0 {
		return 0
	}
	slices.Sort(sorted)
	return sorted[len(sorted)*99/100]
}
