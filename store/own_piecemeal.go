package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

// refusedStage is the temporary table in which piecemeal notes what Postgres
// refused.
const refusedStage = "landfall_refused"

// piecemeal stores a batch of which Postgres refuses some rows: those become
// dead letters.
func (w *ownWrite) piecemeal(ctx context.Context, b *message.Batch) (message.Outcome, error) {
	w.out.Careful = true
	if err := w.begin(ctx, w.conn, w.cur); err != nil {
		return message.Outcome{}, err
	}
	if err := w.findRefused(ctx, b); err != nil {
		return message.Outcome{}, w.abort(ctx, w.conn, "store into "+w.plan.table.Sanitize(), err)
	}
	out, err := w.settleOwn(ctx, b)
	if err != nil && classify(err) == data {
		err = &message.SetupError{Reason: "Postgres refuses at COMMIT what it took before", Advice: "look for deferred triggers on " + w.plan.table.Sanitize(), Err: err}
	}
	return out, err
}

func (w *ownWrite) findRefused(ctx context.Context, b *message.Batch) error {
	// Deferred constraints would fail the COMMIT.
	if _, err := w.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	if err := w.stage(ctx, b); err != nil {
		return err
	}
	if _, err := w.conn.Exec(ctx, "CREATE INDEX ON pg_temp."+ownStage+" (place)"); err != nil {
		return err
	}
	if _, err := w.conn.Exec(ctx, "CREATE TEMPORARY TABLE "+refusedStage+" (place integer, code text, message text, detail text, relation text, field text, rule text) ON COMMIT DROP"); err != nil {
		return err
	}
	if _, err := w.conn.Exec(ctx, w.plan.walk(len(b.Messages)), pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	rows, err := w.conn.Query(ctx, "SELECT place, code, message, detail, relation, field, rule FROM pg_temp."+refusedStage)
	if err != nil {
		return err
	}
	var place int
	var reused []int32
	e := &pgconn.PgError{}
	_, err = pgx.ForEachRow(rows, []any{&place, &e.Code, &e.Message, &e.Detail, &e.TableName, &e.ColumnName, &e.ConstraintName}, func() error {
		w.refused[place] = refusal{code: e.Code, reason: reasonOf(e), failure: failureOf(e)}
		if e.Code == uniqueViolation && slices.Contains(w.plan.ids, e.ConstraintName) {
			reused = append(reused, int32(place))
		}
		return nil
	})
	if err != nil || len(reused) == 0 {
		return err
	}
	return w.findRepeats(ctx, reused)
}

// findRepeats looks which of the refused rows, whose message id has a row, say
// what that row says: they are duplicates. The others reuse an id, and stay
// refused.
func (w *ownWrite) findRepeats(ctx context.Context, places []int32) error {
	rows, err := w.conn.Query(ctx, w.plan.repeats(), places)
	if err != nil {
		return err
	}
	var place int
	_, err = pgx.ForEachRow(rows, []any{&place}, func() error {
		delete(w.refused, place)
		w.repeated[place] = true
		return nil
	})
	return err
}

// repeats finds those staged rows at the places $1 whose id has a row that says
// the same in every column that the message itself fills: where it has no
// field, and in its place and time in the stream, a repeat may differ.
func (p *ownPlan) repeats() string {
	var same, id []string
	for i, c := range p.columns {
		value := fmt.Sprintf("s.c%d::%s::%s", i, c.Cast, c.Type)
		equal := fmt.Sprintf("t.%s::text IS NOT DISTINCT FROM (%s)::text", quoted(c.Name), value)
		switch source := c.Source.String(); {
		case c.Source.FromID():
			id = append(id, fmt.Sprintf("t.%s = %s", quoted(c.Name), value))
		case source == "message.seq" || source == "message.published_at":
		case c.Default != "":
			same = append(same, fmt.Sprintf("(s.d%d OR %s)", i, equal))
		default:
			same = append(same, equal)
		}
	}
	return "SELECT s.place FROM pg_temp." + ownStage + " AS s JOIN " + p.table.Sanitize() + " AS t ON " + strings.Join(id, " AND ") +
		" WHERE s.place = ANY($1::integer[])" + strings.Join(append([]string{""}, same...), " AND ")
}

// walk stores the staged rows in order, as many at a time as go well: after a
// failure a quarter as many, after a success twice as many. A row that fails
// alone is noted. All of it happens in Postgres, each attempt in a
// subtransaction, so that a row costs microseconds and not a round trip, be
// there few bad ones or every third.
func (p *ownPlan) walk(rows int) string {
	return fmt.Sprintf(`DO $landfall$
DECLARE
	landfall_at integer := 0;
	landfall_size integer := %[1]d;
	landfall_good integer := 0;
	landfall_code text; landfall_said text; landfall_more text; landfall_table text; landfall_column text; landfall_rule text;
BEGIN
	WHILE landfall_at < %[1]d LOOP
		BEGIN
			%[2]s;
			landfall_at := landfall_at + landfall_size;
			landfall_good := landfall_good + 1;
			IF landfall_good >= 4 THEN
				landfall_size := landfall_size * 4;
				landfall_good := 0;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS landfall_code := RETURNED_SQLSTATE, landfall_said := MESSAGE_TEXT, landfall_more := PG_EXCEPTION_DETAIL,
				landfall_table := TABLE_NAME, landfall_column := COLUMN_NAME, landfall_rule := CONSTRAINT_NAME;
			landfall_good := 0;
			IF %[3]s THEN
				RAISE;
			ELSIF landfall_size > 1 THEN
				landfall_size := greatest(landfall_size / 4, 1);
			ELSE
				INSERT INTO pg_temp.%[4]s VALUES (landfall_at, landfall_code, landfall_said, landfall_more, landfall_table, landfall_column, landfall_rule);
				landfall_at := landfall_at + 1;
			END IF;
		END;
	END LOOP;
END
$landfall$`, rows, p.store("landfall_at", "landfall_at + landfall_size - 1"), notData("landfall_code"), refusedStage)
}

// notData is the condition under which no row is to blame, see classify.
func notData(code string) string {
	classes := make([]string, 0, len(blameless()))
	for _, c := range blameless() {
		classes = append(classes, "'"+c+"'")
	}
	return "left(" + code + ", 2) IN (" + strings.Join(classes, ", ") + ") OR " + code + " IN ('XX001', 'XX002')"
}
