package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/node"
	"landfall/node/nodetest"
)

// lookTime is so long that whatever is taken for a failure would have been told.
const lookTime = 13 * time.Second

// Streams that come and go, leaders that change, and replicas that catch up are
// no failures. (Start sees to it that no node has given up when a test is over.)
func TestGroupsComeAndGo(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 3)
	nodes := nodetest.Start(t, c)
	js := jetStream(t, nodetest.Connect(t, nodes[0]))
	keepPublishing(t, c, nodes[0])
	for began, round := time.Now(), 0; time.Since(began) < lookTime; round++ {
		leader(t, nodes, leadsStream).HandOver(t.Context())
		nodetest.Kill(nodes[2])
		if round%2 == 0 {
			if err := js.DeleteStream(t.Context(), "MESSAGES"); err != nil {
				t.Log(err) // nobody answers, just now
			}
		}
		var err error
		if nodes[2], err = nodetest.StartNode(t, c, "n3"); err != nil {
			t.Fatal(err)
		}
		if err := nodes[2].WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := nodes[2].EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// keepPublishing goes on until the test is over.
func keepPublishing(t *testing.T, c *cluster.Config, to *node.Node) {
	t.Helper()
	js := jetStream(t, nodetest.Connect(t, to))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	acked := make(chan struct{}, 1)
	go func() {
		defer close(ended)
		body := make([]byte, 500)
		for ctx.Err() == nil {
			try, done := context.WithTimeout(ctx, time.Second)
			_, err := js.Publish(try, c.Streams[0].Subjects[0], body, jetstream.WithRetryAttempts(0))
			done()
			if err != nil {
				continue
			}
			select {
			case acked <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
	<-acked
}

// A node that the others have left waits for them.
func TestGroupsWithoutQuorum(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	publish(t, nodetest.Connect(t, nodes[2]), "messages", 1, 100, 100)
	nodetest.Kill(nodes[0])
	nodetest.Kill(nodes[1])
	select {
	case err := <-nodes[2].Fatal():
		t.Errorf("left alone it gives up: %v", err)
	case <-time.After(lookTime):
	}
}

// A change of the cluster's own leader is told, once.
func TestMetaElected(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	var others []*node.Node
	var old *node.Node
	for _, n := range nodes {
		if n.LeadsAll() {
			old = n
		} else {
			others = append(others, n)
		}
	}
	if len(others) != 2 {
		t.Fatalf("%d of 3 nodes do not lead the cluster", len(others))
	}
	elected := 0
	look := node.LookAtGroups(others[0], func() { elected++ })
	for range 2 {
		if err := look(); err != nil {
			t.Fatal(err)
		}
	}
	if elected != 0 {
		t.Errorf("%d elections before there was another one", elected)
	}
	nodetest.Kill(old)
	nodetest.Await(t, "another leader of the cluster", func() bool {
		if err := look(); err != nil {
			t.Fatal(err)
		}
		return elected == 1
	})
}
