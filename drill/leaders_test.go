package drill

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// natsCluster runs three embedded nats-servers with the stream and its
// consumer, as nodes would have them.
func natsCluster(t *testing.T) (servers map[string]*server.Server, urls []string) {
	t.Helper()
	ports, err := freePorts(6)
	if err != nil {
		t.Fatal(err)
	}
	var routes []*url.URL
	for _, p := range ports[3:] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: loopback(p)})
	}
	servers = make(map[string]*server.Server)
	for i := range 3 {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprintf("n%d", i+1), Host: "127.0.0.1", Port: ports[i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "drill", Host: "127.0.0.1", Port: ports[3+i]},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers[s.Name()] = s
		urls = append(urls, "nats://"+loopback(ports[i]))
	}
	return servers, urls
}

func TestLeaders(t *testing.T) {
	t.Parallel()
	ctx := within(t, 60*time.Second)
	servers, urls := natsCluster(t)
	door, err := NewNATSDoor(urls)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	err = poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		// While there is no leader nobody answers.
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		s, err := door.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: Stream, Subjects: []string{"messages.>"}, Replicas: 3})
		if err != nil {
			return false, nil
		}
		_, err = s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: Consumer, AckPolicy: jetstream.AckNonePolicy, Replicas: 3})
		return err == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// Every node in turn is made to lead both, and the servers agree.
	for name := range servers {
		if err := LeadBoth(ctx, door.nc, Stream, name); err != nil {
			t.Fatal(err)
		}
		if now, err := WhoLeads(ctx, door.nc, Stream); err != nil || now != (Leaders{name, name}) {
			t.Errorf("%+v, %v: want %s", now, err, name)
		}
		if !servers[name].JetStreamIsStreamLeader("$G", Stream) || !servers[name].JetStreamIsConsumerLeader("$G", Stream, Consumer) {
			t.Errorf("%s itself does not think so", name)
		}
	}

	// A message goes in once, however often it is sent.
	m := Message{ID: "m-1", Subject: "messages.x", Body: []byte("one")}
	first := Deliver(ctx, door, m, 20*time.Second)
	again := Deliver(ctx, door, m, 20*time.Second)
	if first.Outcome != Acked || first.Seq != 1 || first.Stream != Stream || first.Duplicate {
		t.Errorf("first %+v", first)
	}
	if again.Outcome != Acked || again.Seq != 1 || !again.Duplicate {
		t.Errorf("again %+v", again)
	}
	if told := Deliver(ctx, door, Message{ID: "m-2", Subject: "messages.x y"}, 20*time.Second); told.Outcome != Refused {
		t.Errorf("a subject with a space: %+v", told)
	}

	// The leader dies: another takes over, and publishing goes on.
	lost, err := WhoLeads(ctx, door.nc, Stream)
	if err != nil {
		t.Fatal(err)
	}
	servers[lost.Stream].Shutdown()
	if told := Deliver(ctx, door, Message{ID: "m-3", Subject: "messages.x"}, 40*time.Second); told.Outcome != Acked || told.Seq != 2 {
		t.Errorf("after the leader died: %+v", told)
	}
	now, err := AwaitLeaders(ctx, door.nc, Stream, func(l Leaders) bool { return l.Stream != lost.Stream && l.Consumer != lost.Stream })
	if err != nil {
		t.Errorf("%+v, %v", now, err)
	}
}
