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
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
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
	Config *cluster.Config
	Name   string // a node of Config
	Log    *slog.Logger
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
	stopping  atomic.Bool
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
		fatal: make(chan error, 1), quit: make(chan struct{}),
	}
	if err := n.start(dir); err != nil {
		n.shutdown(true)
		return nil, fmt.Errorf("start node %s: %w", o.Name, err)
	}
	n.watching.Add(1)
	go n.watch()
	return n, nil
}

func (n *Node) start(dir string) error {
	if err := checkRoom(dir, n.cfg); err != nil {
		return err
	}
	if n.clustered() {
		slow, err := probeFsync(dir)
		if err != nil {
			return err
		}
		setElectionTimers(n.cfg.ElectionTimeout, slow, n.log)
	}
	opts, err := serverOptions(n.cfg, n.self)
	if err != nil {
		return err
	}
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

// checkPorts finds a busy port before the server does, whose complaint is a
// log line.
func checkPorts(o *server.Options) error {
	type listener struct {
		what, host string
		port       int
	}
	listeners := []listener{{"client", o.Host, o.Port}}
	if o.Cluster.Port != 0 {
		listeners = append(listeners, listener{"route", o.Cluster.Host, o.Cluster.Port})
	}
	for _, l := range listeners {
		address := net.JoinHostPort(l.host, fmt.Sprint(l.port))
		ln, err := net.Listen("tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return fmt.Errorf("the %s port is taken: %w; is this node running already? Otherwise change the node's %q address in cluster.yaml, on every node",
				l.what, err, l.what)
		case err != nil:
			return fmt.Errorf("the node's %q address: %w", l.what, err)
		}
		if err := ln.Close(); err != nil {
			return fmt.Errorf("the node's %q address: %w", l.what, err)
		}
	}
	return nil
}

// waitListening returns when the server accepts clients and routes, or has
// said why it will not.
func (n *Node) waitListening() error {
	for end := time.Now().Add(listenTime); ; {
		if err := n.fatalErr.Load(); err != nil {
			return *err
		}
		if n.server.ReadyForConnections(50 * time.Millisecond) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("nats-server did not listen within %s", listenTime)
		}
	}
}

// Connect returns a connection to this node's own server, and never to
// another: when it is lost, so is the server. While it is disconnected
// publishing fails instead of filling a hidden buffer. The caller closes it.
//
// It goes over loopback, not over the server's in-process pipe: a pipe hands
// over every few messages on their own, which costs a third more CPU in a
// drain.
func (n *Node) Connect(name string, opts ...nats.Option) (*nats.Conn, error) {
	all := []nats.Option{
		nats.Name(name),
		nats.IgnoreDiscoveredServers(),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		// nats.go would print these to stderr.
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			n.log.Warn("own connection to the embedded server", "connection", name, "subject", subject, "error", err)
		}),
	}
	if n.cfg.Token != "" {
		all = append(all, nats.Token(n.cfg.Token))
	}
	nc, err := nats.Connect("nats://"+n.address, append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded server: %w", err)
	}
	return nc, nil
}

// ownAddress is where this process reaches its own client listener.
func ownAddress(s *server.Server) (string, error) {
	bound, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		return "", errors.New("the client listener is gone")
	}
	if bound.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(bound.Port)), nil
	}
	return bound.String(), nil
}

// Fatal receives at most one error: the server has given up, while the
// process lives on. The process then has to end.
func (n *Node) Fatal() <-chan error { return n.fatal }

func (n *Node) fail(err error) {
	if n.stopping.Load() {
		return
	}
	n.fatalOnce.Do(func() {
		n.fatalErr.Store(&err)
		n.fatal <- err
	})
}

// watch looks for a server that has stopped by itself. No space left, for
// one, disables JetStream until the process starts anew.
func (n *Node) watch() {
	defer n.watching.Done()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.quit:
			return
		case <-tick.C:
		}
		switch {
		case n.stopping.Load():
			return
		case !n.server.Running():
			n.fail(errors.New("the embedded nats-server has shut down by itself"))
		case !n.server.JetStreamEnabled():
			n.fail(errors.New("JetStream has been disabled in this process; the lines before say why, most likely the disk is full or not writable"))
		}
	}
}

// Stop ends the server: it gives leadership away, closes what clients are
// left, and waits until everything is down. When ctx ends, or has ended, it
// goes down at once. Own connections are closed by their owners before.
func (n *Node) Stop(ctx context.Context) {
	if !n.stopping.CompareAndSwap(false, true) {
		return
	}
	close(n.quit)
	n.watching.Wait()
	if ctx.Err() == nil {
		lame := make(chan struct{})
		go func() {
			defer close(lame)
			n.conn.Close()
			n.server.LameDuckShutdown()
		}()
		select {
		case <-lame:
		case <-ctx.Done():
		}
		defer func() { <-lame }()
	}
	n.shutdown(false)
}

// shutdown takes everything down that start has brought up so far.
func (n *Node) shutdown(failed bool) {
	if failed {
		n.stopping.Store(true)
	}
	if n.conn != nil {
		n.conn.Close()
	}
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	if err := n.lock.Close(); err != nil {
		n.log.Warn("release data directory", "error", err)
	}
}

// clustered tells a member of a cluster from a node alone, for which the
// server knows no leaders and no Raft.
func (n *Node) clustered() bool { return len(n.cfg.Nodes) > 1 }
