package status

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func connect(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func startServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not take connections")
	}
	return s
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(15 * time.Second)
	for !holds() {
		select {
		case <-timeout:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func newPeers(t *testing.T, nc *nats.Conn, node string, postgres func() bool) *Peers {
	t.Helper()
	p, err := NewPeers(PeersOptions{
		Cluster: "landfall", Node: node, Nodes: []string{"n1", "n2", "n3"}, Conn: nc,
		Report: func() Report { return Report{Node: node, Version: "v1", PostgresOK: postgres()} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNodesTellEachOther(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	yes, no := func() bool { return true }, func() bool { return false }
	n1, n2, n3 := newPeers(t, connect(t, s), "n1", no), newPeers(t, connect(t, s), "n2", no), newPeers(t, connect(t, s), "n3", yes)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all errgroup.Group
	for _, p := range []*Peers{n1, n2, n3} {
		all.Go(func() error { return p.Run(ctx) })
	}
	for _, p := range []*Peers{n1, n2, n3} {
		eventually(t, p.o.Node+" hears the two others", func() bool { return len(p.Others()) == 2 })
	}
	if !n1.OtherReachesPostgres() || !n2.OtherReachesPostgres() || n3.OtherReachesPostgres() {
		t.Error("n3 alone reaches Postgres, and that is not what the others say")
	}
	third := n1.Others()[1]
	if third.Node != "n3" || third.Version != "v1" || !third.PostgresOK || !third.Fresh() {
		t.Errorf("n1 heard %+v", third)
	}
	stop()
	if err := all.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestReportsAge(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	nc := connect(t, s)
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t, nc, "n1", func() bool { return false })
		if p.OtherReachesPostgres() {
			t.Error("believes somebody although nobody spoke")
		}
		say := func(r Report) {
			t.Helper()
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.hear(data); err != nil {
				t.Fatal(err)
			}
		}
		// The sender's clock may be off by a year; ours counts.
		say(Report{Node: "n2", PostgresOK: true, Time: time.Now().AddDate(-1, 0, 0)})
		say(Report{Node: "n1", PostgresOK: true})
		<-time.After(fresh - time.Millisecond)
		if !p.OtherReachesPostgres() {
			t.Error("a fresh report is not believed")
		}
		<-time.After(time.Millisecond)
		if p.OtherReachesPostgres() {
			t.Error("an old report is believed")
		}
		say(Report{Node: "n2", PostgresOK: false})
		if p.OtherReachesPostgres() {
			t.Error("n2 said that it does not reach Postgres")
		}
		if got := p.Others(); len(got) != 1 || got[0].Node != "n2" {
			t.Errorf("heard %+v", got)
		}
	})
}

func TestNonsenseIsIgnored(t *testing.T) {
	t.Parallel()
	p := newPeers(t, connect(t, startServer(t)), "n1", func() bool { return false })
	for _, said := range []string{"", "{", "[]", `{"node":"n9","postgres_ok":true}`, `{"node":3}`} {
		if err := p.hear([]byte(said)); err == nil {
			t.Errorf("%q was taken for a report", said)
		}
	}
	if err := p.hear([]byte(`{"node":"n2","of a later version":1}`)); err != nil {
		t.Errorf("a later version's report: %v", err)
	}
}

func TestPeersRefuse(t *testing.T) {
	t.Parallel()
	nc, tell := connect(t, startServer(t)), func() Report { return Report{} }
	for name, o := range map[string]PeersOptions{
		"no connection":      {Cluster: "c", Node: "n1", Nodes: []string{"n1"}, Report: tell},
		"nothing to tell":    {Cluster: "c", Node: "n1", Nodes: []string{"n1"}, Conn: nc},
		"unknown node":       {Cluster: "c", Node: "n9", Nodes: []string{"n1"}, Conn: nc, Report: tell},
		"cluster of subject": {Cluster: "a.*", Node: "n1", Nodes: []string{"n1"}, Conn: nc, Report: tell},
	} {
		if _, err := NewPeers(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	closed := connect(t, startServer(t))
	closed.Close()
	if err := newPeers(t, closed, "n1", func() bool { return true }).Run(t.Context()); err == nil {
		t.Error("runs on a closed connection")
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
