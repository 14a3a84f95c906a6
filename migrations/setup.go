package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SetupError is a fault in the set-up: trying again does not help until
// somebody changes the configuration, the database or a role's rights. All
// other errors of this package are outages.
type SetupError struct {
	Problem string // what is wrong
	Hint    string // what to do about it
	Err     error  // what Postgres said, if it did
}

// Error is the problem and what to do about it.
func (e *SetupError) Error() string { return e.Problem + "; " + e.Hint }

// Unwrap returns what Postgres said.
func (e *SetupError) Unwrap() error { return e.Err }

// SQLSTATEs that have a hint of their own.
const (
	invalidPassword       = "28P01"
	invalidAuthorization  = "28000"
	unknownDatabase       = "3D000"
	unknownSchema         = "3F000"
	insufficientPrivilege = "42501"
)

// diagnose makes a SetupError of an error that says so by its SQLSTATE, and
// returns any other error as it is.
func diagnose(ctx context.Context, db *sql.DB, t table, err error) error {
	var setup *SetupError
	var pg *pgconn.PgError
	if errors.As(err, &setup) || !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case invalidPassword, invalidAuthorization:
		return &SetupError{pg.Message, "correct user and password in postgres.url", err}
	case unknownDatabase:
		return &SetupError{pg.Message, "create it, or correct the name in postgres.url", err}
	case unknownSchema:
		return &SetupError{pg.Message, fmt.Sprintf("CREATE SCHEMA %q, or correct messages_table in cluster.yaml", t.schema), err}
	case insufficientPrivilege:
		return &SetupError{pg.Message, rightsHint(ctx, db, t), err}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "28", "3D", "3F", "42", "0A":
		return &SetupError{err.Error(), "the schema landfall or the messages table was changed by hand, or this server lacks something; " +
			"app migrate print shows what Landfall expects", err}
	}
	return err
}

// rightsHint says which grants the role lacks.
func rightsHint(ctx context.Context, db *sql.DB, t table) string {
	grants, err := lackingGrants(ctx, db, "landfall", t.schema)
	switch {
	case err != nil || len(grants) == 0:
		return "Landfall's tables belong to another role: let that one run the migrations (postgres.migrate_url), or set postgres.migrate: off"
	default:
		return "run as an administrator: " + strings.Join(grants, "; ") + "; or let a role that may do it run the migrations (postgres.migrate_url)"
	}
}
