package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
	"landfall/node"
	"landfall/node/nodetest"
)

func TestConfirmedStateRemovesNothing(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 3} {
		t.Run(fmt.Sprint(count, " nodes"), func(t *testing.T) {
			t.Parallel()
			nodes := nodetest.Start(t, nodetest.Config(t, count))
			nc := nodetest.Connect(t, nodes[0])
			s := nodes[0].Source(nc, nodetest.Stream("MESSAGES"))
			// In a slow moment nobody answers in time, or not surely enough:
			// whoever needs to know asks again.
			confirmed := func() (st message.Stream) {
				t.Helper()
				nodetest.Await(t, "a confirmed state", func() bool {
					var err error
					st, err = s.ConfirmedState(t.Context())
					if err != nil && !errors.Is(err, node.ErrNoQuorum) && !errors.Is(err, node.ErrNoAnswer) {
						t.Fatal(err)
					}
					return err == nil
				})
				return st
			}
			empty := confirmed()
			if empty.First != 1 || empty.Last != 0 || empty.Messages != 0 || empty.Incarnation == "" || empty.MaxBytes != 256<<20 {
				t.Errorf("an empty stream is %+v", empty)
			}
			publish(t, nc, "messages.a", 1, 200, 50)
			for range 5 {
				if got := confirmed(); got.First != 1 || got.Last != 200 || got.Messages != 200 {
					t.Errorf("the stream is %+v", got)
				}
			}
			plain, err := s.State(t.Context())
			if err != nil || plain.Messages != 200 {
				t.Errorf("afterwards: %+v, %v", plain, err)
			}
		})
	}
}

func TestConfirmedStateNeedsQuorum(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	last := leader(t, nodes, leadsStream)
	s := last.Source(nodetest.Connect(t, last), nodetest.Stream("MESSAGES"))
	for _, n := range nodes {
		if n != last {
			nodetest.Kill(n)
		}
	}
	if state, err := s.ConfirmedState(t.Context()); err == nil {
		t.Errorf("without a quorum: %+v", state)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	nc := nodetest.Connect(t, n)
	s := n.Source(nc, nodetest.Stream("MESSAGES"))
	publish(t, nc, "messages", 1, 20, 10)
	for _, seq := range []uint64{0, 1, 22, 1 << 40} {
		if err := s.Purge(t.Context(), seq); err == nil {
			t.Errorf("purging below %d is not refused", seq)
		}
	}
	for _, c := range []struct{ below, first, messages uint64 }{{2, 2, 19}, {11, 11, 10}, {21, 21, 0}} {
		if err := s.Purge(t.Context(), c.below); err != nil {
			t.Fatal(err)
		}
		got, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.First != c.first || got.Messages != c.messages || got.Last != 20 {
			t.Errorf("after purging below %d: %+v", c.below, got)
		}
	}
}

func TestReincarnate(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	nc := nodetest.Connect(t, nodes[0])
	s := nodes[0].Source(nc, nodetest.Stream("MESSAGES"))
	before, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Reincarnate(t.Context(), "somebody has done it already")
	if err != nil || again != before.Incarnation {
		t.Errorf("reincarnated although another is there: %q, %v", again, err)
	}
	next, err := s.Reincarnate(t.Context(), before.Incarnation)
	if err != nil || next == before.Incarnation || next == "" {
		t.Errorf("still %q, %v", next, err)
	}
	if err := nodes[1].EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.State(t.Context()); err != nil || got.Incarnation != next {
		t.Errorf("EnsureStreams changed it to %q, %v", got.Incarnation, err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	nc := nodetest.Connect(t, nodes[0])
	s := nodes[0].Source(nc, nodetest.Stream("MESSAGES"))
	publish(t, nc, "messages.keep", 1, 3, 20)
	publish(t, nc, "messages.hole", 4, 3, 20)
	// A header that looks like what a direct get adds must not mislead.
	spoof := nats.Header{"Nats-Sequence": {"1"}, "Nats-Subject": {"elsewhere"}, "Nats-Msg-Id": {"seven"}}
	if _, err := jetStream(t, nc).PublishMsg(t.Context(), &nats.Msg{Subject: "messages.keep", Header: spoof, Data: []byte("7")}); err != nil {
		t.Fatal(err)
	}
	stream, err := jetStream(t, nc).Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("messages.hole")); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		ask, want uint64
		found     bool
	}{{1, 1, true}, {3, 3, true}, {4, 7, true}, {6, 7, true}, {7, 7, true}, {8, 0, false}, {1000, 0, false}} {
		m, found, err := s.Nearest(t.Context(), c.ask)
		if err != nil {
			t.Fatal(err)
		}
		if m.Seq != c.want || found != c.found {
			t.Errorf("nearest to %d is %d, %v", c.ask, m.Seq, found)
		}
		if c.want == 7 && (m.ID() != "seven" || m.Subject != "messages.keep" || string(m.Data) != "7" || m.Header["Nats-Sequence"][0] != "1") {
			t.Errorf("message 7 is %+v", m)
		}
	}

	// Both ways of asking, and the consumer, tell the same.
	pulled := receive(t, open(t, leader(t, nodes, leadsConsumer).Source(nc, nodetest.Stream("MESSAGES")), 7), 7, 1)[0]
	asked, _, err := s.Nearest(t.Context(), 7)
	if err != nil || !asked.Time.Equal(pulled.Time) || asked.ID() != pulled.ID() {
		t.Errorf("asked %+v, pulled %+v, %v", asked, pulled, err)
	}
	direct, found, err := node.ReplicasNearest(context.Background(), s, 4)
	if err != nil || !found || direct.Seq != 7 || !direct.Fingerprint().Equal(pulled.Fingerprint()) ||
		direct.Subject != "messages.keep" || direct.Header["Nats-Sequence"][0] != "1" || direct.Header["Nats-Stream"] != nil {
		t.Errorf("a replica says %+v, %v, %v", direct, found, err)
	}
}

// Silence of the replicas is no evidence that a message is gone.
func TestNearestNeedsAReplicasWord(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	nc := nodetest.Connect(t, n)
	s := n.Source(nc, nodetest.Stream("MESSAGES"))
	if _, found, err := s.Nearest(t.Context(), 1); found || err != nil {
		t.Errorf("an empty stream: %v, %v", found, err)
	}
	js := jetStream(t, nc)
	stream, err := js.Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.AllowDirect = false
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Nearest(t.Context(), 1); found || !errors.Is(err, node.ErrNoAnswer) {
		t.Errorf("without direct gets: %v, %v", found, err)
	}
}

func TestStepDownAlone(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	s := n.Source(nodetest.Connect(t, n), nodetest.Stream("MESSAGES"))
	if err := s.StepDown(t.Context()); !errors.Is(err, node.ErrAlone) {
		t.Error(err)
	}
	if !s.Leads() {
		t.Error("a single node's sink is not active")
	}
}
