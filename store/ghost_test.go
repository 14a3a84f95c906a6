package store

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"landfall/message"
)

// holder is a session that has the cursor's row and does nothing.
func (d *database) holder(application string, cur message.Cursor) (pid int32) {
	d.Helper()
	cfg, err := pgx.ParseConfig(d.url)
	if err != nil {
		d.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = application
	conn, err := pgx.ConnectConfig(d.Context(), cfg)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		ctx, cancel := background(d)
		defer cancel()
		_ = conn.Close(ctx)
	})
	tx, err := conn.Begin(d.Context())
	if err == nil {
		_, err = tx.Exec(d.Context(), `SELECT FROM landfall.streams WHERE id = $1 FOR UPDATE`, cur.StreamID)
	}
	if err != nil {
		d.Fatal(err)
	}
	return int32(conn.PgConn().PID())
}

// A session of ours whose process is no more holds the cursor: after the
// second time in vain it is ended. Somebody else's session is not. Each time
// takes seconds, so all cases go side by side.
func TestGhosts(t *testing.T) {
	t.Parallel()
	write := func(s *Stream, cur message.Cursor) error {
		_, err := s.Write(t.Context(), cur, batchOf(s, run(cur, 3)))
		return err
	}
	find := func(s *Stream, cur message.Cursor) error {
		_, _, err := s.Find(t.Context(), cur.Incarnation)
		return err
	}
	type ghost struct {
		application string
		call        func(*Stream, message.Cursor) error
		ends        bool

		stream *Stream
		cur    message.Cursor
		pid    int32
		err    error
	}
	d := newDatabase(t)
	cases := map[string]*ghost{
		"ours in the way of Write":    {application: "landfall testers/n9", call: write, ends: true},
		"ours in the way of Find":     {application: "landfall testers/n9", call: find, ends: true},
		"others' in the way of Write": {application: "psql", call: write},
		"others' in the way of Find":  {application: "", call: find},
		"a migration":                 {application: "landfall migrations", call: find},
		"another cluster's":           {application: "landfall others/n1", call: write},
	}
	for name, c := range cases {
		c.stream = d.node("n1").Stream(name)
		c.cur = d.enter(c.stream)
		c.pid = d.holder(c.application, c.cur)
	}
	for i := range ghostAfter {
		for name, c := range cases {
			if !d.lives(c.pid) {
				t.Errorf("%s: ended after %d times", name, i)
			}
		}
		var g errgroup.Group
		for _, c := range cases {
			g.Go(func() error { c.err = c.call(c.stream, c.cur); return nil })
		}
		_ = g.Wait()
		for _, c := range cases {
			outageOnly(t, c.err)
			wantState(t, c.err, lockNotAvailable)
		}
	}
	for name, c := range cases {
		if !c.ends {
			if !d.lives(c.pid) {
				t.Errorf("%s: ended", name)
			}
			continue
		}
		eventually(t, "the ghost is gone", func() bool { return !d.lives(c.pid) })
		if err := c.call(c.stream, c.cur); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		d.world(c.cur.StreamID)
	}
}
