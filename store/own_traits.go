package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/message"
)

// ownTraits are what else happens to the rows of a table of the user's own.
type ownTraits struct {
	Secured bool // policies apply to this role: a row that one refuses fails with the SQLSTATE of a missing right
	View    bool
	Trigger bool   // one before or instead of the INSERT of a row, which may discard or mend it
	Refuses string // condition on the columns under which the table refuses a staged row, see suspects; "" if none is known
}

// readTraits reads them. A rule is a *message.SetupError: COPY passes by what
// INSERT obeys, and ON CONFLICT does not go with it.
func readTraits(ctx context.Context, conn querier, t *cluster.Table, columns []ownColumn) (ownTraits, error) {
	table := pgx.Identifier{t.Schema, t.Name}
	rows, err := conn.Query(ctx, `SELECT row_security_active(c.oid), c.relkind = 'v',
			EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid))
				AND g.tgenabled <> 'D' AND g.tgtype & 5 = 5 AND g.tgtype & 66 <> 0),
			coalesce((SELECT min(rulename::text) FROM pg_rewrite WHERE ev_class = c.oid AND ev_type = '3' AND ev_enabled <> 'D'), '')
		FROM pg_class AS c WHERE c.oid = to_regclass($1)`, table.Sanitize())
	if err != nil {
		return ownTraits{}, fmt.Errorf("read the triggers of %s: %w", table.Sanitize(), err)
	}
	var rule string
	traits, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (traits ownTraits, err error) {
		return traits, row.Scan(&traits.Secured, &traits.View, &traits.Trigger, &rule)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return traits, nil // dropped meanwhile, as the statement will say
	case err != nil:
		return traits, fmt.Errorf("read the triggers of %s: %w", table.Sanitize(), err)
	case rule != "":
		return traits, &message.SetupError{Reason: fmt.Sprintf("rule %s rewrites what is inserted into %s", rule, t), Advice: "drop it: a trigger can do the same"}
	}
	traits.Refuses, err = ownRefuses(ctx, conn, table, columns)
	return traits, err
}

// ownRefuses adds to the checks the columns that must not be NULL, unless they
// have a DEFAULT to take.
func ownRefuses(ctx context.Context, conn querier, table pgx.Identifier, columns []ownColumn) (string, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	checks, required, err := readRefuses(ctx, conn, table, names)
	if err != nil {
		return "", err
	}
	var refuses []string
	if checks != "" {
		refuses = append(refuses, checks)
	}
	for i, c := range columns {
		if !slices.Contains(required, c.Name) {
			continue
		}
		null := quoted(c.Name) + " IS NULL"
		if c.Default != "" {
			null = fmt.Sprintf("(%s AND NOT landfall_row.d%d)", null, i)
		}
		refuses = append(refuses, null)
	}
	return strings.Join(refuses, " OR "), nil
}

// suspects finds those among the staged rows, see there; nil where a trigger
// may mend what looks bad.
func (p *ownPlan) suspects() *suspects {
	if p.traits.Trigger || p.traits.View {
		return nil
	}
	s := &suspects{table: p.table.Sanitize(), stage: ownStage, number: "place", refuses: p.traits.Refuses}
	for i, c := range p.columns {
		value := fmt.Sprintf("landfall_row.c%d", i)
		if c.Default != "" {
			value = fmt.Sprintf("CASE WHEN NOT landfall_row.d%d THEN %s END", i, value)
		}
		s.columns = append(s.columns, suspectColumn{quoted(c.Name), value})
	}
	if p.mode == cluster.Upsert {
		s.skip = "landfall_row.gone"
	}
	return s
}

// blameless is the condition on what Postgres said to a walk under which no row
// is to blame. A partition that is missing is the set-up: it shares the SQLSTATE
// of a check's violation, which names a constraint.
func (p *ownPlan) blameless() string {
	cond := "(" + notData() + ")"
	if p.traits.Secured {
		cond += " AND NOT (landfall_code = '" + insufficientRight + "' AND has_table_privilege(" + literal(p.table.Sanitize()) + ", 'INSERT'))"
	}
	return cond + " OR landfall_code = '" + checkViolation + "' AND landfall_rule = '' AND EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace" +
		" WHERE c.relkind = 'p' AND n.nspname = landfall_schema AND c.relname = landfall_table)"
}

// rowsFail tells that rows may be to blame for an error.
func (p *ownPlan) rowsFail(err error) bool {
	return classify(err) == data || p.traits.Secured && SQLState(err) == insufficientRight
}
