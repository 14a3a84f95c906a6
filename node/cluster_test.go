package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/node"
	"landfall/node/nodetest"
)

// leader returns the node that leads the stream.
func leader(t testing.TB, nodes []*node.Node, leads func(*node.Node) bool) *node.Node {
	t.Helper()
	var found *node.Node
	nodetest.Await(t, "a leader", func() bool {
		for _, n := range nodes {
			if leads(n) {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func leadsStream(n *node.Node) bool   { return n.LeadsStream("MESSAGES") }
func leadsConsumer(n *node.Node) bool { return n.LeadsConsumer("MESSAGES") }

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish stores count messages and returns when all are acknowledged.
func publish(t testing.TB, nc *nats.Conn, subject string, from, count, size int) {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		t.Fatal(err)
	}
	awaitTaken(t, js, subject)
	var acks []jetstream.PubAckFuture
	for i := range count {
		body := make([]byte, size)
		copy(body, fmt.Sprint(from+i))
		ack, err := js.PublishAsync(subject, body, jetstream.WithStallWait(nodetest.Patience))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(nodetest.Patience):
		t.Fatal("publishing took too long")
	}
	for _, ack := range acks {
		select {
		case err := <-ack.Err():
			t.Fatal(err)
		case <-ack.Ok():
		}
	}
}

// awaitTaken waits until the subject is known here to be a stream's: a node
// hears of a new leader's subscription a moment after the leader does.
func awaitTaken(t testing.TB, js jetstream.JetStream, subject string) {
	t.Helper()
	const wrongStream = 10060 // the stream's own answer, and it stores nothing: errors.json of nats-server
	nodetest.Await(t, "a stream that takes "+subject, func() bool {
		_, err := js.Publish(t.Context(), subject, nil, jetstream.WithExpectStream("no such stream"), jetstream.WithRetryAttempts(0))
		var answer *jetstream.APIError
		return errors.As(err, &answer) && answer.ErrorCode == wrongStream
	})
}

func TestEnsureStreamsTogether(t *testing.T) {
	t.Parallel()
	cfg := nodetest.Config(t, 3)
	nodes := nodetest.Start(t, cfg) // all three ensure at once
	js := jetStream(t, nodetest.Connect(t, nodes[0]))
	ctx := t.Context()

	stream, err := js.Stream(ctx, "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	got := stream.CachedInfo().Config
	first := got.Metadata[node.IncarnationKey]
	if first == "" {
		t.Fatal("the stream has no incarnation")
	}
	if got.Replicas != 3 || got.Storage != jetstream.FileStorage || got.Discard != jetstream.DiscardNew ||
		!got.DenyDelete || !got.AllowDirect || got.MaxBytes != 256<<20 || got.MaxAge != 0 || got.Duplicates != 30*time.Second {
		t.Errorf("stream is %+v", got)
	}
	consumer, err := js.Consumer(ctx, "MESSAGES", node.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo().Config; c.Replicas != 3 || !c.MemoryStorage || c.AckPolicy != jetstream.AckNonePolicy {
		t.Errorf("consumer is %+v", c)
	}

	// A changed cluster.yaml reaches the stream; what others put into its
	// metadata stays.
	changed := got
	changed.Metadata["team"] = "harbour"
	if _, err := js.UpdateStream(ctx, changed); err != nil {
		t.Fatal(err)
	}
	cfg.Streams[0].Subjects = []string{"messages", "messages.>", "letters"}
	cfg.Streams[0].MaxBytes = 300 << 20
	cfg.Streams[0].DuplicateWindow = time.Minute
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(func() error { return n.EnsureStreams(ctx) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	after, err := stream.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cfg.Streams[0].Subjects, after.Config.Subjects); d != "" {
		t.Error(d)
	}
	if after.Config.MaxBytes != 300<<20 || after.Config.Duplicates != time.Minute {
		t.Errorf("stream is %+v", after.Config)
	}
	if m := after.Config.Metadata; m[node.IncarnationKey] != first || m["team"] != "harbour" {
		t.Errorf("metadata became %v", m)
	}

	// Deleted by hand it comes back, as another one.
	if err := js.DeleteStream(ctx, "MESSAGES"); err != nil {
		t.Fatal(err)
	}
	if err := nodes[1].EnsureStreams(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := js.Stream(ctx, "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if id := again.CachedInfo().Config.Metadata[node.IncarnationKey]; id == "" || id == first {
		t.Errorf("the new stream's incarnation is %q, the old one's was %q", id, first)
	}
}

func TestReadyFollowsQuorum(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	for _, n := range nodes {
		nodetest.Await(t, "readiness", func() bool { return n.Ready() == nil })
	}
	nodetest.Kill(nodes[0])
	nodetest.Kill(nodes[1])
	nodetest.Await(t, "the last node to say that it is not ready", func() bool { return nodes[2].Ready() != nil })
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	old := leader(t, nodes, leadsStream)
	nc := nodetest.Connect(t, nodes[0])
	publish(t, nc, "messages", 1, 500, 100)

	began := time.Now()
	old.HandOver(t.Context())
	if leadsStream(old) || leadsConsumer(old) {
		t.Fatal("still leader after HandOver")
	}
	if stream := leader(t, nodes, leadsStream); stream == old {
		t.Fatal("the leader came back")
	}
	if consumer := leader(t, nodes, leadsConsumer); consumer == old {
		t.Fatal("the consumer's leader came back")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("hand-over took %s", took)
	}
}

func TestHandOverAloneOrWithoutQuorum(t *testing.T) {
	t.Parallel()
	alone := nodetest.Start(t, nodetest.Config(t, 1))[0]
	alone.HandOver(t.Context())
	if !alone.LeadsConsumer("MESSAGES") || !alone.LeadsStream("MESSAGES") {
		t.Error("a single node leads everything")
	}

	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	last := leader(t, nodes, leadsStream)
	for _, n := range nodes {
		if n != last {
			nodetest.Kill(n)
		}
	}
	began := time.Now()
	last.HandOver(t.Context())
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("HandOver without anybody to take over took %s", took)
	}
}

func TestStopIsGraceful(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	nodes[0].HandOver(ctx)
	nodes[0].Stop(ctx)
	select {
	case err := <-nodes[0].Fatal():
		t.Errorf("a planned stop is reported as fatal: %v", err)
	default:
	}
	leader(t, nodes[1:], leadsStream)
	publish(t, nodetest.Connect(t, nodes[1]), "messages", 1, 100, 100)
}
