package node_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"landfall/node"
	"landfall/node/nodetest"
)

// A leader that dies with messages that no other node has got must be a replica
// again soon, however many they were and while messages come in.
func TestDeposedLeaderComesBack(t *testing.T) {
	t.Parallel()
	c := nodetest.Config(t, 3)
	nodes := nodetest.Start(t, c)
	publish(t, nodetest.Connect(t, nodes[0]), "messages", 1, 100, 100)
	old := leader(t, nodes, leadsStream)
	at := slices.Index(nodes, old)
	others := []int{(at + 1) % 3, (at + 2) % 3}
	for _, i := range others {
		nodetest.Kill(nodes[i])
	}
	publishInVain(t, old, 40)
	nodetest.Kill(old)

	start := func(i int) {
		var err error
		if nodes[i], err = nodetest.StartNode(t, c, c.Nodes[i].Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range others {
		start(i)
	}
	up := nodes[others[0]]
	if err := up.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	keepPublishing(t, c, up)
	nodetest.Await(t, "hundreds more", func() bool { return up.LastSeq("MESSAGES") > 500 })

	start(at)
	began := time.Now()
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Second) // without help it takes more than a minute
	defer cancel()
	if err := nodes[at].WaitReady(soon); err != nil {
		t.Fatal(err)
	}
	if err := nodes[at].CatchUp(soon); err != nil {
		t.Fatal(err)
	}
	t.Logf("a replica again after %s", time.Since(began).Round(time.Millisecond))
}

// publishInVain gives a leader that is alone messages for its log, each in an
// entry of its own, until it knows that it is alone.
func publishInVain(t *testing.T, to *node.Node, count int) {
	t.Helper()
	nc := nodetest.Connect(t, to)
	first := to.RaftEntries("MESSAGES")
	for last := first; last < first+uint64(count); last = to.RaftEntries("MESSAGES") {
		if err := nc.Publish("messages", make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if !eventually(time.Second, func() bool { return to.RaftEntries("MESSAGES") > last }) {
			break
		}
	}
	if lone := to.RaftEntries("MESSAGES") - first; lone < 20 {
		t.Fatalf("only %d entries that no other node has", lone)
	}
}

func eventually(patience time.Duration, condition func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for enough := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-enough:
			return false
		}
	}
	return true
}
