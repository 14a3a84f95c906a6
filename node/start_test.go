package node_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/node"
	"landfall/node/nodetest"
)

func TestStartRefusesForeignDirectory(t *testing.T) {
	t.Parallel()
	other := func(change func(c *cluster.Config)) *cluster.Config {
		c := nodetest.Config(t, 1)
		nodetest.Kill(nodetest.Start(t, c)[0])
		change(c)
		return c
	}
	for name, c := range map[string]*cluster.Config{
		"another cluster": other(func(c *cluster.Config) { c.Name = "harbour" }),
		"another node": other(func(c *cluster.Config) {
			if err := os.Rename(filepath.Join(c.Data, "n1"), filepath.Join(c.Data, "m1")); err != nil {
				t.Fatal(err)
			}
			c.Nodes[0].Name = "m1"
		}),
		"a single node's": other(func(c *cluster.Config) {
			c.Nodes = append(c.Nodes, nodetest.Config(t, 2).Nodes...)
		}),
		"somebody else's": func() *cluster.Config {
			c := nodetest.Config(t, 1)
			if err := os.MkdirAll(filepath.Join(c.Data, "n1", "photos"), 0o700); err != nil {
				t.Fatal(err)
			}
			return c
		}(),
	} {
		_, err := nodetest.StartNode(t, c, c.Nodes[0].Name)
		if !errors.Is(err, node.ErrForeignDirectory) {
			t.Errorf("%s directory: %v", name, err)
		}
	}
}

func TestStartLocksDirectory(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 1)
	n := nodetest.Start(t, c)[0]
	if _, err := nodetest.StartNode(t, c, "n1"); !errors.Is(err, node.ErrDirectoryInUse) {
		t.Errorf("a second process on the directory: %v", err)
	}
	nodetest.Kill(n)
	nodetest.Start(t, c) // freed, and recognised
}

func TestStartChecksPortsAndDisk(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"client", "route"} {
		c := nodetest.Config(t, 3)
		address := map[string]string{"client": c.Nodes[0].Client, "route": c.Nodes[0].Route}[which]
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		_, err = nodetest.StartNode(t, c, "n1")
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), which) {
			t.Errorf("%s port in use: %v", which, err)
		}
	}

	c := nodetest.Config(t, 1)
	c.Streams[0].MaxBytes = 1 << 50
	if _, err := nodetest.StartNode(t, c, "n1"); !errors.Is(err, node.ErrDiskRoom) {
		t.Errorf("a disk that is too small: %v", err)
	}
	if _, err := nodetest.StartNode(t, nodetest.Config(t, 1), "n9"); err == nil {
		t.Error("a node that is not in the file starts")
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 3)
	c.Token = "s3cret"
	nodes := nodetest.Start(t, c) // routes and own connections know it
	publish(t, nodetest.Connect(t, nodes[2]), "messages", 1, 10, 10)
	if nc, err := nats.Connect("nats://" + c.Nodes[0].Client); err == nil {
		nc.Close()
		t.Error("a client without the token is let in")
	}
	nc, err := nats.Connect("nats://s3cret@" + c.Nodes[0].Client)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestImpossibleStream(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 1, nodetest.Stream("A", "a.>"))
	n := nodetest.Start(t, c)[0]
	overlapping := nodetest.Stream("B", "a.b")
	var wrong *node.StreamError
	if err := n.EnsureStream(t.Context(), overlapping); !errors.As(err, &wrong) || wrong.Stream != "B" {
		t.Errorf("overlapping subjects: %v", err)
	}
	_, err := jetStream(t, nodetest.Connect(t, n)).CreateStream(t.Context(), memoryStream("C"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.EnsureStream(t.Context(), nodetest.Stream("C", "c")); !errors.As(err, &wrong) || wrong.Stream != "C" {
		t.Errorf("a stream in memory: %v", err)
	}
}

func TestFatalWhenServerGoesAway(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 1)
	n := nodetest.Start(t, c)[0]
	if err := n.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-n.Fatal():
		if err == nil {
			t.Error("no reason given")
		}
	case <-time.After(nodetest.Patience):
		t.Error("a server without JetStream is not reported")
	}
	if n.Ready() == nil {
		t.Error("ready without JetStream")
	}
}

func memoryStream(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: name, Subjects: []string{"c"}, Storage: jetstream.MemoryStorage}
}
