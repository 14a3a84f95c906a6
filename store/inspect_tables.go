package store

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Right is one that the role lacks.
type Right struct {
	Privilege string // such as INSERT
	On        string // such as TABLE landfall.dead_letters, as GRANT has it
	Unused    bool   // asked for in the documentation, but nothing needs it yet
}

// LackingRights lists what the sink needs and the role may not, on what is
// there. table is the messages table, "schema.table"; expires says that its old
// rows are to be deleted.
func (i *Inspection) LackingRights(ctx context.Context, table string, expires bool) ([]Right, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	schema, name := splitTable(table)
	rows, err := i.conn.Query(ctx, `
		SELECT 'TEMPORARY' AS privilege, format('DATABASE %I', current_database()) AS "on", false AS unused, 1 AS place
		WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
		UNION ALL
		SELECT 'USAGE', format('SCHEMA %I', nspname), false, 2
		FROM pg_namespace WHERE nspname IN ('landfall', $1) AND NOT has_schema_privilege(oid, 'USAGE')
		UNION ALL
		SELECT privilege, format('TABLE %I.%I', nspname, relname), privilege = 'DELETE' AND relname NOT IN ('marks', 'batches'), 3
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
		WHERE nspname = 'landfall' AND relname <> 'goose_db_version' AND relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, privilege)
		UNION ALL
		SELECT privilege, format('TABLE %I.%I', nspname, relname), false, 4
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) AS privilege
		WHERE nspname = $1 AND relname = $2 AND (privilege <> 'DELETE' OR $3) AND NOT has_table_privilege(c.oid, privilege)
		ORDER BY 4, 2, 1`, schema, name, expires)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Right, err error) {
		var place int
		err = row.Scan(&r.Privilege, &r.On, &r.Unused, &place)
		return r, err
	})
}

// splitTable reads "schema.table" or "table".
func splitTable(table string) (schema, name string) {
	schema, name, found := strings.Cut(table, ".")
	if !found {
		return "public", table
	}
	return schema, name
}

// Mistyped is a column of another type than the one that is written to it.
type Mistyped struct{ Column, Type, Want string }

// Layout is where the messages table differs from what the sink writes.
type Layout struct {
	Missing    []string   // columns
	Mistyped   []Mistyped // columns
	Demanding  []string   // columns that must have a value, and would not always get one
	NoPrimary  bool       // no primary key (stream_id, seq)
	NoUniqueID bool       // no unique key (stream_id, msg_id)
}

// Fits tells whether the sink can write to the table.
func (l Layout) Fits() bool {
	return len(l.Missing)+len(l.Mistyped)+len(l.Demanding) == 0 && !l.NoPrimary && !l.NoUniqueID
}

// written are the columns that the sink writes, with their types. Binary COPY
// takes varchar for text, and nothing else for another type.
const written = `(VALUES ('stream_id', 'bigint', true), ('seq', 'bigint', true), ('subject', 'text', true),
	('content', 'text', false), ('content_bytes', 'bytea', false), ('headers', 'jsonb', false),
	('msg_id', 'text', false), ('published_at', 'timestamp with time zone', true)) AS w (name, type, always)`

// Layout compares a table, "schema.table", that is there.
func (i *Inspection) Layout(ctx context.Context, table string) (Layout, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	schema, name := splitTable(table)
	var l Layout
	rows, err := i.conn.Query(ctx, `
		SELECT coalesce(attname::text, w.name), coalesce(w.type, ''), coalesce(format_type(coalesce(nullif(typbasetype, 0), atttypid), NULL), ''),
			coalesce(attnotnull AND NOT coalesce(w.always, false) AND (w.name IS NOT NULL OR NOT atthasdef AND attidentity = ''), false)
		FROM (SELECT a.*, typbasetype FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
			WHERE nspname = $1 AND relname = $2 AND attnum > 0 AND NOT attisdropped) AS a
		FULL JOIN `+written+` ON w.name = attname
		ORDER BY attnum, w.name`, schema, name)
	if err != nil {
		return Layout{}, err
	}
	var column, want, is string
	var demanding bool
	_, err = pgx.ForEachRow(rows, []any{&column, &want, &is, &demanding}, func() error {
		switch {
		case is == "":
			l.Missing = append(l.Missing, column)
		case want != "" && is != want && (want != "text" || is != "character varying"):
			l.Mistyped = append(l.Mistyped, Mistyped{column, is, want})
		case demanding:
			l.Demanding = append(l.Demanding, column)
		}
		return nil
	})
	if err != nil {
		return Layout{}, err
	}
	err = i.conn.QueryRow(ctx, `
		WITH keys AS (
			SELECT indisprimary, (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute
				WHERE attrelid = indrelid AND attnum = ANY (indkey[0:indnkeyatts - 1])) AS columns
			FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
			WHERE nspname = $1 AND relname = $2 AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL AND indexprs IS NULL
		)
		SELECT NOT EXISTS (SELECT FROM keys WHERE indisprimary AND columns = 'seq,stream_id'),
			NOT EXISTS (SELECT FROM keys WHERE columns = 'msg_id,stream_id')`, schema, name).Scan(&l.NoPrimary, &l.NoUniqueID)
	return l, err
}
