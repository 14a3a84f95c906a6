// Package migrations makes and keeps the tables in Postgres. What Landfall
// keeps for itself, in the schema landfall, goes through numbered SQL files
// that goose applies once each and records in landfall.goose_db_version.
//
// The messages table is different: its name is the operator's, and may change
// after the numbered files have run. It is therefore no numbered migration but
// a repeatable step: if the named table is not there, it is made; if it is
// there, it must carry Landfall's mark in its comment. A table that is not
// Landfall's is refused, never adopted. When the name changes, the old table
// stays as it is and the stream goes on in the new one.
//
// All of it runs under one Postgres lock, so that all nodes may start at once.
// Changes only ever add, so that nodes of the version before can go on.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed sql/*.sql
var numbered embed.FS

//go:embed bootstrap.sql
var bootstrapSQL string

const (
	versionTable  = "landfall.goose_db_version"
	oldestServer  = 13               // major version that the SQL is written for
	connectWithin = 10 * time.Second // if the URL does not say
)

// Options for Up and Status.
type Options struct {
	// MessagesTable is "schema.table", plain names, used as written; "" means
	// public.messages.
	MessagesTable string

	// Log tells what was done; nil for silence.
	Log *slog.Logger
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// Up brings the database at url up to date. It may run on any number of nodes
// at once: one does the work, the others wait for it, and then find it done. A
// SetupError is for the operator; any other error means that Postgres is out
// of reach or stopped in between, and that Up may simply be called again.
func Up(ctx context.Context, url string, o Options) error {
	t, err := parseTable(o.MessagesTable)
	if err != nil {
		return err
	}
	db, err := open(url)
	if err != nil {
		return err
	}
	defer db.Close()
	u := upgrade{db: db, table: t, log: o.log()}
	if err := u.run(ctx); err != nil {
		return fmt.Errorf("migrate: %w", diagnose(ctx, db, t, err))
	}
	return nil
}

// open returns a handle on the database without connecting yet.
func open(url string) (*sql.DB, error) {
	config, err := configure(url)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*config), nil
}

func configure(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &SetupError{Problem: err.Error(), Hint: "correct postgres.url in cluster.yaml", Err: err}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectWithin
	}
	// goose keeps its times without a zone.
	config.RuntimeParams["timezone"] = "UTC"
	// The lock must not outlive a machine that lost its power by hours.
	config.RuntimeParams["tcp_keepalives_idle"] = "5"
	config.RuntimeParams["tcp_keepalives_interval"] = "2"
	config.RuntimeParams["tcp_keepalives_count"] = "3"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "landfall migrations"
	}
	return config, nil
}

// upgrade is one call of Up.
type upgrade struct {
	db    *sql.DB
	table table
	log   *slog.Logger
}

// run takes the lock on a connection of its own and does the work on others.
// Should that connection die, two nodes may be at work at once; nothing breaks,
// because every step is a transaction that fails if the other was first.
func (u *upgrade) run(ctx context.Context) error {
	conn, err := u.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	// Most starts find nothing to do, and need not wait for anybody.
	if state, err := status(ctx, u.db, u.table); err == nil && state.Current() {
		return nil
	}
	unlock, err := lock(ctx, conn, u.log)
	if err != nil {
		return fmt.Errorf("wait for the lock: %w", err)
	}
	defer unlock()

	// Refuse before anything is changed.
	state, err := u.table.inspect(ctx, conn)
	if err != nil {
		return err
	}
	if err := u.bootstrap(ctx, conn); err != nil {
		return err
	}
	if err := u.applyNumbered(ctx); err != nil {
		return err
	}
	if state == tableMissing {
		return u.createMessages(ctx, conn)
	}
	return nil
}

// checkServer refuses a server that is too old, or a database that cannot hold
// every message.
func checkServer(ctx context.Context, conn *sql.Conn) error {
	var version int
	var encoding string
	err := conn.QueryRowContext(ctx,
		`SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')`).
		Scan(&version, &encoding)
	if err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	return judgeServer(version, encoding)
}

func judgeServer(version int, encoding string) error {
	if version < oldestServer*10000 {
		return &SetupError{
			Problem: fmt.Sprintf("the server is PostgreSQL %d", version/10000),
			Hint:    fmt.Sprintf("Landfall needs PostgreSQL %d or newer", oldestServer),
		}
	}
	if encoding != "UTF8" {
		return &SetupError{
			Problem: fmt.Sprintf("the database's encoding is %s", encoding),
			Hint:    "Landfall needs UTF8: create another with CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and name it in postgres.url",
		}
	}
	return nil
}

// bootstrap makes the schema and goose's table, as far as they are missing. It
// asks first: CREATE SCHEMA IF NOT EXISTS wants the right to create schemas
// even when there is nothing to create.
func (u *upgrade) bootstrap(ctx context.Context, conn *sql.Conn) error {
	var schema, versions bool
	err := conn.QueryRowContext(ctx, `SELECT to_regnamespace('landfall') IS NOT NULL,
		EXISTS (SELECT FROM pg_tables WHERE schemaname || '.' || tablename = $1)`, versionTable).
		Scan(&schema, &versions)
	if err != nil {
		return fmt.Errorf("look for the schema: %w", err)
	}
	if !schema {
		if _, err := conn.ExecContext(ctx, `CREATE SCHEMA landfall`); err != nil {
			return fmt.Errorf("create schema landfall: %w", err)
		}
		u.log.InfoContext(ctx, "created schema", "schema", "landfall")
	}
	if versions {
		return nil
	}
	// Without arguments the whole file is one transaction.
	if _, err := conn.ExecContext(ctx, bootstrapSQL); err != nil {
		return fmt.Errorf("create %s: %w", versionTable, err)
	}
	return nil
}

// applyNumbered lets goose apply the files that it has not applied yet.
func (u *upgrade) applyNumbered(ctx context.Context) error {
	p, err := provider(u.db)
	if err != nil {
		return err
	}
	results, err := p.Up(ctx)
	for _, r := range results {
		u.log.InfoContext(ctx, "applied migration", "version", r.Source.Version,
			"file", path.Base(r.Source.Path), "duration", r.Duration.Round(time.Millisecond))
	}
	return err
}

// provider is goose on the embedded files. It takes no lock of its own: ours is
// held already, and covers more.
func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(numbered, "sql")
	if err != nil {
		return nil, fmt.Errorf("embedded migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("embedded migrations: %w", err)
	}
	return p, nil
}

// createMessages makes the messages table with its mark, in one transaction.
func (u *upgrade) createMessages(ctx context.Context, conn *sql.Conn) error {
	statements, err := u.table.sql()
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, statements); err != nil {
		return fmt.Errorf("create messages table %s: %w", u.table, err)
	}
	u.log.InfoContext(ctx, "created messages table", "table", u.table.String())
	return nil
}
