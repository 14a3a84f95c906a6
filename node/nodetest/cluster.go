// Package nodetest starts small clusters of embedded servers for tests: real
// ones, on free ports, with their files in the test's own directory.
package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"landfall/cluster"
	"landfall/node"
)

// Patience is how long a test waits for what must happen.
const Patience = 20 * time.Second

// Config describes a cluster of that many nodes, with one stream MESSAGES
// unless others are given.
func Config(t testing.TB, nodes int, streams ...cluster.Stream) *cluster.Config {
	t.Helper()
	if len(streams) == 0 {
		streams = []cluster.Stream{Stream("MESSAGES", "messages", "messages.>")}
	}
	c := &cluster.Config{
		// A name of its own: nodes of two tests must never become one cluster.
		Name: "test-" + uuid.NewString()[:8], Data: t.TempDir(), Sync: "always",
		ElectionTimeout: time.Second, Streams: streams,
	}
	addresses := FreeAddresses(t, 3*nodes)
	for i := range nodes {
		a := addresses[3*i:]
		c.Nodes = append(c.Nodes, cluster.Node{
			Name: fmt.Sprintf("n%d", i+1), Client: a[0], Route: a[1], HTTP: a[2],
		})
	}
	return c
}

// Stream is a stream small enough for a test's disk.
func Stream(name string, subjects ...string) cluster.Stream {
	return cluster.Stream{
		Name: name, Subjects: subjects, MaxBytes: 256 << 20,
		ReplayWindow: time.Hour, DuplicateWindow: 30 * time.Second,
	}
}

// Ports are chosen below those that other tests of ours use, and below the
// range from which the kernel takes the local ends of outgoing connections.
const lowPort, highPort = 10_000, 15_000

// FreeAddresses are loopback addresses nobody listens on, and no other test
// is given before this one has ended: the UDP port of the same number, which
// nobody wants, is held as the sign that it is taken.
func FreeAddresses(t testing.TB, count int) []string {
	t.Helper()
	var addresses []string
	for range 1000 {
		if len(addresses) == count {
			return addresses
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowPort+rand.IntN(highPort-lowPort)))
		guard, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = guard.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = guard.Close() })
		addresses = append(addresses, address)
	}
	t.Fatalf("only %d of %d free ports found", len(addresses), count)
	return nil
}

// Start starts all nodes of the cluster, waits until they have elected
// themselves and have their streams, and stops them when the test ends.
func Start(t testing.TB, c *cluster.Config) []*node.Node {
	t.Helper()
	nodes := make([]*node.Node, len(c.Nodes))
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var g errgroup.Group
	for i, member := range c.Nodes {
		g.Go(func() (err error) {
			if nodes[i], err = StartNode(t, c, member.Name); err != nil {
				return err
			}
			if err := nodes[i].WaitReady(ctx); err != nil {
				return err
			}
			return nodes[i].EnsureStreams(ctx)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return nodes
}

// StartNode starts one node, and kills its server when the test ends. Unless
// the test has heard of it, the node must not have given up by then.
func StartNode(t testing.TB, c *cluster.Config, name string) (*node.Node, error) {
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", name)
	n, err := node.Start(node.Options{Config: c, Name: name, Log: log})
	if err == nil {
		t.Cleanup(func() {
			select {
			case why := <-n.Fatal():
				t.Errorf("node %s has given up: %v", name, why)
			default:
			}
			Kill(n)
		})
	}
	return n, err
}

// Kill takes a node down at once.
func Kill(n *node.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.Stop(ctx)
}

// Connect returns a connection to the node that ends with the test.
func Connect(t testing.TB, n *node.Node) *nats.Conn {
	t.Helper()
	nc, err := n.Connect(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Await fails the test if the condition does not come true in time.
func Await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(Patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still waiting for: %s", what)
		}
	}
}
