package drill

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"landfall/pgserver"
)

// dropDeadline bounds what is done for tidiness when a run is over.
const dropDeadline = 15 * time.Second

// Database is one that a run has to itself, and how to be rid of it.
type Database struct {
	URL   string
	PSQL  string // a complete psql command line, for people to copy
	Where string // in words
	drop  func() error
}

// PrivateDatabase starts a Postgres of our own; Drop ends it.
func PrivateDatabase(ctx context.Context) (*Database, error) {
	server, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		return nil, err
	}
	return &Database{
		URL: server.URL(), PSQL: server.PSQL(), drop: server.Stop,
		Where: fmt.Sprintf("a private Postgres on port %d (process %d)", server.Port(), server.PID()),
	}, nil
}

// ErrDatabaseURL is a database URL that is none.
var ErrDatabaseURL = errors.New("the database URL must have the form postgres://user:password@host:port/database")

// OwnDatabase creates a database of a new name on somebody's server; Drop
// drops it. Nothing else on the server is touched.
func OwnDatabase(ctx context.Context, serverURL string) (*Database, error) {
	u, err := url.Parse(serverURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		// The error of Parse would show the password.
		return nil, ErrDatabaseURL
	}
	name := "landfall_drill_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	if err := execOnce(ctx, serverURL, "CREATE DATABASE "+name); err != nil {
		return nil, fmt.Errorf("create a database of our own (the role needs CREATEDB): %w", err)
	}
	own := *u
	own.Path = "/" + name
	return &Database{
		URL: own.String(), PSQL: "psql '" + strings.ReplaceAll(own.String(), "'", "%27") + "'",
		Where: fmt.Sprintf("database %s on %s, which goes when this is over", name, u.Host),
		drop: func() error {
			// Also when ctx has ended: that is when tidying begins.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropDeadline)
			defer cancel()
			if err := execOnce(ctx, serverURL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
				return fmt.Errorf("drop database %s: %w", name, err)
			}
			return nil
		},
	}, nil
}

// Drop removes the database, or its whole private server.
func (d *Database) Drop() error { return d.drop() }

func execOnce(ctx context.Context, databaseURL, statement string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}
