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
	"landfall/words"
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
		c.fail("server", "", "cannot be asked: %s", words.Plain(err))
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
		c.fail(key, connectAdvice(key, err), "%s: %s", place, words.Plain(err))
		return nil
	}
	c.connected(key, place, at)
	return at
}

func (c *connector) connected(key, place string, at *store.Inspection) {
	took := max(at.Took, time.Millisecond)
	switch {
	case at.TLS:
		c.ok(key, "%s, connected in %s, with TLS", place, words.Duration(took))
	case at.Local:
		c.ok(key, "%s, connected in %s", place, words.Duration(took))
	default:
		c.note(key, "whoever is between reads the messages: add sslmode=verify-full, or at least sslmode=require",
			"%s, connected in %s, on another machine and without TLS", place, words.Duration(took))
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
