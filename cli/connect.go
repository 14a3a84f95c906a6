package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall/cluster"
	"landfall/migrations"
	"landfall/store"
)

// check is one thing that validate --connect looked at.
type check struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, note or failed
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do about it
}

const (
	stateOK     = "ok"
	stateNote   = "note" // works, and is worth knowing
	stateFailed = "failed"
)

// clockTolerance is how far two clocks may be apart before it is worth a word.
const clockTolerance = 3 * time.Second

// connector holds a cluster against its Postgres. Whatever fails, it goes on
// with what can still be looked at.
type connector struct {
	cfg      *cluster.Config
	checks   []check
	mappings []mappedTable
}

func (c *connector) ok(name, format string, args ...any) {
	c.checks = append(c.checks, check{name, stateOK, fmt.Sprintf(format, args...), ""})
}

func (c *connector) note(name, advice, format string, args ...any) {
	c.checks = append(c.checks, check{name, stateNote, fmt.Sprintf(format, args...), advice})
}

func (c *connector) fail(name, advice, format string, args ...any) {
	c.checks = append(c.checks, check{name, stateFailed, fmt.Sprintf(format, args...), advice})
}

// failed tells whether any check has.
func failed(checks []check) bool {
	for _, c := range checks {
		if c.State == stateFailed {
			return true
		}
	}
	return false
}

// connectChecks looks at everything that a cluster needs of its Postgres. Its
// only error is that it was interrupted.
func connectChecks(ctx context.Context, cfg *cluster.Config) (*connector, error) {
	c := &connector{cfg: cfg}
	c.all(ctx)
	return c, ctx.Err()
}

func (c *connector) all(ctx context.Context) {
	const key = "postgres.url"
	at := c.connect(ctx, key, c.cfg.Postgres.URL)
	if at == nil {
		if c.cfg.Postgres.MigrateURL != "" {
			if owner := c.connect(ctx, "postgres.migrate_url", c.cfg.Postgres.MigrateURL); owner != nil {
				owner.Close()
			}
		}
		return
	}
	defer at.Close()
	server, err := at.Server(ctx, c.cfg.Name)
	if err != nil {
		c.fail("server", "", "cannot be asked: %s", plainText(err))
		return
	}
	c.server(server)
	c.sessions(server)
	c.session(ctx, at)
	c.pooler(ctx, key, at)
	defer c.ownTables(ctx, at, server)
	if c.cfg.Postgres.MigrateURL != "" && !c.owner(ctx, server) {
		c.tables(ctx, at, server, nil)
		return
	}
	look, err := migrations.Look(ctx, c.cfg.Postgres.MigrationURL(), migrations.Options{MessagesTable: c.cfg.MessagesTable})
	if err != nil {
		c.unreadable(err)
		c.tables(ctx, at, server, nil)
		return
	}
	if !c.stranger(look) {
		c.migrations(look)
		c.tables(ctx, at, server, &look)
	}
}

// connect makes the session that everything else is asked through, or notes
// why there is none.
func (c *connector) connect(ctx context.Context, key, url string) *store.Inspection {
	place := cluster.Postgres{URL: url}.Place()
	at, err := store.Inspect(ctx, url)
	if err != nil {
		c.fail(key, connectAdvice(key, err), "%s: %s", place, plainText(err))
		return nil
	}
	c.connected(key, place, at)
	return at
}

func (c *connector) connected(key, place string, at *store.Inspection) {
	took := max(at.Took, time.Millisecond)
	switch {
	case at.TLS:
		c.ok(key, "%s, connected in %s, with TLS", place, durationText(took))
	case at.Local:
		c.ok(key, "%s, connected in %s", place, durationText(took))
	default:
		c.note(key, "whoever is between reads the messages: add sslmode=verify-full, or at least sslmode=require",
			"%s, connected in %s, on another machine and without TLS", place, durationText(took))
	}
}

// connectAdvice says what to do when there is no connection.
func connectAdvice(key string, err error) string {
	code := store.SQLState(err)
	switch {
	case errors.Is(err, store.ErrConnectionString):
		return "correct " + key
	case strings.HasPrefix(code, "28"):
		return "check user and password in " + key + ", and pg_hba.conf on the server"
	case strings.HasPrefix(code, "3D"):
		return "create the database, or correct its name in " + key
	case code == "42501":
		return "grant the role CONNECT on the database"
	case code == "53300":
		return "the server has as many sessions as it takes: raise max_connections, or end some"
	case strings.HasPrefix(code, "57P"):
		return "the server is starting or stopping: try again"
	case code != "":
		return "see the server's log"
	default:
		return "is it running, and is " + key + " right? app postgres starts one on this machine; nodes wait for it, and publishing goes on meanwhile"
	}
}

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
		c.fail("connections", "correct postgres.url", "%s", plainText(err))
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
		c.fail("settings", "the role must be able to set synchronous_commit, statement_timeout, lock_timeout and idle_in_transaction_session_timeout", "a transaction cannot be begun: %s", plainText(err))
	} else {
		c.ok("settings", "synchronous_commit and timeouts can be set in a transaction")
	}
	ahead, uncertain, err := at.Clock(ctx)
	if err != nil {
		c.fail("clock", "", "cannot be asked: %s", plainText(err))
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
		"the clock of Postgres is %s %s this machine's", durationText(apart), direction)
}

// pooler looks whether sessions hold through a URL: the lock of the migrations
// belongs to one.
func (c *connector) pooler(ctx context.Context, key string, at *store.Inspection) {
	shared, err := at.Shared(ctx)
	p := c.cfg.Postgres
	migrates := key == "postgres.migrate_url" || p.MigrateURL == ""
	switch {
	case err != nil:
		c.fail("session locks", connectAdvice(key, err), "cannot be tried through %s: %s", key, plainText(err))
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
		c.fail("migration role", "", "cannot be asked: %s", plainText(err))
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
