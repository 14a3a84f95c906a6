package process

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall/pgserver/pgtest"
	"landfall/store"
)

// TestKeep: rows go when they are old enough and their messages have left the
// stream, on whichever node stores; nothing is missed for it, ids are known as
// long as the rows, and the metrics tell.
func TestKeep(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.config.Keep = 2 * time.Second
	c.config.Streams[0].ReplayWindow, c.config.Streams[0].DuplicateWindow = 2*time.Second, time.Second
	c.start()
	for _, n := range c.config.Nodes {
		c.awaitReady(n.Name)
	}
	last := c.send("n1", "old", 20)
	c.awaitCursor(last)
	c.await("the old rows are gone", func() (bool, error) {
		return c.count("SELECT count(*) FROM messages WHERE seq < $1", last) == 0, nil
	})
	if n := c.count("SELECT count(*) FROM messages WHERE seq = $1", last); n != 1 {
		t.Errorf("%d rows of the last message, which the stream still has", n)
	}
	// An id that is forgotten is a new message, one that is not is a repeat.
	last = c.send("n2", "old", 1)
	c.awaitCursor(last)
	if n := c.count("SELECT count(*) FROM messages WHERE seq = $1", last); n != 1 {
		t.Errorf("%d rows of a message under an id that is forgotten", n)
	}
	s, err := store.Open(c.config, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	accounts, err := s.Audit(t.Context())
	if err != nil || len(accounts) != 1 || !accounts[0].Complete() {
		t.Fatalf("%+v, %v", accounts, err)
	}
	if a := accounts[0]; a.Expired < 19 || a.Expired+a.Rows != 21 {
		t.Errorf("%+v", a)
	}
	if !c.logged("old rows were deleted") {
		t.Error("the log does not tell of them")
	}
	c.await("the metrics tell", func() (bool, error) {
		var all strings.Builder
		for _, n := range c.config.Nodes {
			resp, err := http.Get("http://" + n.HTTP + "/metrics")
			if err != nil {
				return false, err
			}
			_, err = io.Copy(&all, resp.Body)
			_ = resp.Body.Close()
			if err != nil {
				return false, err
			}
		}
		// Whichever node it was.
		for _, line := range []string{`landfall_table_bytes{table="public.messages"} `, `landfall_expired_rows_total{stream="MESSAGES"} `} {
			told := false
			for rest := range strings.Lines(all.String()) {
				value, ok := strings.CutPrefix(rest, line)
				told = told || ok && strings.TrimSpace(value) != "0"
			}
			if !told {
				return false, nil
			}
		}
		return true, nil
	})
}
