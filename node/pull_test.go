package node_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"landfall/cluster"
	"landfall/message"
	"landfall/node"
	"landfall/node/nodetest"
)

// receive takes messages until it has count of them, and fails unless they
// are in sequence from from on.
func receive(t testing.TB, p *node.Pull, from uint64, count int) []message.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	var all []message.Message
	for len(all) < count {
		got, err := p.Recv(ctx)
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		for _, m := range got {
			if want := from + uint64(len(all)); m.Seq != want {
				t.Fatalf("got message %d, want %d", m.Seq, want)
			}
			all = append(all, m)
		}
	}
	return all
}

func TestPullDeliversInOrder(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	nc := nodetest.Connect(t, leader(t, nodes, leadsConsumer))
	publish(t, nc, "messages.a", 1, 12_000, 200) // more than two requests ask for

	source := leader(t, nodes, leadsConsumer).Source(nc, nodetest.Stream("MESSAGES"))
	p := open(t, source, 1)
	for i, m := range receive(t, p, 1, 12_000) {
		if want := fmt.Sprint(i + 1); string(m.Data[:len(want)]) != want || m.Subject != "messages.a" {
			t.Fatalf("message %d is %q on %s", m.Seq, m.Data, m.Subject)
		}
		if age := time.Since(m.Time); age < 0 || age > time.Minute {
			t.Fatalf("message %d is of %s", m.Seq, m.Time)
		}
	}

	// One more arrives on its own, at once.
	publish(t, nc, "messages.b", 12_001, 1, 200)
	receive(t, p, 12_001, 1)
	p.Close()
	if _, err := p.Recv(t.Context()); !errors.Is(err, node.ErrPullClosed) {
		t.Errorf("Recv after Close: %v", err)
	}

	// Backwards, and forwards again.
	for _, from := range []uint64{1, 11_000, 5, 12_001} {
		p := open(t, source, from)
		receive(t, p, from, int(min(2_000, 12_002-from)))
		p.Close()
	}
}

func open(t testing.TB, s *node.Source, from uint64) *node.Pull {
	t.Helper()
	var p *node.Pull
	nodetest.Await(t, "the pull to open", func() bool {
		var err error
		if p, err = s.Open(t.Context(), from); err != nil {
			t.Logf("open: %v", err)
		}
		return err == nil
	})
	t.Cleanup(p.Close)
	return p
}

// A message may look like a status: any header, any subject that the stream
// takes, no body.
func TestPullTellsMessagesFromStatuses(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	nc := nodetest.Connect(t, n)
	for _, h := range []nats.Header{
		{"Status": {"409"}, "Description": {"Consumer Deleted"}},
		{"Nats-Pending-Messages": {"0"}},
		{"Nats-Msg-Id": {"x"}, "Bytes": {"\xff\xfe"}},
		nil,
	} {
		if _, err := nc.RequestMsgWithContext(t.Context(), &nats.Msg{Subject: "messages", Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	got := receive(t, open(t, n.Source(nc, nodetest.Stream("MESSAGES")), 1), 1, 4)
	if got[2].ID() != "x" || got[2].Header["Bytes"][0] != "\xff\xfe" || got[3].Header != nil {
		t.Errorf("headers are %v and %v", got[2].Header, got[3].Header)
	}
}

// Big messages end requests by their bytes, not by their number. And a sink
// that takes nothing for a while neither makes messages pile up, nor loses its
// pull.
func TestPullWaitsForSlowSink(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Config(t, 1))[0]
	nc := nodetest.Connect(t, n)
	publish(t, nc, "messages", 1, 60, 1_000_000)
	p := open(t, n.Source(nc, nodetest.Stream("MESSAGES")), 1)
	first, err := p.Recv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := first[0].Seq + uint64(len(first))
	began := time.Now()
	nodetest.Await(t, "longer than a silent consumer is given", func() bool { return time.Since(began) > 2500*time.Millisecond })
	waiting := nc.Stats().InBytes/1_000_000 + 1 - from
	if waiting < 1 || waiting > 16 {
		t.Errorf("%d MB are waiting for the sink", waiting)
	}
	receive(t, p, from, int(61-from))
}

func TestPullEndsWithItsLeader(t *testing.T) {
	t.Parallel()
	nodes := nodetest.Start(t, nodetest.Config(t, 3))
	old := leader(t, nodes, leadsConsumer)
	nc := nodetest.Connect(t, old)
	publish(t, nc, "messages", 1, 100, 100)
	source := old.Source(nc, nodetest.Stream("MESSAGES"))
	p := open(t, source, 1)
	receive(t, p, 1, 100)

	if err := source.StepDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	if got, err := p.Recv(ctx); !errors.Is(err, node.ErrPullEnded) && !errors.Is(err, node.ErrPullSilent) {
		t.Fatalf("after a leadership change: %v, %v", got, err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the pull took %s to end", took)
	}

	next := leader(t, nodes, leadsConsumer)
	nc2 := nodetest.Connect(t, next)
	receive(t, open(t, next.Source(nc2, nodetest.Stream("MESSAGES")), 51), 51, 50)
}

// BenchmarkPull drains 200,000 messages of 256 bytes from one real node.
func BenchmarkPull(b *testing.B) {
	const count, size = 200_000, 256
	cfg := nodetest.Config(b, 1)
	n := nodetest.Start(b, cfg)[0]
	nodetest.Kill(n)
	fill(b, cfg, count, size)
	n = nodetest.Start(b, cfg)[0]
	source := n.Source(nodetest.Connect(b, n), cfg.Streams[0])
	b.ReportAllocs()
	for b.Loop() {
		p := open(b, source, 1)
		for got := 0; got < count; {
			batch, err := p.Recv(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if want := uint64(got + 1); batch[0].Seq != want {
				b.Fatalf("got message %d, want %d", batch[0].Seq, want)
			}
			got += len(batch)
		}
		p.Close()
	}
	b.ReportMetric(float64(b.N*count)/b.Elapsed().Seconds(), "msgs/s")
}

// fill stores messages in a stopped single node's directory, through a server
// that does not sync: alone, a node syncs every message on its own.
func fill(b *testing.B, cfg *cluster.Config, count, size int) {
	b.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: cfg.Nodes[0].Name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(cfg.Data, cfg.Nodes[0].Name),
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
	}()
	if !s.ReadyForConnections(nodetest.Patience) {
		b.Fatal("the server that fills the stream is not ready")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	publish(b, nc, "messages.bench", 1, count, size)
}
