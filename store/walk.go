package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// walk stores staged rows in order, as many at a time as go well: after a
// failure a quarter as many, after four successes four times as many. A row
// that fails alone is noted. All of it happens in Postgres, each attempt in a
// subtransaction, so that a row costs microseconds and not a round trip, be
// there few bad ones or every third.
type walk struct {
	stage, column string // temporary table, and its column that numbers the rows
	first, last   int64  // numbers
	tries         int64  // how many to try first
	some, one     string // statements that store the rows from landfall_at to landfall_to, and the one at landfall_at
	blameless     string // condition on what Postgres said under which no row is to blame
	suspects      bool   // those that suspects found are tried first
}

// walked is what came of a walk.
type walked struct {
	refused []refusedRow // in order
	stored  int64        // rows, as the statements count them
}

// refusedRow is a row that Postgres refuses, and what it said.
type refusedRow struct {
	number int64
	why    *pgconn.PgError
}

// refusedStage is the temporary table in which a walk notes what Postgres
// refused, and under the number -1 how many rows it stored.
const refusedStage = "landfall_refused"

// run stores the rows. Its error is that of a statement for which no row is to
// blame.
func (w *walk) run(ctx context.Context, conn *pgxpool.Conn) (walked, error) {
	var done walked
	if _, err := conn.Exec(ctx, "CREATE TEMPORARY TABLE "+refusedStage+
		" (number bigint, code text, said text, more text, relation text, field text, rule text, stored bigint) ON COMMIT DROP"); err != nil {
		return done, err
	}
	if _, err := conn.Exec(ctx, w.statement(), pgx.QueryExecModeSimpleProtocol); err != nil {
		return done, err
	}
	rows, err := conn.Query(ctx, "SELECT number, coalesce(code, ''), coalesce(said, ''), coalesce(more, ''), coalesce(relation, ''), coalesce(field, ''), coalesce(rule, ''), coalesce(stored, 0) FROM pg_temp."+
		refusedStage+" ORDER BY number")
	if err != nil {
		return done, err
	}
	var number, stored int64
	var e pgconn.PgError
	_, err = pgx.ForEachRow(rows, []any{&number, &e.Code, &e.Message, &e.Detail, &e.TableName, &e.ColumnName, &e.ConstraintName, &stored}, func() error {
		if number < 0 {
			done.stored = stored
			return nil
		}
		why := e
		done.refused = append(done.refused, refusedRow{number, &why})
		return nil
	})
	return done, err
}

// statement is the walk as Postgres goes it. The stage gets its index only
// when the rows do not go all at once.
func (w *walk) statement() string {
	try := ""
	if w.suspects {
		try = walkSuspects
	}
	try = strings.NewReplacer("{one}", w.one, "{stage}", "pg_temp."+w.stage, "{column}", w.column,
		"{refused}", "pg_temp."+refusedStage, "{suspects}", "pg_temp."+suspectStage, "{outage}", notData(),
		"{first}", fmt.Sprint(w.first), "{last}", fmt.Sprint(w.last)).Replace(try)
	return strings.NewReplacer(
		"{try}", try,
		"{first}", fmt.Sprint(w.first), "{last}", fmt.Sprint(w.last), "{tries}", fmt.Sprint(max(w.tries, 1)),
		"{some}", w.some, "{one}", w.one, "{blameless}", w.blameless,
		"{stage}", "pg_temp."+w.stage, "{column}", w.column, "{refused}", "pg_temp."+refusedStage,
	).Replace(walkStatement)
}

// A failed ASSERT is the one error that OTHERS leaves out and that a row may
// be to blame for.
const walkStatement = `DO $landfall$
DECLARE
	landfall_at bigint;
	landfall_to bigint;
	landfall_size bigint := {tries};
	landfall_good integer := 0;
	landfall_rows bigint;
	landfall_stored bigint := 0;
	landfall_indexed boolean := false;
	landfall_code text; landfall_said text; landfall_more text;
	landfall_schema text; landfall_table text; landfall_column text; landfall_rule text;
BEGIN
	{try}
	landfall_at := {first};
	WHILE landfall_at <= {last} LOOP
		landfall_to := least(landfall_at + landfall_size - 1, {last});
		BEGIN
			IF landfall_to = landfall_at THEN
				{one};
			ELSE
				{some};
			END IF;
			GET DIAGNOSTICS landfall_rows := ROW_COUNT;
			landfall_stored := landfall_stored + landfall_rows;
			landfall_at := landfall_to + 1;
			landfall_good := landfall_good + 1;
			IF landfall_good >= 4 THEN
				landfall_size := landfall_size * 4;
				landfall_good := 0;
			END IF;
		EXCEPTION WHEN OTHERS OR ASSERT_FAILURE THEN
			GET STACKED DIAGNOSTICS landfall_code := RETURNED_SQLSTATE, landfall_said := MESSAGE_TEXT, landfall_more := PG_EXCEPTION_DETAIL,
				landfall_schema := SCHEMA_NAME, landfall_table := TABLE_NAME, landfall_column := COLUMN_NAME, landfall_rule := CONSTRAINT_NAME;
			landfall_good := 0;
			IF {blameless} THEN
				RAISE;
			ELSIF landfall_to > landfall_at THEN
				landfall_size := greatest((landfall_to - landfall_at + 1) / 4, 1);
				IF NOT landfall_indexed THEN
					CREATE INDEX ON {stage} ({column});
					landfall_indexed := true;
				END IF;
			ELSE
				INSERT INTO {refused} VALUES (landfall_at, landfall_code, landfall_said, landfall_more, landfall_table, landfall_column, landfall_rule);
				landfall_at := landfall_at + 1;
			END IF;
		END;
	END LOOP;
	INSERT INTO {refused} (number, stored) VALUES (-1, landfall_stored);
END
$landfall$`

// walkSuspects tries the suspects, each alone, and undoes it if it is good after
// all. Those that are bad by themselves are done with: the walk is spared them,
// and begins with all that is left.
const walkSuspects = `IF EXISTS (SELECT FROM {suspects}) THEN
		CREATE INDEX ON {stage} ({column});
		landfall_indexed := true;
	END IF;
	FOR landfall_at IN SELECT number FROM {suspects} ORDER BY number LOOP
		BEGIN
			{one};
			RAISE SQLSTATE 'LF000';
		EXCEPTION WHEN data_exception OR check_violation OR not_null_violation THEN
			GET STACKED DIAGNOSTICS landfall_code := RETURNED_SQLSTATE, landfall_said := MESSAGE_TEXT, landfall_more := PG_EXCEPTION_DETAIL,
				landfall_schema := SCHEMA_NAME, landfall_table := TABLE_NAME, landfall_column := COLUMN_NAME, landfall_rule := CONSTRAINT_NAME;
			IF landfall_code <> '23514' OR landfall_rule <> '' THEN
				INSERT INTO {refused} VALUES (landfall_at, landfall_code, landfall_said, landfall_more, landfall_table, landfall_column, landfall_rule);
				landfall_size := {last} - {first} + 1;
			END IF;
		WHEN OTHERS OR ASSERT_FAILURE THEN
			landfall_code := SQLSTATE;
			IF ({outage}) AND landfall_code <> '42501' THEN
				RAISE;
			END IF;
		END;
	END LOOP;
	DELETE FROM {stage} WHERE {column} IN (SELECT number FROM {refused});`

// notData is the condition on SQLSTATEs under which no row is to blame, see
// classify.
func notData() string {
	classes := make([]string, 0, len(blameless()))
	for _, c := range blameless() {
		classes = append(classes, "'"+c+"'")
	}
	return "left(landfall_code, 2) IN (" + strings.Join(classes, ", ") + ") OR landfall_code IN ('XX001', 'XX002')"
}
