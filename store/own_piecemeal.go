package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

// piecemeal stores a batch of which Postgres refuses some rows: those become
// dead letters.
func (w *ownWrite) piecemeal(ctx context.Context, b *message.Batch) (message.Outcome, error) {
	w.out.Careful = true
	if err := w.begin(ctx, w.conn, w.cur); err != nil {
		return message.Outcome{}, err
	}
	if err := w.findRefused(ctx, b, len(b.Messages)/4); err != nil { // all at once has failed
		return message.Outcome{}, w.abort(ctx, w.conn, "store into "+w.plan.table.Sanitize(), err)
	}
	out, err := w.settleOwn(ctx, b)
	if err != nil && classify(err) == data {
		err = &message.SetupError{Reason: "Postgres refuses at COMMIT what it took before", Advice: "look for deferred triggers on " + w.plan.table.Sanitize(), Err: err}
	}
	return out, err
}

// findRefused stores the rows of the batch that Postgres takes, and notes the
// others. tries is how many it tries at once at first.
func (w *ownWrite) findRefused(ctx context.Context, b *message.Batch, tries int) error {
	// Deferred constraints would fail the COMMIT.
	if _, err := w.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	staged, err := w.stage(ctx, b)
	if err != nil {
		return err
	}
	rows := walk{
		stage: ownStage, column: "place", last: int64(len(b.Messages)) - 1, tries: int64(tries),
		some: w.plan.store(fromStage("landfall_at", "landfall_to"), w.deletes), one: w.plan.storeOne("landfall_at", w.deletes), blameless: w.plan.blameless(),
	}
	if look := w.plan.suspects(); look != nil && staged >= fewSuspects {
		rows.suspects = true
		if err := look.find(ctx, w.conn); err != nil {
			return err
		}
	}
	done, err := rows.run(ctx, w.conn)
	var missing *pgconn.PgError
	switch {
	case errors.As(err, &missing) && missing.Code == checkViolation:
		return &message.SetupError{Reason: reasonOf(missing), Advice: "create the partition, or a DEFAULT one: nothing is lost meanwhile"}
	case err != nil && classify(err) == data:
		return &message.SetupError{Reason: "Postgres refuses what no row is to blame for", Advice: "look at the triggers of " + w.plan.table.Sanitize(), Err: err}
	case err != nil:
		return err
	}
	var reused []int32
	for _, r := range done.refused {
		w.refused[int(r.number)] = refusal{code: r.why.Code, reason: reasonOf(r.why), failure: failureOf(r.why)}
		if r.why.Code == uniqueViolation && slices.Contains(w.plan.ids, r.why.ConstraintName) {
			reused = append(reused, int32(r.number))
		}
	}
	if err := w.checkDiscarded(ctx, b, staged-int64(len(done.refused)), done.stored); err != nil || len(reused) == 0 {
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
	var of int64
	_, err = pgx.ForEachRow(rows, []any{&place, &of}, func() error {
		delete(w.refused, place)
		w.repeated[place] = of
		return nil
	})
	return err
}
