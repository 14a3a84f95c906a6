package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/mapping"
	"landfall/message"
)

// ownColumn is a column of a table of the user's own that messages fill.
type ownColumn struct {
	mapping.Column
	Cast    string // what a text is read as, see readColumns
	Default string // the expression for a row without the field; "" for NULL
}

// catalogColumn is a column as the catalog has it.
type catalogColumn struct {
	Name, Type, Cast, Default string
	Category, ElemCategory    string // pg_type.typcategory, behind domains; of an array's elements
	Base, ElemBase            string // the type's own name, behind domains
	Computed                  bool   // generated or identity: Postgres fills it
}

// ownColumns are the columns of a table that messages fill: those named in
// the configuration, and each other as the JSON field of its name, except those
// that it leaves alone or Postgres computes. What does not fit is a *message.SetupError that says
// which.
func ownColumns(ctx context.Context, conn querier, t *cluster.Table) ([]ownColumn, error) {
	found, err := readColumns(ctx, conn, pgx.Identifier{t.Schema, t.Name})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &message.SetupError{Reason: "there is no table " + t.String(), Advice: "create it, correct the name in cluster.yaml, or grant USAGE on its schema"}
	}
	if err := checkNames(t, found); err != nil {
		return nil, err
	}
	var columns []ownColumn
	for _, f := range found {
		source := mapping.Field(f.Name)
		at := slices.IndexFunc(t.Columns, func(c cluster.Column) bool { return c.Name == f.Name })
		if at >= 0 {
			source = t.Columns[at].Source
		}
		if at >= 0 && t.Columns[at].Left {
			continue
		}
		if f.Computed {
			if at >= 0 || slices.Contains(t.Key, f.Name) {
				return nil, &message.SetupError{Reason: fmt.Sprintf("Postgres itself computes column %q of %s", f.Name, t), Advice: "take it out of columns and key in cluster.yaml"}
			}
			continue
		}
		columns = append(columns, ownColumn{
			Column: mapping.Column{Name: f.Name, Source: source, Kind: f.kind(), Type: f.Type}, Cast: f.Cast, Default: f.Default,
		})
	}
	return columns, nil
}

// checkNames finds names of the configuration that are no columns.
func checkNames(t *cluster.Table, found []catalogColumn) error {
	named := slices.Clone(t.Key)
	for _, c := range t.Columns {
		named = append(named, c.Name)
	}
	has := make([]string, len(found))
	for i, f := range found {
		has[i] = f.Name
	}
	for _, name := range named {
		if slices.Contains(has, name) {
			continue
		}
		return &message.SetupError{
			Reason: fmt.Sprintf("%s has no column %q", t, name),
			Advice: "correct it in cluster.yaml, or add it to the table; it has " + strings.Join(has, ", "),
		}
	}
	return nil
}

// querier is a connection or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// readColumns reads a table's columns, in their order; none if there is no
// such table.
//
// A text is read as the type behind all domains. Of its modifiers it has those
// that round, so that keys which are the same once stored are the same before,
// and not those that cut off: a cast would do that in silence, where the
// assignment refuses, as it does what a domain's check refuses. A collation for
// which different texts can be equal goes with it.
func readColumns(ctx context.Context, conn querier, table pgx.Identifier) ([]catalogColumn, error) {
	rows, err := conn.Query(ctx, `WITH RECURSIVE base (oid, root, typ, mod) AS (
			SELECT a.atttypid, a.atttypmod, a.atttypid, a.atttypmod FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
			UNION
			SELECT b.oid, b.root, t.typbasetype, t.typtypmod FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd'
		), elem (oid, typ) AS (
			SELECT t.oid, t.typelem FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typcategory = 'A' AND t.typtype <> 'd'
			UNION
			SELECT e.oid, t.typbasetype FROM elem e JOIN pg_type t ON t.oid = e.typ WHERE t.typtype = 'd'
		)
		SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, CASE WHEN own.typcategory IN ('N', 'D', 'T') AND n.nspname = 'pg_catalog' AND b.mod >= 0 THEN format_type(own.oid, b.mod) ELSE format('%I.%I', n.nspname, own.typname) END
				|| coalesce((SELECT format(' COLLATE %I.%I', cn.nspname, c.collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
					WHERE c.oid = a.attcollation AND NOT c.collisdeterministic), '') AS "cast",
			coalesce(CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, CASE WHEN t.typtype = 'd' THEN pg_get_expr(t.typdefaultbin, 0) END, '') AS "default",
			own.typcategory AS category, own.typname AS base,
			coalesce(item.typcategory, '') AS elem_category, coalesce(item.typname, '') AS elem_base,
			a.attgenerated <> '' OR a.attidentity <> '' AS computed
		FROM pg_attribute a
		JOIN pg_type t ON t.oid = a.atttypid
		JOIN base b ON b.oid = a.atttypid AND b.root = a.atttypmod
		JOIN pg_type own ON own.oid = b.typ AND own.typtype <> 'd'
		JOIN pg_namespace n ON n.oid = own.typnamespace
		LEFT JOIN elem e ON e.oid = own.oid
		LEFT JOIN pg_type item ON item.oid = e.typ
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(item.typtype, 'b') <> 'd'
		ORDER BY a.attnum`, table.Sanitize())
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table.Sanitize(), err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByName[catalogColumn])
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table.Sanitize(), err)
	}
	return columns, nil
}

// kind is how the column's text is made of a JSON value.
func (c *catalogColumn) kind() mapping.Kind {
	if c.Category == "A" {
		return mapping.ArrayOf(kindOf(c.ElemCategory, c.ElemBase))
	}
	return kindOf(c.Category, c.Base)
}

func kindOf(category, base string) mapping.Kind {
	switch {
	case base == "json" || base == "jsonb":
		return mapping.JSON
	case base == "bytea":
		return mapping.Bytes
	case category == "D":
		return mapping.Time
	case category == "S":
		return mapping.Text
	}
	return mapping.Scalar
}
