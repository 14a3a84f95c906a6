package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// interval is how often a node tells the others how it is doing.
	interval = time.Second

	// fresh is how long a report is believed: two may get lost.
	fresh = 3 * time.Second
)

// Heard is another node's latest report.
type Heard struct {
	Report
	Arrived time.Time // by this process's clock, with its monotonic reading
}

// Fresh tells whether the report is young enough to be believed.
func (h Heard) Fresh() bool { return time.Since(h.Arrived) < fresh }

// PeersOptions are what Peers needs to know.
type PeersOptions struct {
	Cluster string        // its name, a single token of a subject
	Node    string        // this node
	Nodes   []string      // all nodes of the cluster; reports of others are ignored
	Conn    *nats.Conn    // to the cluster
	Report  func() Report // what to tell; quick, no I/O
	Log     *slog.Logger
}

// Peers tells the other nodes how this one is doing, and keeps what they tell.
type Peers struct {
	o PeersOptions

	news chan struct{} // there is something new to tell

	mu    sync.Mutex // guards heard
	heard map[string]Heard
}

// NewPeers makes peers that have heard nothing yet.
func NewPeers(o PeersOptions) (*Peers, error) {
	if o.Conn == nil || o.Report == nil {
		return nil, errors.New("peers: a connection and something to tell are needed")
	}
	for _, name := range append([]string{o.Cluster}, o.Nodes...) {
		if name == "" || strings.ContainsAny(name, ".*> \t\r\n") {
			return nil, fmt.Errorf("peers: %q cannot be a token of a subject", name)
		}
	}
	if !slices.Contains(o.Nodes, o.Node) {
		return nil, fmt.Errorf("peers: %q is none of the nodes %s", o.Node, strings.Join(o.Nodes, ", "))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Peers{o: o, news: make(chan struct{}, 1), heard: make(map[string]Heard, len(o.Nodes))}, nil
}

// subject is where a node's reports go. It begins with `$`, so that no stream
// that users would think of (`landfall.>`, the cluster's own name) takes the
// reports in, and the producer endpoint lets nobody forge one.
func (p *Peers) subject(node string) string {
	return "$LANDFALL." + p.o.Cluster + ".node." + node
}

// Run reports and listens until the context ends; then it returns nil. What
// cannot be sent while the connection is away is not sent later.
func (p *Peers) Run(ctx context.Context) error {
	sub, err := p.o.Conn.Subscribe(p.subject("*"), func(m *nats.Msg) {
		if err := p.hear(m.Data); err != nil {
			p.o.Log.Debug("report of another node ignored", "subject", m.Subject, "err", err)
		}
	})
	if err != nil {
		return fmt.Errorf("listen to the other nodes: %w", err)
	}
	// It fails only if the connection is closed, and then it is gone too.
	defer func() { _ = sub.Unsubscribe() }()

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := p.tell(p.o.Report()); err != nil {
			p.o.Log.Debug("the other nodes are not told", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.news:
			tick.Reset(interval)
		}
	}
}

// Tell has the others told now. Otherwise they are told once a second.
func (p *Peers) Tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *Peers) tell(mine Report) error {
	data, err := json.Marshal(mine)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	return p.o.Conn.Publish(p.subject(p.o.Node), data)
}

// hear keeps another node's report. Unknown members are ignored: the nodes of
// a cluster are updated one by one.
func (p *Peers) hear(data []byte) error {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("decode report: %w", err)
	}
	if r.Node == p.o.Node {
		return nil // our own
	}
	if !slices.Contains(p.o.Nodes, r.Node) {
		return fmt.Errorf("%q is no node of this cluster", r.Node)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[r.Node] = Heard{Report: r, Arrived: time.Now()}
	return nil
}

// Others is the latest report of every other node that was ever heard, in the
// order of the cluster's nodes; Fresh tells which of them to believe.
func (p *Peers) Others() []Heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Heard, 0, len(p.heard))
	for _, name := range p.o.Nodes {
		if h, ok := p.heard[name]; ok {
			all = append(all, h)
		}
	}
	return all
}

// OtherReachesPostgres tells whether another node says, by a fresh report,
// that it reaches Postgres: then a sink that does not had better hand over.
func (p *Peers) OtherReachesPostgres() bool {
	return slices.ContainsFunc(p.Others(), func(h Heard) bool {
		return h.Fresh() && h.PostgresOK
	})
}
