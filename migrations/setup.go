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
	const elsewhere = "or let a role that may do it run the migrations (postgres.migrate_url)"
	var grants string
	err := db.QueryRowContext(ctx, `
		SELECT coalesce(string_agg(grant_it, '; '), '')
		FROM (
			SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user) AS grant_it
			WHERE to_regnamespace('landfall') IS NULL
				AND NOT has_database_privilege(current_database(), 'CREATE')
			UNION ALL
			SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', nspname, current_user)
			FROM pg_namespace
			WHERE nspname IN ('landfall', $1)
				AND NOT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))
		) lacking`, t.schema).Scan(&grants)
	switch {
	case err != nil || grants == "":
		return "Landfall's tables belong to another role: let that one run the migrations (postgres.migrate_url), or set postgres.migrate: off"
	default:
		return strings.Join([]string{"run as an administrator: " + grants, elsewhere}, "; ")
	}
}
