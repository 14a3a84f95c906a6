package process

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/node"
	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// send publishes messages PREFIX-0 ... through a node and returns the last
// sequence.
func (c *testCluster) send(node, prefix string, count int) uint64 {
	c.t.Helper()
	var last receipt
	for i := range count {
		id := fmt.Sprintf("%s-%d", prefix, i)
		last = c.publish(node, "messages.recovery", id, "body of "+id)
		if last.Status != http.StatusOK {
			c.t.Fatalf("publish %s: %+v", id, last)
		}
	}
	return last.Seq
}

// TestPostgresRestored takes a copy of the database's files, stores more, and
// puts the copy back: the sink refills what the copy did not have, while idle,
// exactly once.
func TestPostgresRestored(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	pg := pgtest.Start(t, pgserver.Options{Dir: dir})
	c := newCluster(t, 1, pg.URL())
	c.start()
	c.awaitReady("n1")
	c.awaitCursor(c.send("n1", "before", 10))

	copyOf := filepath.Join(t.TempDir(), "copy")
	shutDown(t, pg)
	clone(t, dir, copyOf)
	restart(t, pg)
	last := c.send("n1", "after", 10)
	c.awaitCursor(last)

	shutDown(t, pg)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	clone(t, copyOf, dir)
	restart(t, pg)
	c.awaitCursor(last)
	if n := c.count("SELECT count(DISTINCT msg_id) FROM messages"); n != 20 {
		t.Errorf("%d messages after the restore, want 20", n)
	}
	if n := c.count("SELECT count(*) FROM messages"); n != 20 {
		t.Errorf("%d rows after the restore, want 20", n)
	}
}

// TestPostgresEmptied: a Postgres from before Landfall's first start gets its
// tables again, and all that the stream still has.
func TestPostgresEmptied(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	last := c.send("n1", "early", 5)
	c.awaitCursor(last)
	if _, err := c.db.Exec(t.Context(), "DROP SCHEMA landfall CASCADE; DROP TABLE messages", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	c.awaitCursor(last)
	if n := c.count("SELECT count(DISTINCT msg_id) FROM messages"); n != 5 {
		t.Errorf("%d messages are stored again, want 5", n)
	}
}

// TestStreamDeletedByHand: a stream that is made anew is another one, however
// its numbers look.
func TestStreamDeletedByHand(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	c.awaitCursor(c.send("n1", "old", 3))
	js := c.jetStream()
	if err := js.DeleteStream(t.Context(), "MESSAGES"); err != nil {
		t.Fatal(err)
	}
	c.await("the stream is there again", func() (bool, error) {
		_, err := js.Stream(t.Context(), "MESSAGES")
		return err == nil, err
	})
	c.send("n1", "new", 2)
	c.await("both incarnations are stored", func() (bool, error) {
		var n int
		err := c.db.QueryRow(t.Context(), "SELECT count(*) FROM messages").Scan(&n)
		return n == 5, err
	})
	if n := c.count("SELECT count(*) FROM landfall.streams"); n != 2 {
		t.Errorf("%d incarnations, want 2", n)
	}
	if n := c.count("SELECT count(*) FROM landfall.gaps"); n != 0 {
		t.Errorf("%d gaps, want none", n)
	}
}

// TestTailCut puts old copies of all data directories back: the stream ends
// before the cursor, and what it takes in next has numbers that Postgres has
// seen. Nothing of it is skipped, and nothing old is lost.
func TestTailCut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	c.awaitCursor(c.send("n1", "common", 5))
	c.stopAll()
	copyOf := filepath.Join(t.TempDir(), "copy")
	clone(t, c.config.Data, copyOf)

	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	c.awaitCursor(c.send("n1", "lost", 5))
	c.stopAll()
	if err := os.RemoveAll(c.config.Data); err != nil {
		t.Fatal(err)
	}
	clone(t, copyOf, c.config.Data)

	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	if last := c.send("n2", "new", 8); last != 13 {
		t.Fatalf("the last sequence is %d, want 13: the stream was not cut", last)
	}
	c.await("everything is stored", func() (bool, error) {
		var n int
		err := c.db.QueryRow(t.Context(), "SELECT count(*) FROM messages").Scan(&n)
		return n == 18, err
	})
	for prefix, want := range map[string]int{"common": 5, "lost": 5, "new": 8} {
		if n := c.count("SELECT count(*) FROM messages WHERE msg_id LIKE $1", prefix+"-%"); n != want {
			t.Errorf("%d rows of %q, want %d", n, prefix, want)
		}
	}
	if n := c.count("SELECT count(*) FROM landfall.streams"); n != 2 {
		t.Errorf("%d incarnations, want 2", n)
	}
}

// TestMessageDeletedByHand: what is gone from every replica before Postgres
// had it is a gap, and the messages around it are stored.
func TestMessageDeletedByHand(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t)
	c := newCluster(t, 1, pg.URL())
	c.start()
	c.awaitReady("n1")
	c.awaitCursor(c.send("n1", "stored", 2))
	shutDown(t, pg)
	last := c.send("n1", "kept", 5)
	stream, err := c.jetStream().Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	// Messages cannot be deleted singly; a purge by hand takes the oldest.
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(5)); err != nil {
		t.Fatal(err)
	}
	restart(t, pg)
	c.awaitCursor(last)
	if n := c.count("SELECT count(*) FROM messages"); n != 5 {
		t.Errorf("%d rows, want 5", n)
	}
	if n := c.count("SELECT count(*) FROM landfall.gaps WHERE from_seq = 3 AND to_seq = 4"); n != 1 {
		t.Errorf("%d gaps from 3 to 4, want 1", n)
	}
}

// TestSinkLeavesUnfitNode: a node that cannot reach Postgres gives the sink
// to one that can.
func TestSinkLeavesUnfitNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	elsewhere := *c.config
	elsewhere.Postgres.URL = "postgres://app:app@127.0.0.1:1/app" // nobody listens there
	c.startWith(&elsewhere, "n1")
	c.start("n2", "n3")
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	js := c.jetStream()
	body := []byte(`{"placement":{"preferred":"n1"}}`)
	c.await("n1 leads the consumer", func() (bool, error) {
		info, err := consumerInfo(t, js)
		if err != nil || info.Cluster.Leader == "n1" {
			return err == nil, err
		}
		_, err = js.Conn().Request("$JS.API.CONSUMER.LEADER.STEPDOWN.MESSAGES."+node.Consumer, body, time.Second)
		return false, err
	})
	c.awaitCursor(c.send("n2", "message", 3))
	info, err := consumerInfo(t, js)
	if err != nil || info.Cluster.Leader == "n1" {
		t.Errorf("n1 still leads the consumer (%v)", err)
	}
}

func consumerInfo(t *testing.T, js jetstream.JetStream) (*jetstream.ConsumerInfo, error) {
	consumer, err := js.Consumer(t.Context(), "MESSAGES", node.Consumer)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

func shutDown(t *testing.T, pg *pgserver.Server) {
	t.Helper()
	if err := pg.Shutdown(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, pg *pgserver.Server) {
	t.Helper()
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
