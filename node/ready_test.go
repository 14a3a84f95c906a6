package node_test

import (
	"context"
	"testing"
	"time"

	"landfall/node"
	"landfall/node/nodetest"
)

// While the others elect a leader a node stays ready: all of them would be out
// at once otherwise.
func TestReadyDuringElection(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	for _, n := range nodes {
		nodetest.Await(t, "readiness", func() bool { return n.Ready() == nil })
	}
	old := leader(t, nodes, leadsStream)
	var others []*node.Node
	for _, n := range nodes {
		if n != old {
			others = append(others, n)
		}
	}
	nodetest.Kill(old)
	nodetest.Await(t, "another leader", func() bool {
		for _, n := range others {
			if err := n.Ready(); err != nil {
				t.Errorf("during the election: %v", err)
				return true
			}
		}
		return leadsStream(others[0]) || leadsStream(others[1])
	})
}

// A node that was away has caught up when it has what the others have.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 3)
	nodes := nodetest.Start(t, c)
	nodetest.Kill(nodes[2])
	const count = 3000
	leader(t, nodes[:2], leadsStream)
	publish(t, nodetest.Connect(t, nodes[0]), "messages", 1, count, 4000)
	again, err := nodetest.StartNode(t, c, "n3")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	if err := again.CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	if has := again.LastSeq("MESSAGES"); has != count {
		t.Errorf("after %s n3 says that it has caught up, and has %d of %d messages", time.Since(began), has, count)
	}
}
