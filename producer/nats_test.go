package producer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
)

// theStreams are what the tests' cluster.yaml would say.
var theStreams = []cluster.Stream{
	{Name: "MESSAGES", Subjects: []string{"messages", "messages.>"}},
	{Name: "SMALL", Subjects: []string{"small.*"}},
}

// startServer runs a nats-server until the test ends.
func startServer(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs, o.JetStream = "127.0.0.1", true, true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopServer(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server does not take connections")
	}
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// dial connects like a node does: for ever, and without a hidden buffer.
func dial(t testing.TB, s *server.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // broken pipes are part of the tests
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// eventually waits for a condition, for as long as the test machine may need.
func eventually(t testing.TB, what string, holds func() bool) {
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

// createStreams makes theStreams as a node makes them. SMALL is full after
// two messages.
func createStreams(t testing.TB, js jetstream.JetStream, replicas int) {
	t.Helper()
	for _, s := range theStreams {
		c := jetstream.StreamConfig{
			Name: s.Name, Subjects: s.Subjects, Replicas: replicas,
			Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, AllowDirect: true, Duplicates: 30 * time.Second,
		}
		if s.Name == "SMALL" {
			c.MaxMsgs = 2
		}
		eventually(t, "stream "+s.Name+" is there", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := js.CreateStream(ctx, c)
			return err == nil
		})
	}
}

// storedIn reads messages back as a node does.
func storedIn(js jetstream.JetStream) func(context.Context, string, uint64) (message.Message, bool, error) {
	return func(ctx context.Context, stream string, seq uint64) (message.Message, bool, error) {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return message.Message{}, false, err
		}
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return message.Message{}, false, nil
		}
		if err != nil {
			return message.Message{}, false, err
		}
		for _, k := range []string{"Nats-Stream", "Nats-Sequence", "Nats-Subject", "Nats-Time-Stamp"} {
			delete(m.Header, k) // a direct get adds them, and a node takes them out
		}
		return message.Message{Seq: m.Sequence, Subject: m.Subject, Header: m.Header, Data: m.Data, Time: m.Time}, true, nil
	}
}

// state of a stream, by its leader.
func state(t testing.TB, js jetstream.JetStream, stream string) jetstream.StreamState {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State
}

// opened is a door with a single real server behind it.
func opened(t testing.TB, o Options) (*Door, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, js := dial(t, startServer(t, &server.Options{StoreDir: t.TempDir(), SyncAlways: true}))
	createStreams(t, js, 1)
	o.Streams = theStreams
	d := New(o)
	if err := d.Open(Backend{Publisher: js, Stored: storedIn(js), Conn: nc}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, nc, js
}

// freePorts are free at the moment of asking, and below the range from which
// the kernel takes the local ends of outgoing connections.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range 1000 {
		if len(ports) == n {
			break
		}
		port := 5_000 + rand.IntN(5_000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			defer l.Close() // together, so that all differ
			ports = append(ports, port)
		}
	}
	return ports
}

// startCluster runs three servers, and returns a connection to each.
func startCluster(t testing.TB) ([]*nats.Conn, []jetstream.JetStream) {
	t.Helper()
	_, conns, streams := startServers(t)
	return conns, streams
}

func startServers(t testing.TB) ([]*server.Server, []*nats.Conn, []jetstream.JetStream) {
	t.Helper()
	ports := freePorts(t, 3)
	var routes []*url.URL
	for _, p := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	var conns []*nats.Conn
	var streams []jetstream.JetStream
	var servers []*server.Server
	for i, p := range ports {
		servers = append(servers, startServer(t, &server.Options{
			ServerName: fmt.Sprintf("n%d", i+1), StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: p}, Routes: routes,
		}))
	}
	for _, s := range servers {
		nc, js := dial(t, s)
		conns, streams = append(conns, nc), append(streams, js)
	}
	return servers, conns, streams
}
