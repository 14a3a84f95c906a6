package store

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/message"
)

// OwnTable is a table of the user's own as a stream would fill it.
type OwnTable struct {
	Problem *message.SetupError // why the stream would pause, or nil; the rest may be missing then

	Columns  []OwnColumn
	Lacking  []Right  // that the role needs and has not
	NoDelete bool     // the role may not delete, which only messages that say so need
	Triggers []string // that are enabled
	Policies bool     // of row security apply to the role
	KnowsID  bool     // the column of message ids has a unique index of its own
}

// OwnColumn is a column, and where it comes from.
type OwnColumn struct {
	Name, Type string
	Source     string // as in cluster.yaml; "" if no message writes it
	Computed   bool   // by Postgres itself
	Default    string // the expression for a row without the field; "" for NULL
	Key        bool
	Required   bool // NOT NULL, and without a DEFAULT
}

// OwnTable looks at a table of the user's own.
func (i *Inspection) OwnTable(ctx context.Context, t *cluster.Table) (OwnTable, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	var o OwnTable
	plan, err := i.planOwn(ctx, t)
	if errors.As(err, &o.Problem) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	o.Policies, o.KnowsID = plan.traits.Secured, len(plan.ids) > 0
	if o.Columns, err = i.columnsOfOwn(ctx, t, plan); err != nil {
		return o, err
	}
	if o.Lacking, err = i.lackingOnOwn(ctx, t); err != nil {
		return o, err
	}
	if at := slices.IndexFunc(o.Lacking, func(r Right) bool { return r.Privilege == "DELETE" }); at >= 0 {
		o.Lacking, o.NoDelete = slices.Delete(o.Lacking, at, at+1), true
	}
	rows, err := i.conn.Query(ctx, `SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1`, plan.table.Sanitize())
	if err != nil {
		return o, err
	}
	if o.Triggers, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return o, err
	}
	return o, nil
}

// planOwn makes the plan that the sink would make.
func (i *Inspection) planOwn(ctx context.Context, t *cluster.Table) (*ownPlan, error) {
	o := &own{table: t}
	if _, err := o.refresh(ctx, i.conn, true); err != nil {
		return nil, err
	}
	p := o.plan.Load()
	_, err := p.mapping()
	return p, err
}

// columnsOfOwn are all of the table's columns, in their order.
func (i *Inspection) columnsOfOwn(ctx context.Context, t *cluster.Table, p *ownPlan) ([]OwnColumn, error) {
	found, err := readColumns(ctx, i.conn, p.table)
	if err != nil {
		return nil, err
	}
	rows, err := i.conn.Query(ctx, `SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND attnotnull`, p.table.Sanitize())
	if err != nil {
		return nil, err
	}
	notNull, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var columns []OwnColumn
	for _, f := range found {
		c := OwnColumn{Name: f.Name, Type: f.Type, Computed: f.Computed, Default: f.Default, Key: slices.Contains(t.Key, f.Name)}
		if at := slices.IndexFunc(p.columns, func(c ownColumn) bool { return c.Name == f.Name }); at >= 0 {
			c.Source = p.columns[at].Source.String()
			c.Required = f.Default == "" && slices.Contains(notNull, f.Name)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// lackingOnOwn are the rights that the mode needs: on the table, or on every
// column that is filled.
func (i *Inspection) lackingOnOwn(ctx context.Context, t *cluster.Table) ([]Right, error) {
	privileges := []string{"INSERT"}
	switch t.Mode {
	case cluster.Upsert:
		privileges = []string{"INSERT", "SELECT", "UPDATE", "DELETE"}
	case cluster.KeepFirst:
		privileges = []string{"INSERT", "SELECT"}
	}
	rows, err := i.conn.Query(ctx, `
		SELECT 'USAGE' AS privilege, format('SCHEMA %I', nspname) AS "on" FROM pg_namespace WHERE nspname = $1 AND NOT has_schema_privilege(oid, 'USAGE')
		UNION ALL
		SELECT privilege, format('TABLE %I.%I', $1::text, $2::text) FROM unnest($3::text[]) AS privilege
		WHERE CASE privilege WHEN 'DELETE' THEN NOT has_table_privilege(to_regclass(format('%I.%I', $1::text, $2::text)), privilege)
			ELSE NOT has_any_column_privilege(to_regclass(format('%I.%I', $1::text, $2::text)), privilege) END
		UNION ALL
		SELECT DISTINCT 'USAGE', format('SEQUENCE %s', s.oid::regclass) FROM pg_class AS s
		JOIN pg_depend AS d ON d.refobjid = s.oid AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_attrdef'::regclass
		JOIN pg_attrdef AS a ON a.oid = d.objid AND a.adrelid = to_regclass(format('%I.%I', $1::text, $2::text))
		WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END
		ORDER BY 2, 1`, t.Schema, t.Name, privileges)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Right, err error) {
		return r, row.Scan(&r.Privilege, &r.On)
	})
}

// Required lists the names of columns that a message must have a value for.
func (o *OwnTable) Required() string {
	var names []string
	for _, c := range o.Columns {
		if c.Required {
			names = append(names, c.Name)
		}
	}
	return strings.Join(names, ", ")
}
