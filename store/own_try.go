package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"landfall/message"
)

// Tried is what a message would become in a table of the user's own.
type Tried struct {
	Row     json.RawMessage `json:"row,omitempty"`     // an object of the columns, as Postgres would have them
	Deletes bool            `json:"deletes,omitempty"` // the row of the key in Row
	Refused string          `json:"refused,omitempty"` // it would be a dead letter, for this reason
}

// TryError says that a stream has no table of the user's own to try.
type TryError struct{ Stream string }

func (e *TryError) Error() string {
	return fmt.Sprintf("stream %s has no table of its own: its messages become rows of the messages table as they are", e.Stream)
}

// Try stores messages in the stream's own table, in a transaction that is
// rolled back, and tells what became of each: as if they came in a batch, one
// behind the other. What else the statements do (triggers, sequences) happens
// as it would, and is undone, except for the numbers that sequences gave.
func (s *Stream) Try(ctx context.Context, ms []message.Message) ([]Tried, error) {
	if s.own == nil {
		return nil, &TryError{s.name}
	}
	if len(ms) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, explain("connect to Postgres", err)
	}
	defer conn.Release()
	if _, err := s.own.refresh(ctx, conn, true); err != nil {
		return nil, explain("prepare "+s.own.table.String(), err)
	}
	b := &message.Batch{Messages: ms}
	for i := range ms {
		b.Rows = s.own.encode(b.Rows, &ms[i])
	}
	w := &ownWrite{careful: &careful{Stream: s, conn: conn}, plan: s.own.plan.Load()}
	if err := w.load(b); err != nil {
		return nil, err
	}
	if err := conn.SendBatch(ctx, beginWith()).Close(); err != nil {
		return nil, s.abort(ctx, conn, "begin", err)
	}
	tried, err := w.try(ctx, b)
	if err != nil {
		return nil, s.abort(ctx, conn, "try "+w.plan.table.Sanitize(), err)
	}
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return nil, explain("roll back", err)
	}
	return tried, nil
}

func (w *ownWrite) try(ctx context.Context, b *message.Batch) ([]Tried, error) {
	if err := w.findRefused(ctx, b, len(b.Messages)); err != nil {
		return nil, err
	}
	tried := make([]Tried, len(b.Messages))
	good := make([]int32, 0, len(tried))
	for i := range tried {
		if r, refused := w.refused[i]; refused {
			tried[i].Refused = r.reason
		} else {
			good = append(good, int32(i))
		}
	}
	rows, err := w.conn.Query(ctx, w.plan.show(), good)
	if err != nil {
		return nil, err
	}
	var place int
	var row []byte
	var deletes bool
	_, err = pgx.ForEachRow(rows, []any{&place, &row, &deletes}, func() error {
		tried[place].Row, tried[place].Deletes = append(json.RawMessage(nil), row...), deletes
		return nil
	})
	return tried, err
}

// show gives the staged rows at the places $1 as JSON, their values as the
// columns have them; of a delete only the key.
func (p *ownPlan) show() string {
	var all, key string
	for i, c := range p.columns {
		value := fmt.Sprintf(", %s, (%s)::%s", literal(c.Name), p.value(i), c.Type)
		all += value
		if p.isKey(i) {
			key += value
		}
	}
	object := func(pairs string) string {
		if pairs == "" {
			return "'{}'::jsonb"
		}
		return "json_build_object(" + pairs[2:] + ")::jsonb"
	}
	return "SELECT s.place, CASE WHEN s.gone THEN " + object(key) + " ELSE " + object(all) + " END, s.gone FROM pg_temp." + ownStage +
		" AS s WHERE s.place = ANY($1::integer[])"
}
