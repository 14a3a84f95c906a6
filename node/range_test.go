package node_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
	"landfall/node"
	"landfall/node/nodetest"
)

// ranged reads a range until the replica that answers has the last message.
func ranged(t testing.TB, s *node.Source, first, last, until uint64) (found []message.Message) {
	t.Helper()
	nodetest.Await(t, fmt.Sprintf("messages from %d to %d", first, last), func() bool {
		var err error
		if found, err = s.Range(t.Context(), first, last); err != nil && !errors.Is(err, node.ErrNoAnswer) {
			t.Fatal(err)
		}
		return err == nil && (until == 0 && len(found) == 0 || len(found) > 0 && found[len(found)-1].Seq == until)
	})
	return found
}

func TestRange(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	nc := nodetest.Connect(t, nodes[0])
	publish(t, nc, "messages.keep", 1, 3, 20)
	publish(t, nc, "messages.hole", 4, 3, 20)
	// Headers that look like what a direct get adds must not mislead.
	spoof := nats.Header{
		"Nats-Sequence": {"1"}, "Nats-Subject": {"elsewhere"}, "Nats-Msg-Id": {"seven"},
		"Nats-Num-Pending": {"5"}, "Nats-Last-Sequence": {"1"}, "Status": {"204"},
	}
	js := jetStream(t, nc)
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "messages.keep", Header: spoof, Data: []byte("7")}); err != nil {
		t.Fatal(err)
	}
	publish(t, nc, "messages.keep", 8, 300, 20)
	stream, err := js.Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("messages.hole")); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes { // each asks the replica that is nearest to it
		s := n.Source(nodetest.Connect(t, n), nodetest.Stream("MESSAGES"))
		nodetest.Await(t, "the hole on every node", func() bool {
			m, err := s.Range(t.Context(), 4, 7)
			return err == nil && len(m) == 1
		})
		for _, c := range []struct {
			first, last uint64
			want        []uint64
		}{
			{1, 3, []uint64{1, 2, 3}}, {2, 2, []uint64{2}}, {3, 8, []uint64{3, 7, 8}},
			{4, 6, nil}, {307, 400, []uint64{307}}, {308, 308, nil}, {1000, 2000, nil},
		} {
			var until uint64
			if len(c.want) > 0 {
				until = c.want[len(c.want)-1]
			}
			var got []uint64
			for _, m := range ranged(t, s, c.first, c.last, until) {
				got = append(got, m.Seq)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("from %d to %d: %v", c.first, c.last, got)
			}
		}
		if all := ranged(t, s, 1, 307, 307); len(all) != 304 {
			t.Errorf("%d messages in all", len(all))
		}
		// The same as what the leader tells of it.
		got := ranged(t, s, 7, 8, 8)
		seven, _, err := s.Nearest(t.Context(), 7)
		if err != nil || !got[0].Fingerprint().Equal(seven.Fingerprint()) || got[0].Subject != "messages.keep" || string(got[0].Data) != "7" ||
			fmt.Sprint(got[0].Header) != fmt.Sprint(seven.Header) || got[1].Header != nil {
			t.Errorf("%+v, and by the leader %+v, %v", got, seven, err)
		}
		for _, c := range [][2]uint64{{0, 1}, {2, 1}} {
			if _, err := s.Range(t.Context(), c[0], c[1]); err == nil {
				t.Errorf("from %d to %d is not refused", c[0], c[1])
			}
		}
	}
}

// An answer ends behind a mebibyte.
func TestRangeOfLargeMessages(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	nc := nodetest.Connect(t, n)
	publish(t, nc, "messages", 1, 10, 300_000)
	got, err := n.Source(nc, nodetest.Stream("MESSAGES")).Range(t.Context(), 2, 10)
	if err != nil || len(got) != 4 || got[0].Seq != 2 || got[3].Seq != 5 {
		t.Errorf("%d messages, %v", len(got), err)
	}
}

// Nobody who answers is an error, and no emptiness.
func TestRangeWithoutAnswer(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	if _, err := n.Source(nodetest.Connect(t, n), nodetest.Stream("OTHER")).Range(t.Context(), 1, 2); !errors.Is(err, node.ErrNoAnswer) {
		t.Error(err)
	}
}
