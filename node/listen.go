package node

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

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
