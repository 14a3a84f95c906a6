package process

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"landfall/pgserver/pgtest"
)

// TestForeignTable: a messages table that is somebody else's pauses storing,
// not publishing, and stays as it was; once it is out of the way everything
// is stored.
func TestForeignTable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	if _, err := c.db.Exec(t.Context(), "CREATE TABLE messages (mine text); INSERT INTO messages VALUES ('mine')"); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.awaitReady("n1")
	last := c.send("n1", "kept", 3)
	c.await("the pause is said", func() (bool, error) {
		return c.logged("messages_table"), nil
	})
	if n := c.count("SELECT count(*) FROM messages WHERE mine = 'mine'"); n != 1 {
		t.Errorf("%d rows are left of the foreign table, want 1", n)
	}
	if _, err := c.db.Exec(t.Context(), "ALTER TABLE messages RENAME TO mine"); err != nil {
		t.Fatal(err)
	}
	c.awaitCursor(last)
	if n := c.count("SELECT count(*) FROM messages"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// TestWrongPassword: publishing goes on, the log names the key, and once the
// password is right everything is stored.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t)
	c := newCluster(t, 1, pg.URL())
	c.config.Postgres.URL = strings.Replace(pg.URL(), "app:app@", "app:wrong@", 1)
	c.start()
	c.awaitReady("n1")
	last := c.send("n1", "kept", 3)
	c.await("the pause is said", func() (bool, error) {
		return c.logged("postgres.url"), nil
	})
	if _, err := pg.SQL(t.Context(), "app", "ALTER ROLE app PASSWORD 'wrong'"); err != nil {
		t.Fatal(err)
	}
	db, err := pgxpool.New(t.Context(), c.config.Postgres.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c.await("everything is stored", func() (bool, error) {
		var at int64
		err := db.QueryRow(t.Context(), "SELECT last_seq FROM landfall.streams").Scan(&at)
		return uint64(at) == last, err
	})
}

// TestToken: with a token three nodes find each other and store, and whoever
// does not have it gets in at no door.
func TestToken(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.config.Token = "a-token-for-tests"
	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	got := c.publish("n1", "messages.token", "no-1", "body")
	if got.Status != http.StatusUnauthorized {
		t.Errorf("publish without the token: %+v", got)
	}
	if nc, err := nats.Connect("nats://" + c.config.Nodes[0].Client); err == nil {
		nc.Close()
		t.Error("a NATS client came in without the token")
	}
	c.token = c.config.Token
	last := c.send("n2", "with", 3)
	c.awaitCursor(last)
	if n := c.count("SELECT count(*) FROM messages"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}
