package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall/migrations"
	"landfall/store"
	"landfall/words"
)

// server judges what the server is.
func (c *connector) server(s store.Server) {
	c.ok("role", "user %s in database %s", s.User, s.Database)
	release, _, _ := strings.Cut(s.Release, " ") // without what a distribution adds
	var setup *migrations.SetupError
	if err := migrations.Fits(s.Version, s.Encoding); errors.As(err, &setup) {
		c.fail("version", setup.Hint, "PostgreSQL %s, encoding %s: %s", release, s.Encoding, setup.Problem)
	} else {
		c.ok("version", "PostgreSQL %s, encoding %s", release, s.Encoding)
	}
	switch {
	case s.Standby:
		c.fail("writable", "name the primary in postgres.url; of several hosts, separated by commas, the one that takes writes is used", "this is a standby, which takes no writes")
	case s.ReadOnly:
		c.fail("writable", "set it off for the role, the database or the server, wherever it was set on", "default_transaction_read_only is on, and so nothing can be stored")
	default:
		c.ok("writable", "a primary that takes writes")
	}
	if s.Fsync && s.FullPageWrites {
		c.ok("durable", "fsync and full_page_writes are on")
		return
	}
	var off []string
	if !s.Fsync {
		off = append(off, "fsync = off")
	}
	if !s.FullPageWrites {
		off = append(off, "full_page_writes = off")
	}
	c.note("durable", "set it on, but for a throw-away database",
		"%s: the promise does not hold, Postgres may lose or break what it has committed when its machine fails", strings.Join(off, ", "))
}

// sessions compares what the nodes may open with what Postgres takes.
func (c *connector) sessions(s store.Server) {
	each, err := store.Sessions(c.cfg)
	if err != nil {
		c.fail("connections", "correct postgres.url", "%s", words.Plain(err))
		return
	}
	most := each * len(c.cfg.Nodes)
	others := s.Sessions - s.ClusterSessions
	found := fmt.Sprintf("the nodes open %d at most, Postgres takes %d, others have %d", most, s.SessionLimit, others)
	switch {
	case len(c.cfg.Streams)+len(c.cfg.Nodes) > s.SessionLimit:
		c.fail("connections", "raise max_connections, or the connection limit of the role or the database", "%s", found)
	case most > s.SessionLimit-others:
		c.note("connections", "when all is busy at once a stream may have to wait for a connection: raise max_connections, or the connection limit of the role or the database", "%s", found)
	default:
		c.ok("connections", "%s", found)
	}
}

// session tries what the sink does in every transaction, and compares clocks.
func (c *connector) session(ctx context.Context, at *store.Inspection) {
	if err := at.Begins(ctx); err != nil {
		c.fail("settings", "the role must be able to set synchronous_commit, statement_timeout, lock_timeout and idle_in_transaction_session_timeout", "a transaction cannot be begun: %s", words.Plain(err))
	} else {
		c.ok("settings", "synchronous_commit and timeouts can be set in a transaction")
	}
	ahead, uncertain, err := at.Clock(ctx)
	if err != nil {
		c.fail("clock", "", "cannot be asked: %s", words.Plain(err))
		return
	}
	c.clock(ahead, uncertain)
}

func (c *connector) clock(ahead, uncertain time.Duration) {
	apart, direction := ahead.Abs(), "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	if apart <= clockTolerance+uncertain {
		c.ok("clock", "agrees with this machine's")
		return
	}
	c.note("clock", "set the clocks by NTP: published_at is by the nodes' clocks, stored_at and the replay window by that of Postgres",
		"the clock of Postgres is %s %s this machine's", words.Duration(apart), direction)
}

// pooler looks whether sessions hold through a URL: the lock of the migrations
// belongs to one.
func (c *connector) pooler(ctx context.Context, key string, at *store.Inspection) {
	shared, err := at.Shared(ctx)
	p := c.cfg.Postgres
	migrates := key == "postgres.migrate_url" || p.MigrateURL == ""
	switch {
	case err != nil:
		c.fail("session locks", connectAdvice(key, err), "cannot be tried through %s: %s", key, words.Plain(err))
	case !shared:
		c.ok("session locks", "hold through %s", key)
	case migrates && p.Migrate:
		c.fail("session locks", "set postgres.migrate_url to an address without the pooler, or postgres.migrate: off",
			"do not hold: %s goes through a pooler that gives each transaction another session, and nodes that start at once would migrate at once", key)
	default:
		c.note("session locks", "nothing, if it is PgBouncer 1.21 or newer with max_prepared_statements; app migrate up needs an address without the pooler",
			"do not hold: %s goes through a pooler that gives each transaction another session", key)
	}
}

// owner looks at migrate_url; false: nothing more can be asked there.
func (c *connector) owner(ctx context.Context, server store.Server) bool {
	const key = "postgres.migrate_url"
	at := c.connect(ctx, key, c.cfg.Postgres.MigrateURL)
	if at == nil {
		return false
	}
	defer at.Close()
	s, err := at.Server(ctx, c.cfg.Name)
	switch {
	case err != nil:
		c.fail("migration role", "", "cannot be asked: %s", words.Plain(err))
		return false
	case s.Place != server.Place:
		c.fail("migration role", "let postgres.migrate_url lead to the same database as postgres.url", "user %s in another database, %s", s.User, s.Database)
		return false
	case s.Standby || s.ReadOnly:
		c.fail("migration role", "let postgres.migrate_url lead to the primary, as a role that may write", "user %s, where nothing can be written", s.User)
	default:
		c.ok("migration role", "user %s in the same database", s.User)
	}
	c.pooler(ctx, key, at)
	return true
}
