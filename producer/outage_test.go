package producer

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// A request is held while the server restarts, and is one message afterwards.
func TestHeldOverARestart(t *testing.T) {
	t.Parallel()
	o := &server.Options{StoreDir: t.TempDir(), Port: freePorts(t, 1)[0], SyncAlways: true}
	first := startServer(t, o.Clone())
	nc, js := dial(t, first)
	createStreams(t, js, 1)
	d := New(Options{Streams: theStreams})
	if err := d.Open(Backend{Publisher: js, Stored: storedIn(js), Conn: nc}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	stopServer(first)
	var held errgroup.Group
	for i := range 20 {
		held.Go(func() error {
			w := post("messages", "x", "Idempotency-Key", fmt.Sprint(i)).at(d)
			if w.Code != 200 {
				return fmt.Errorf("status %d: %s", w.Code, w.Body)
			}
			return nil
		})
	}
	eventually(t, "all are held", func() bool {
		d.gate.mu.Lock()
		defer d.gate.mu.Unlock()
		return d.gate.messages == 20
	})
	startServer(t, o)
	if err := held.Wait(); err != nil {
		t.Error(err)
	}
	if n := state(t, js, "MESSAGES").LastSeq; n != 20 {
		t.Errorf("last sequence %d, want 20", n)
	}
}

// With three servers, the stream's leader moves while messages are published
// through a door: every one is acknowledged and stored once, and the
// announcement of the new leader is heard.
func TestLeaderMoves(t *testing.T) {
	t.Parallel()
	conns, streams := startCluster(t)
	createStreams(t, streams[0], 3)
	d := New(Options{Streams: theStreams})
	if err := d.Open(Backend{Publisher: streams[1], Stored: storedIn(streams[1]), Conn: conns[1]}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	before := d.bells["MESSAGES"].next()
	const publishers, each = 8, 50
	var all errgroup.Group
	for p := range publishers {
		all.Go(func() error {
			for i := range each {
				w := post("messages", "x", "Idempotency-Key", fmt.Sprintf("%d-%d", p, i)).at(d)
				if w.Code != 200 {
					return fmt.Errorf("status %d: %s", w.Code, w.Body)
				}
			}
			return nil
		})
	}
	for range 3 {
		eventually(t, "the leader steps down", func() bool {
			_, err := conns[0].Request("$JS.API.STREAM.LEADER.STEPDOWN.MESSAGES", nil, 500*time.Millisecond)
			return err == nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	select {
	case <-before.Done():
	case <-time.After(15 * time.Second):
		t.Error("no announcement was heard")
	}
	eventually(t, "the stream tells its state", func() bool {
		_, err := streams[0].Stream(t.Context(), "MESSAGES")
		return err == nil
	})
	if n := state(t, streams[0], "MESSAGES").LastSeq; n != publishers*each {
		t.Errorf("last sequence %d, want %d", n, publishers*each)
	}
}

// The door listens where the server announces.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	if leaderElected != server.JSAdvisoryStreamLeaderElectedPre+"." {
		t.Errorf("servers announce on %s", server.JSAdvisoryStreamLeaderElectedPre)
	}
	d, nc, _ := opened(t, Options{})
	messages, small := d.bells["MESSAGES"].next(), d.bells["SMALL"].next()
	for _, stream := range []string{"UNKNOWN", "SMALL"} {
		if err := nc.PublishMsg(&nats.Msg{Subject: leaderElected + stream}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-small.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the bell did not ring")
	}
	if messages.Err() != nil || d.bells["SMALL"].next().Err() != nil {
		t.Error("the wrong bell rang, or the right one for ever")
	}
}
