// Package node is one embedded nats-server and what the rest of a Landfall
// process wants from it.
//
// Start checks the data directory, sets the election timers and brings the
// server up as a member of the route cluster. WaitReady returns when the
// cluster has elected itself, EnsureStreams makes the streams and their
// consumers what cluster.yaml says, whichever node comes first. Source offers
// one stream to the sink: where it stands, and a fast pull from the consumer's
// leader. HandOver gives leadership away before a planned stop, Stop ends the
// server. Fatal tells when the server has given up while the process lives.
package node

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"landfall/cluster"
)

// Consumer is the name of the consumer every stream has for its sink.
const Consumer = "postgres"

// account is the one account: the server's global one. Accounts made in code
// lose their streams' leaders after a restart (nats-server#6890).
const account = "$G"

// listenTime bounds how long the listeners may take once the server runs.
const listenTime = 10 * time.Second

// Options say which node of which cluster to start.
type Options struct {
	Config  *cluster.Config
	Name    string // a node of Config
	Clients int    // connections of NATS clients at most; 0: nats-server's default, 65,536
	Log     *slog.Logger

	// MetaElected, if set, is called when the cluster as a whole has another
	// leader than before. It must not wait for anybody.
	MetaElected func()
}

// Node is a running embedded server.
type Node struct {
	cfg     *cluster.Config
	self    cluster.Node
	log     *slog.Logger
	server  *server.Server
	address string   // of the server's own client listener
	lock    *os.File // holds the data directory

	conn *nats.Conn // our own, for streams and leadership; over loopback

	fatal     chan error
	fatalOnce sync.Once
	fatalErr  atomic.Pointer[error]
	quit      chan struct{} // ends the watch
	watching  sync.WaitGroup
	looked    chan struct{} // closed when nobody looks after disk and groups any more
	stopping  atomic.Bool
	lastReady atomic.Int64 // when Ready last found leaders, in ns since the epoch
	fsyncs    fsyncs
}

// Start brings the node's server up and returns when clients can connect. It
// does not wait for the other nodes; WaitReady does.
func Start(o Options) (*Node, error) {
	self, ok := o.Config.Node(o.Name)
	if !ok {
		return nil, fmt.Errorf("start node: cluster.yaml has no node %q", o.Name)
	}
	dir, lock, err := openDirectory(o.Config, o.Name)
	if err != nil {
		return nil, fmt.Errorf("start node %s: %w", o.Name, err)
	}
	n := &Node{
		cfg: o.Config, self: self, log: o.Log, lock: lock,
		fatal: make(chan error, 1), quit: make(chan struct{}), looked: make(chan struct{}),
	}
	if err := n.start(dir, o.Clients); err != nil {
		n.shutdown(true)
		return nil, fmt.Errorf("start node %s: %w", o.Name, err)
	}
	n.watching.Add(1)
	go n.watch()
	go n.lookAfter(o.MetaElected)
	return n, nil
}

func (n *Node) start(dir string, clients int) error {
	if err := checkRoom(dir, n.cfg); err != nil {
		return err
	}
	var slow time.Duration
	if n.clustered() {
		var err error
		if slow, err = probeFsync(dir); err != nil {
			return err
		}
	}
	// A single node has no elections, but it reads the timers while it runs:
	// whoever comes first in this process sets them for all.
	setElectionTimers(n.cfg.ElectionTimeout, slow, n.log)
	opts, err := serverOptions(n.cfg, n.self)
	if err != nil {
		return err
	}
	opts.MaxConn = clients
	if err := checkPorts(opts); err != nil {
		return err
	}
	n.server, err = server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	n.server.SetLoggerV2(&serverLog{log: n.log, stopping: &n.stopping, fatal: n.fail}, false, false, false)
	n.server.Start()
	if err := n.waitListening(); err != nil {
		return err
	}
	if n.address, err = ownAddress(n.server); err != nil {
		return err
	}
	n.conn, err = n.Connect("landfall-node")
	return err
}

// clustered tells a member of a cluster from a node alone, for which the
// server knows no leaders and no Raft.
func (n *Node) clustered() bool { return len(n.cfg.Nodes) > 1 }
