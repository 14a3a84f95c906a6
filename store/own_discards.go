package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"landfall/cluster"
	"landfall/message"
)

// checkDiscarded finds out whether a trigger discarded rows, of which so many
// were due and so many were stored: then it fails. Every message is to be a
// row, or its key is to have one: where it has, a trigger may leave that as it
// is, and what a trigger does with a row behind its INSERT is the users' own
// business.
func (w *ownWrite) checkDiscarded(ctx context.Context, b *message.Batch, due, stored int64) error {
	switch {
	case due == stored:
		return nil
	case w.plan.mode == cluster.Append:
		return w.plan.discards(0)
	case !w.plan.traits.Trigger:
		return nil
	}
	_, err := w.conn.Exec(ctx, w.plan.findLost(w.refused), pgx.QueryExecModeSimpleProtocol)
	var lost *pgconn.PgError
	if !errors.As(err, &lost) || lost.Code != lostRow {
		return err
	}
	place, err := strconv.Atoi(lost.Message)
	if err != nil {
		return err
	}
	return w.plan.discards(b.Messages[place].Seq)
}

// lostRow is the SQLSTATE with which findLost says that there is one.
const lostRow = "LF001"

// findLost looks for a staged row, of those that Postgres did not refuse, which
// a trigger discarded. Its key has no row then; but neither has one whose key a
// trigger changes. So it is stored again, in a subtransaction that is undone:
// what is discarded does not even meet the row that is there.
func (p *ownPlan) findLost(refused map[int]refusal) string {
	places := make([]string, 0, len(refused))
	for place := range refused {
		places = append(places, strconv.Itoa(place))
	}
	same := "true"
	for _, k := range p.keyColumns() {
		same += " AND t." + k + " = kept." + k
	}
	return `DO $landfall$
DECLARE
	landfall_at bigint;
	landfall_lost bigint;
BEGIN
	FOR landfall_at IN WITH ` + p.kept(" FROM pg_temp."+ownStage+" AS s WHERE s.place <> ALL ('{"+strings.Join(places, ",")+"}'::integer[])") + `
		SELECT landfall_place FROM kept WHERE NOT landfall_gone AND NOT EXISTS (SELECT FROM ` + p.table.Sanitize() + ` AS t WHERE ` + same + `) ORDER BY landfall_place
	LOOP
		BEGIN
			` + p.insertInto() + " SELECT " + p.values() + " FROM pg_temp." + ownStage + ` AS s WHERE s.place = landfall_at;
			IF NOT FOUND THEN
				landfall_lost := landfall_at;
			END IF;
			RAISE SQLSTATE 'LF000';
		EXCEPTION WHEN SQLSTATE 'LF000' OR integrity_constraint_violation THEN
			IF landfall_lost IS NOT NULL THEN
				RAISE SQLSTATE '` + lostRow + `' USING MESSAGE = landfall_lost;
			END IF;
		END;
	END LOOP;
END
$landfall$`
}

// discards is the error when a trigger did, seq the sequence of such a message
// or 0.
func (p *ownPlan) discards(seq uint64) error {
	which := ""
	if seq > 0 {
		which = fmt.Sprintf(": of message %d there is none", seq)
	}
	return &message.SetupError{
		Reason: "a trigger on " + p.table.Sanitize() + " discards rows" + which,
		Advice: "have it raise an error, which makes a dead letter of the message, or delete the row in an AFTER trigger: Landfall does not lose messages on purpose",
	}
}
