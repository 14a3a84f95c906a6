package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// suspectStage is the temporary table of the staged rows that look as if
// Postgres would refuse them, by number.
const suspectStage = "landfall_suspects"

// suspects finds those among the staged rows before they are stored: by the
// types of the columns, NOT NULL and the checks of the table, which need no
// other row. It is a guess, and spares a walk nearly all its failures: the walk
// tries each suspect alone before it blames it, and what is not suspected is
// found all the same.
type suspects struct {
	table         string // quoted
	stage, number string // temporary table, and its column that numbers the rows
	columns       []suspectColumn
	refuses       string // condition on the columns under which the table refuses a row, see readRefuses
	skip          string // condition on landfall_row under which it is not looked at; ""
}

// suspectColumn is a column of the table.
type suspectColumn struct {
	name  string // quoted
	value string // from landfall_row; NULL if it takes its DEFAULT
}

// fewSuspects is how few rows are not worth looking for suspects.
const fewSuspects = 20

// find notes the suspects. Where it cannot, there are none.
func (s *suspects) find(ctx context.Context, conn *pgxpool.Conn) error {
	if _, err := conn.Exec(ctx, "CREATE TEMPORARY TABLE "+suspectStage+" (number bigint) ON COMMIT DROP; SAVEPOINT suspects", pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, s.statement(), pgx.QueryExecModeSimpleProtocol)
	if err == nil || classify(err) == outage {
		return err
	}
	_, err = conn.Exec(ctx, "ROLLBACK TO SAVEPOINT suspects")
	return err
}

// statement looks at each row. The columns are variables of their types, so
// that the table's own expressions can be taken as they are.
func (s *suspects) statement() string {
	var declared, assigned strings.Builder
	for _, c := range s.columns {
		fmt.Fprintf(&declared, "\t%s %s.%s%%TYPE;\n", c.name, s.table, c.name)
		fmt.Fprintf(&assigned, "\t\t\t%s := %s;\n", c.name, c.value)
	}
	skip, refuses := "", ""
	if s.skip != "" {
		skip = "CONTINUE WHEN " + s.skip + ";"
	}
	if s.refuses != "" {
		refuses = "IF " + s.refuses + " THEN INSERT INTO pg_temp." + suspectStage + " VALUES (landfall_row." + s.number + "); END IF;"
	}
	return `DO $landfall$
DECLARE
	landfall_row record;
` + declared.String() + `BEGIN
	FOR landfall_row IN SELECT * FROM pg_temp.` + s.stage + ` LOOP
		` + skip + `
		BEGIN
` + assigned.String() + `			` + refuses + `
		EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
			INSERT INTO pg_temp.` + suspectStage + ` VALUES (landfall_row.` + s.number + `);
		END;
	END LOOP;
END
$landfall$`
}

// readRefuses reads the checks of a table as one condition on these columns:
// any other, and what is about rows as a whole, is left out. "" if there are
// none. required are those of the columns that are NOT NULL.
func readRefuses(ctx context.Context, conn querier, table pgx.Identifier, columns []string) (checks string, required []string, err error) {
	rows, err := conn.Query(ctx, `WITH ours AS (SELECT * FROM pg_attribute AS a WHERE a.attrelid = to_regclass($1) AND a.attname::text = ANY ($2::text[]))
		SELECT coalesce((SELECT string_agg('(' || pg_get_expr(c.conbin, c.conrelid) || ') IS FALSE', ' OR ' ORDER BY c.conname) FROM pg_constraint AS c
				WHERE c.conrelid = to_regclass($1) AND c.contype = 'c' AND c.conkey <@ ARRAY(SELECT attnum FROM ours)), ''),
			ARRAY(SELECT attname::text FROM ours WHERE attnotnull ORDER BY attnum)`, table.Sanitize(), columns)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&checks, &required}, func() error { return nil })
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the checks of %s: %w", table.Sanitize(), err)
	}
	return checks, required, nil
}
