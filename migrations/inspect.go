package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Outlook is what Up would meet with, found without changing anything.
type Outlook struct {
	State
	Orphan   bool     // the messages table holds rows, and what they belong to is gone
	NoSchema bool     // there is no schema for the messages table
	Grants   []string // statements for an administrator: rights that the role lacks for what is left to do
	Owners   []string // roles that own tables which are left to be changed; the role is a member of none
}

// Look tells how far the database is and whether the role at url could bring
// it up to date. Its errors are like those of Up.
func Look(ctx context.Context, url string, o Options) (Outlook, error) {
	t, err := parseTable(o.MessagesTable)
	if err != nil {
		return Outlook{}, err
	}
	config, err := configure(url)
	if err != nil {
		return Outlook{}, err
	}
	// A pooler may give each question another session, in which a prepared
	// statement would not be known.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	db := stdlib.OpenDB(*config)
	defer db.Close()
	l, err := t.outlook(ctx, db)
	if err != nil {
		return Outlook{}, fmt.Errorf("migration status: %w", diagnose(ctx, db, t, err))
	}
	return l, nil
}

func (t table) outlook(ctx context.Context, db *sql.DB) (Outlook, error) {
	state, err := status(ctx, db, t)
	if err != nil {
		return Outlook{}, err
	}
	l := Outlook{State: state}
	if state.Messages == string(tablePresent) {
		if l.Orphan, err = t.orphaned(ctx, db); err != nil {
			return Outlook{}, err
		}
	}
	if state.Current() {
		return l, nil
	}
	var schemas []string // to make something in
	if slices.ContainsFunc(state.Migrations, func(m Migration) bool { return m.AppliedAt == nil }) {
		schemas = append(schemas, "landfall")
	}
	if state.Messages == string(tableMissing) {
		schemas = append(schemas, t.schema)
	}
	if l.Grants, err = lackingGrants(ctx, db, schemas...); err != nil {
		return Outlook{}, err
	}
	if l.Owners, err = strangers(ctx, db); err != nil {
		return Outlook{}, err
	}
	err = db.QueryRowContext(ctx, `SELECT to_regnamespace(quote_ident($1)) IS NULL`, t.schema).Scan(&l.NoSchema)
	return l, err
}

// Fits refuses a server that is too old, or a database that cannot hold every
// message, with a SetupError.
func Fits(version int, encoding string) error { return judgeServer(version, encoding) }

// lackingGrants are the statements with which an administrator lets the role
// make something in the schemas, and the schema landfall itself.
func lackingGrants(ctx context.Context, db *sql.DB, schemas ...string) ([]string, error) {
	return list(ctx, db, `
		SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
		WHERE to_regnamespace('landfall') IS NULL
			AND NOT has_database_privilege(current_database(), 'CREATE')
		UNION ALL
		SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', nspname, current_user)
		FROM pg_namespace
		WHERE nspname = ANY ($1)
			AND NOT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE'))
		ORDER BY 1`, schemas)
}

// strangers are the roles that own tables of schema landfall, as far as the
// role may not do what they may: only its owner can change a table.
func strangers(ctx context.Context, db *sql.DB) ([]string, error) {
	return list(ctx, db, `
		SELECT DISTINCT rolname FROM pg_class JOIN pg_roles r ON r.oid = relowner
		WHERE relnamespace = to_regnamespace('landfall') AND relkind IN ('r', 'p')
			AND NOT pg_has_role(relowner, 'USAGE')
		ORDER BY 1`)
}

func list(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
