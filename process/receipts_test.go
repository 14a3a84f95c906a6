package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/message"
	"landfall/node"
	"landfall/pgserver/pgtest"
)

// floors is what each node said before a message was sent.
func (c *testCluster) floors() map[string]uint64 {
	floors := map[string]uint64{}
	for name := range c.stops {
		floors[name] = c.nodes[name].receipts.Cursor("MESSAGES")
	}
	return floors
}

// awaitOnAll waits on every node that runs for the message, half a minute at
// most, and wants the same receipt from each.
func (c *testCluster) awaitOnAll(floors map[string]uint64, want message.Receipt) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	var all errgroup.Group
	for name := range c.stops {
		all.Go(func() error {
			got, err := c.nodes[name].receipts.Await(ctx, "MESSAGES", want.Seq, want.ID, floors[name])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if want.Rejected() && got.Reason != "" {
				got.Reason, got.SQLState = want.Reason, want.SQLState
			}
			if got != want {
				return fmt.Errorf("%s: %+v, want %+v", name, got, want)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		c.t.Error(err)
	}
}

// TestReceipts: what has become of a message is known on all three nodes, in
// good days and with the node stopped that stored it.
func TestReceipts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	send := func(via, id, body string) (map[string]uint64, uint64) {
		t.Helper()
		floors := c.floors()
		got := c.publish(via, "messages.receipts", id, body)
		if got.Status != http.StatusOK {
			t.Fatalf("publish %s: %+v", id, got)
		}
		return floors, got.Seq
	}
	for i := range 10 {
		id := fmt.Sprintf("good-%d", i)
		floors, seq := send(c.config.Nodes[i%3].Name, id, "body")
		c.awaitOnAll(floors, message.Receipt{Seq: seq, State: message.Stored, ID: id})
	}
	for name, r := range c.nodes {
		c.await(name+" hears of commits", func() (bool, error) { return r.receipts.Cursor("MESSAGES") == 10, nil })
	}

	// An id of 6 KB that cannot be compressed is too long for its index.
	floors := c.floors()
	poison := c.unstorable()
	c.awaitOnAll(floors, message.Receipt{Seq: 11, State: message.DeadLettered, ID: poison, SQLState: "any", Reason: "any"})
	var rejected []message.Receipt
	if err := c.nodes["n2"].receipts.Unstored(t.Context(), "MESSAGES", 1, 11, func(r message.Receipt) { rejected = append(rejected, r) }); err != nil {
		t.Fatal(err)
	}
	if len(rejected) != 1 || rejected[0].Seq != 11 || rejected[0].ID != poison || rejected[0].Reason == "" {
		t.Errorf("rejected: %+v", rejected)
	}
	if r, err := c.nodes["n3"].receipts.Receipt(t.Context(), "MESSAGES", 3); err != nil || r != (message.Receipt{Seq: 3, State: message.Stored, ID: "good-2"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.nodes["n3"].receipts.Receipt(t.Context(), "NONE", 3); err == nil {
		t.Error("a receipt of a stream that does not exist")
	}
	if _, err := readRange(nil)(t.Context(), "NONE", 1, 2); err == nil {
		t.Error("messages of a stream that does not exist")
	}

	// The node that stores is stopped right behind the message.
	info, err := consumerInfo(t, c.jetStream())
	if err != nil {
		t.Fatal(err)
	}
	storing := info.Cluster.Leader
	floors, seq := send(storing, "last-words", "body")
	c.stop(storing)
	c.awaitOnAll(floors, message.Receipt{Seq: seq, State: message.Stored, ID: "last-words"})
	for name := range c.stops {
		floors, seq = send(name, "after-"+name, "body")
		c.awaitOnAll(floors, message.Receipt{Seq: seq, State: message.Stored, ID: "after-" + name})
	}
}

// unstorable publishes a message that no row can hold, and returns its id.
func (c *testCluster) unstorable() string {
	c.t.Helper()
	long := make([]byte, 3<<10)
	if _, err := rand.Read(long); err != nil {
		c.t.Fatal(err)
	}
	id := hex.EncodeToString(long)
	if _, err := c.jetStream().Publish(c.t.Context(), "messages.poison", []byte("body"), jetstream.WithMsgID(id)); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// TestReceiptsWithoutPostgres: with Postgres away nobody is told anything, and
// when it is back everybody is.
func TestReceiptsWithoutPostgres(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t)
	c := newCluster(t, 3, pg.URL())
	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	c.awaitCursor(c.send("n1", "before", 1))
	shutDown(t, pg)
	floors := c.floors()
	seq := c.send("n2", "during", 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for name, r := range c.nodes {
		if got, err := r.receipts.Await(ctx, "MESSAGES", seq, "during-0", floors[name]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	restart(t, pg)
	c.awaitOnAll(floors, message.Receipt{Seq: seq, State: message.Stored, ID: "during-0"})
}

// TestReceiptsOfAStreamMadeAnew: what was announced of a stream says nothing
// of the one that has its name and its numbers later.
func TestReceiptsOfAStreamMadeAnew(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t)
	c := newCluster(t, 1, pg.URL())
	c.start()
	c.awaitReady("n1")
	last := c.send("n1", "old", 5)
	c.awaitCursor(last)
	r := c.nodes["n1"].receipts
	c.await("n1 hears of the commits", func() (bool, error) { return r.Cursor("MESSAGES") == last, nil })
	js := c.jetStream()
	if err := js.DeleteStream(t.Context(), "MESSAGES"); err != nil {
		t.Fatal(err)
	}
	shutDown(t, pg)
	c.await("the stream is there again", func() (bool, error) {
		_, err := js.Consumer(t.Context(), "MESSAGES", node.Consumer)
		return err == nil, err
	})
	floors := c.floors()
	if seq := c.send("n1", "new", 1); seq != 1 {
		t.Fatalf("sequence %d", seq)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if got, err := r.Await(ctx, "MESSAGES", 1, "new-0", floors["n1"]); err == nil {
		t.Errorf("stored without Postgres: %+v", got)
	}
	restart(t, pg)
	c.awaitOnAll(floors, message.Receipt{Seq: 1, State: message.Stored, ID: "new-0"})
	if n := c.count("SELECT count(*) FROM messages WHERE msg_id = 'new-0'"); n != 1 {
		t.Errorf("%d rows", n)
	}
}
