package migrations

import (
	"context"
	"database/sql"
	_ "embed" // for the SQL of the table
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

//go:embed messages.sql
var messagesSQL string

const (
	defaultTable = "public.messages"

	// mark is what Landfall knows its table by. It is in the comment, so it
	// survives dump and restore, renaming and moving to another schema. The
	// number is the layout's, for changes to come.
	mark = "[landfall messages 1]"

	// longestName leaves room for the longest suffix of a constraint's name
	// within Postgres' 63 bytes.
	longestName = 63 - len("_msg_id_key")
)

// table is the name of the messages table.
type table struct {
	schema, name string
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseTable reads "schema.table" or "table".
func parseTable(s string) (table, error) {
	if s == "" {
		s = defaultTable
	}
	schema, name, found := strings.Cut(s, ".")
	if !found {
		schema, name = "public", s
	}
	if !plainName.MatchString(schema) || !plainName.MatchString(name) || len(name) > longestName || len(schema) > 63 {
		return table{}, &SetupError{
			Problem: fmt.Sprintf("messages table %q has no usable name", s),
			Hint: fmt.Sprintf("messages_table: in cluster.yaml is schema.table, of letters, digits and _, "+
				"the table's part at most %d long", longestName),
		}
	}
	return table{schema, name}, nil
}

// String is the name as the configuration has it.
func (t table) String() string { return t.schema + "." + t.name }

// Qualified is the name for SQL, used as written: quoted. Plain names need no
// escapes.
func (t table) Qualified() string { return `"` + t.schema + `"."` + t.name + `"` }

// Constraint is the name of one of the table's constraints, for SQL.
func (t table) Constraint(suffix string) string { return `"` + t.name + suffix + `"` }

// Mark is what goes into the comment.
func (t table) Mark() string { return mark }

// sql is the text that makes the table.
func (t table) sql() (string, error) {
	tmpl, err := template.New("messages.sql").Parse(messagesSQL)
	if err != nil {
		return "", fmt.Errorf("embedded messages.sql: %w", err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, t); err != nil {
		return "", fmt.Errorf("embedded messages.sql: %w", err)
	}
	return b.String(), nil
}

// tableState is what is there under the messages table's name.
type tableState string

const (
	tableMissing tableState = "missing"
	tablePresent tableState = "present" // and Landfall's
	tableForeign tableState = "foreign" // something, and not Landfall's
)

// querier is what a look at the catalog needs: *sql.Conn and *sql.DB.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// look tells what is there under the name. The catalog is readable by every
// role, whatever its rights on the table.
func (t table) look(ctx context.Context, q querier) (tableState, error) {
	var isTable bool
	var comment string
	err := q.QueryRowContext(ctx, `
		SELECT c.relkind IN ('r', 'p'), coalesce(obj_description(c.oid, 'pg_class'), '')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, t.schema, t.name).Scan(&isTable, &comment)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return tableMissing, nil
	case err != nil:
		return "", fmt.Errorf("look for messages table %s: %w", t, err)
	case isTable && strings.Contains(comment, "[landfall messages "):
		return tablePresent, nil
	default:
		return tableForeign, nil
	}
}

// inspect looks, and refuses what must not be written to.
func (t table) inspect(ctx context.Context, conn *sql.Conn) (tableState, error) {
	state, err := t.look(ctx, conn)
	if err != nil {
		return "", err
	}
	switch state {
	case tableForeign:
		return "", &SetupError{
			Problem: fmt.Sprintf("%s exists and is not Landfall's", t),
			Hint:    "choose another name with messages_table: in cluster.yaml, or rename the existing table",
		}
	case tablePresent:
		return state, t.refuseOrphan(ctx, conn)
	default:
		return state, nil
	}
}

// refuseOrphan refuses a messages table with rows whose streams' table is gone.
// New streams would get the old numbers, and their messages would collide with
// rows of others.
func (t table) refuseOrphan(ctx context.Context, q querier) error {
	orphan, err := t.orphaned(ctx, q)
	if err != nil || !orphan {
		return err
	}
	return &SetupError{
		Problem: fmt.Sprintf("%s holds messages, but landfall.streams, which knows what they belong to, is gone", t),
		Hint:    "restore the schema landfall from the same backup, or rename the table and start over",
	}
}

// orphaned tells whether the table, which is there, is one of those.
func (t table) orphaned(ctx context.Context, q querier) (bool, error) {
	var known, rows bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_tables
		WHERE schemaname = 'landfall' AND tablename = 'streams')`).Scan(&known)
	if err != nil || known {
		return false, err
	}
	if err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+t.Qualified()+`)`).Scan(&rows); err != nil {
		return false, fmt.Errorf("look into messages table %s: %w", t, err)
	}
	return rows, nil
}
