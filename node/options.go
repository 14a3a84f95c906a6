package node

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"landfall/cluster"
)

// routeUser is the user name of routes when the cluster has a token; the
// token itself is the password. The name says nothing and protects nothing.
const routeUser = "landfall"

// serverOptions turns cluster.yaml into the options of one embedded server.
func serverOptions(cfg *cluster.Config, self cluster.Node) (*server.Options, error) {
	clientHost, clientPort, err := bindAddress(self, self.Client)
	if err != nil {
		return nil, fmt.Errorf("client address of node %s: %w", self.Name, err)
	}
	o := &server.Options{
		ServerName: self.Name, // the Raft identity: it must never change
		Host:       clientHost,
		Port:       clientPort,

		ClientAdvertise: self.Client,
		Authorization:   cfg.Token,

		NoSigs:                 true, // signals belong to the process
		DisableJetStreamBanner: true,
		NoLog:                  true, // replaced by our own logger

		JetStream:          true,
		StoreDir:           cfg.DataDir(self.Name), // the server adds "jetstream"
		SyncAlways:         true,
		JetStreamMaxStore:  maxStore(cfg),
		JetStreamMaxMemory: 256 << 20, // consumers keep their few numbers here

		// Our own connections are closed before, so what is left are
		// other people's clients: they reconnect elsewhere at once.
		LameDuckGracePeriod: 10 * time.Millisecond,
		LameDuckDuration:    300 * time.Millisecond,
	}
	if len(cfg.Nodes) == 1 {
		return o, nil
	}
	return o, clusterOptions(o, cfg, self)
}

// A route whose other end has vanished without a word, as when a cable is pulled,
// is closed when so many pings stay unanswered, and dialled anew every second.
// Left to TCP it would wait for its next retransmission, seconds after the
// cable is back.
const (
	routePing     = time.Second
	routePingsOut = 3
)

// clusterOptions adds the routes that make the nodes one cluster.
func clusterOptions(o *server.Options, cfg *cluster.Config, self cluster.Node) error {
	host, port, err := bindAddress(self, self.Route)
	if err != nil {
		return fmt.Errorf("route address of node %s: %w", self.Name, err)
	}
	o.Cluster.Name = cfg.Name
	o.Cluster.Host = host
	o.Cluster.Port = port
	o.Cluster.Advertise = self.Route
	o.Cluster.PingInterval = routePing
	o.Cluster.MaxPingsOut = routePingsOut
	if cfg.Token != "" {
		o.Cluster.Username = routeUser
		o.Cluster.Password = cfg.Token
	}
	// The same list on every node, itself included: the server recognises
	// itself, and the number of entries tells the very first election how
	// many peers to expect.
	for _, n := range cfg.Nodes {
		u := &url.URL{Scheme: "nats-route", Host: n.Route}
		if cfg.Token != "" {
			u.User = url.UserPassword(routeUser, cfg.Token)
		}
		o.Routes = append(o.Routes, u)
	}
	return nil
}

// bindAddress is where to listen for an address that others use.
func bindAddress(self cluster.Node, address string) (string, int, error) {
	host, p, err := net.SplitHostPort(self.Bind(address))
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("port of %s: %w", address, err)
	}
	return host, port, nil
}

// maxStore is the server's own limit on stored bytes. Reaching it costs a
// stream its leader, so it lies well above what the streams may hold; the
// streams' max_bytes are what limits them.
func maxStore(cfg *cluster.Config) int64 {
	return 2*streamBytes(cfg) + 1<<30
}

// streamBytes is the sum of what the streams may hold.
func streamBytes(cfg *cluster.Config) int64 {
	var sum int64
	for _, s := range cfg.Streams {
		sum += s.MaxBytes
	}
	return sum
}
