package process

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"landfall/pgserver/pgtest"
)

// TestThreeNodes starts three nodes at once on an empty database and sends
// messages through every door.
func TestThreeNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.start()
	for i, n := range []string{"n1", "n2", "n3"} {
		c.awaitReady(n)
		got := c.publish(n, "messages.http", fmt.Sprintf("http-%d", i), "Hello from "+n)
		if got.Status != http.StatusOK || got.Stream != "MESSAGES" || got.Duplicate {
			t.Errorf("publish to %s: %+v", n, got)
		}
	}
	js := c.jetStream()
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "messages", Data: []byte("Hello from NATS"),
		Header: nats.Header{"Nats-Msg-Id": {"nats-1"}, "Color": {"red", "blue"}}}); err != nil {
		t.Fatal(err)
	}
	c.awaitCursor(4)

	var got []string
	rows, err := c.db.Query(t.Context(), "SELECT concat_ws('|', seq, subject, content, headers, msg_id) FROM messages ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	want := []string{
		"1|messages.http|Hello from n1|http-0",
		"2|messages.http|Hello from n2|http-1",
		"3|messages.http|Hello from n3|http-2",
		`4|messages|Hello from NATS|{"Color": ["red", "blue"]}|nats-1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestSameKeyToDifferentNodes repeats a message on another node, and reuses
// its key for another one.
func TestSameKeyToDifferentNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.start()
	for _, n := range []string{"n1", "n2", "n3"} {
		c.awaitReady(n)
	}
	first := c.publish("n1", "messages.a", "key", "body")
	again := c.publish("n2", "messages.a", "key", "body")
	if again.Status != http.StatusOK || !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("the repeat on another node: %+v, want a duplicate of %d", again, first.Seq)
	}
	if got := c.publish("n3", "messages.a", "key", "another body"); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("the key with another body: %+v, want 422", got)
	}
	c.awaitCursor(first.Seq)
	if n := c.count("SELECT count(*) FROM messages"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestSingleNode runs without a cluster.
func TestSingleNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	got := c.publish("n1", "messages.a", "", "body")
	if got.Status != http.StatusOK || got.MsgID == "" {
		t.Fatalf("publish: %+v", got)
	}
	c.awaitCursor(got.Seq)

	// Stopped and started again it goes on where it was.
	c.stop("n1")
	c.start("n1")
	c.awaitReady("n1")
	next := c.publish("n1", "messages.a", "", "another")
	if next.Seq != got.Seq+1 {
		t.Errorf("sequence %d after the restart, want %d", next.Seq, got.Seq+1)
	}
	c.awaitCursor(next.Seq)
	if n := c.count("SELECT count(*) FROM messages"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// TestAwkwardMessages sends what Postgres cannot hold as text, and what it
// cannot hold at all, among good messages: the former are rows, the latter
// dead letters, and nothing waits for them.
func TestAwkwardMessages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	long := make([]byte, 3<<10)
	if _, err := rand.Read(long); err != nil {
		t.Fatal(err)
	}
	js := c.jetStream()
	var last uint64
	for i, m := range []*nats.Msg{
		{Subject: "messages.good", Data: []byte("first")},
		{Subject: "messages.nul", Data: []byte("a\x00b")},
		{Subject: "messages.latin1", Data: []byte("caf\xe9")},
		{Subject: "messages.empty"},
		{Subject: "messages.longid", Data: []byte("6 KB id"), Header: nats.Header{"Nats-Msg-Id": {hex.EncodeToString(long)}}},
		{Subject: "messages.header", Data: []byte("latin-1 header"), Header: nats.Header{"Name": {"caf\xe9"}}},
		{Subject: "messages.header", Data: []byte("NUL header"), Header: nats.Header{"Name": {"a\x00b"}}},
		{Subject: "messages.good", Data: []byte("last")},
	} {
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		last = ack.Sequence
	}
	c.awaitCursor(last)
	if n := c.count("SELECT count(*) FROM messages"); n != 5 {
		t.Errorf("%d rows, want 5", n)
	}
	if n := c.count(`SELECT count(*) FROM messages WHERE content_bytes IN ($1, $2)`, []byte("a\x00b"), []byte("caf\xe9")); n != 2 {
		t.Errorf("%d rows hold their bytes, want 2", n)
	}
	if n := c.count("SELECT count(*) FROM landfall.dead_letters WHERE reason <> ''"); n != 3 {
		t.Errorf("%d dead letters, want 3: the long id and the two headers", n)
	}
	var headers []byte
	err := c.db.QueryRow(t.Context(), "SELECT headers FROM landfall.dead_letters WHERE payload = 'latin-1 header'").Scan(&headers)
	if err != nil || !bytes.Contains(headers, []byte("caf\xe9")) {
		t.Errorf("the dead letter keeps headers %q (%v), want the bytes that were sent", headers, err)
	}
}

// TestPostgresComesLate starts nodes without a Postgres: publishing works, and
// everything is stored once it is there.
func TestPostgresComesLate(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t)
	if err := pg.Shutdown(); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 3, pg.URL())
	c.start()
	c.awaitReady("n1")
	var last receipt
	for i := range 10 {
		if last = c.publish("n1", "messages.early", fmt.Sprintf("early-%d", i), "body"); last.Status != http.StatusOK {
			t.Fatalf("publish without Postgres: %+v", last)
		}
	}
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitCursor(last.Seq)
	if n := c.count("SELECT count(DISTINCT msg_id) FROM messages"); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
}

// TestPortInUse is an error at once, not a node that lingers.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	for _, take := range []string{c.config.Nodes[0].HTTP, c.config.Nodes[0].Client} {
		ln, err := net.Listen("tcp", take)
		if err != nil {
			t.Fatal(err)
		}
		err = Run(t.Context(), Options{Config: c.config, Node: "n1", Log: slog.New(slog.DiscardHandler)})
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("with %s taken Run returned %v, want an address in use", take, err)
		}
		ln.Close()
	}
}
