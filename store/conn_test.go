package store

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"landfall/cluster"
	"landfall/message"
)

// Many streams share few sessions: Postgres has no more to give, and the
// streams of a node that wait for one all get their turn.
func TestManyStreamsShareSessions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	c := d.config()
	c.Streams = nil
	for i := range 60 {
		c.Streams = append(c.Streams, cluster.Stream{Name: fmt.Sprintf("S%d", i)})
	}
	store := d.open(c, "crowd")
	var g errgroup.Group
	for _, cs := range c.Streams {
		g.Go(func() error {
			s := store.Stream(cs.Name)
			cur, err := begin(t.Context(), s, "00000000-0000-0000-0000-000000000001", 1, message.Cursor{})
			for i := 0; i < 5 && err == nil; i++ {
				var out message.Outcome
				out, err = s.Write(t.Context(), cur, batchOf(s, run(cur, 2)))
				cur = out.Cursor
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := one[int](d, `SELECT count(*)::int FROM messages`); n != 600 {
		t.Errorf("%d rows are stored, not 600", n)
	}
	held := one[int](d, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`,
		applicationName(c.Name, "crowd"))
	if held > busySessions+spareSessions {
		t.Errorf("60 streams hold %d sessions, not %d at most", held, busySessions+spareSessions)
	}
}
