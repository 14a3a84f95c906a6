// Package cluster knows what cluster.yaml means: its keys, defaults and
// limits. Load reads a file strictly and reports every problem at once, each
// with line, column and an excerpt. It imports nothing of ours, so every room
// may use it.
package cluster

import (
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Config is a checked cluster.yaml: defaults filled in, values expanded.
type Config struct {
	Path            string        // the file it came from
	Name            string        // "cluster": names the NATS cluster and owns rows in Postgres
	Nodes           []Node        // in file order; one, or an odd number from three
	Data            string        // directory; each node keeps its files under Data/NAME
	Sync            string        // "always": fsync before acknowledging (the only durable one)
	ElectionTimeout time.Duration // base of the Raft election timers; 0: stock timers
	Streams         []Stream      // in file order
	Postgres        Postgres
	MessagesTable   string        // "schema.table" of the messages table, plain lower case names
	Keep            time.Duration // how long its rows stay; 0: for ever
	Token           string        // auth.token; "": no authentication
	AllowInsecure   bool          // bind beyond loopback without a token
}

// Node is one peer. The addresses are those that others use and are
// advertised; Listen is the host to bind instead of the addresses' own.
type Node struct {
	Name   string
	Client string // host:port of the NATS client listener
	Route  string // host:port of the cluster route listener
	HTTP   string // host:port of the producer endpoint
	Admin  string // host:port of page, metrics and dead letters; "": at HTTP
	Listen string // bind host; "": bind the host of each address
}

// Stream is one JetStream stream and what Postgres keeps of it.
type Stream struct {
	Name            string
	Subjects        []string
	MaxBytes        int64         // bytes; a full stream refuses new messages
	ReplayWindow    time.Duration // how long messages stay after Postgres has them
	DuplicateWindow time.Duration // how long JetStream remembers ids
	Table           *Table        // filled instead of the messages table; nil: none
}

// Postgres is the database the streams are stored in.
type Postgres struct {
	URL        string // pgx connection string
	Migrate    bool   // run migrations at start
	MigrateURL string // where to run them, if not URL (behind a pooler)
}

// MigrationURL is where the tables are made: not through a pooler, if the
// file names another way.
func (p Postgres) MigrationURL() string {
	if p.MigrateURL != "" {
		return p.MigrateURL
	}
	return p.URL
}

// Replicas is the replication factor of streams and consumers: one on a
// single node, otherwise three.
func (c *Config) Replicas() int {
	if len(c.Nodes) == 1 {
		return 1
	}
	return 3
}

// Node returns the node of that name.
func (c *Config) Node(name string) (Node, bool) {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// NodeNames lists the nodes' names in file order.
func (c *Config) NodeNames() []string {
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	return names
}

// ClientURLs are the nodes' NATS addresses, as NATS clients take them: they
// try them in random order, and another one when their own goes away.
func (c *Config) ClientURLs() string {
	urls := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		urls[i] = "nats://" + n.Client
	}
	return strings.Join(urls, ",")
}

// DataDir is the directory in which a node keeps its files.
func (c *Config) DataDir(node string) string {
	return filepath.Join(c.Data, node)
}

// Status is the address of the node's status page.
func (n Node) Status() string {
	if n.Admin != "" {
		return n.Admin
	}
	return n.HTTP
}

// Bind turns one of the node's addresses, which others use, into the one to
// bind here: the same port on the Listen host, if there is one.
func (n Node) Bind(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if n.Listen == "" || err != nil {
		return addr
	}
	return net.JoinHostPort(n.Listen, port)
}
