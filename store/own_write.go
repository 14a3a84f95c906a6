package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/cluster"
	"landfall/message"
)

// ownReadAgain is how often the columns are read while batches come: so soon a
// new one is filled. One that is gone shows at once.
const ownReadAgain = time.Second

// own is a table of the user's own that a stream fills.
type own struct {
	table   *cluster.Table
	plan    atomic.Pointer[ownPlan] // nil before the first reading
	read    time.Time               // when the columns were read
	encoder *ownEncoder             // for the goroutine that encodes
}

// encode appends the message's record, for a Write to come. Before there is a
// plan, and after the table has changed, that makes it anew.
func (o *own) encode(dst []byte, m *message.Message) []byte {
	p := o.plan.Load()
	if p == nil {
		return unplanned(dst)
	}
	if o.encoder == nil || o.encoder.plan != p {
		e, err := newOwnEncoder(p)
		if err != nil { // Write says so
			return unplanned(dst)
		}
		o.encoder = e
	}
	return o.encoder.encode(dst, m)
}

// unplanned appends the record of a message that Write is to encode.
func unplanned(dst []byte) []byte { return append(dst, 0, 0, 0, 5, 0, 0, 0, 0, byte(ownRow)) }

// refresh reads the columns, if that was a while ago or must be, and makes a
// new plan if they are others.
func (o *own) refresh(ctx context.Context, conn querier, now bool) (changed bool, err error) {
	p := o.plan.Load()
	if p != nil && !now && time.Since(o.read) < ownReadAgain {
		return false, nil
	}
	columns, err := ownColumns(ctx, conn, o.table)
	if err != nil {
		return false, err
	}
	indexes, err := readIndexes(ctx, conn, pgx.Identifier{o.table.Schema, o.table.Name})
	if err != nil {
		return false, err
	}
	if err := checkKey(o.table, indexes); err != nil {
		return false, err
	}
	traits, err := readTraits(ctx, conn, o.table, columns)
	if err != nil {
		return false, err
	}
	ids := idIndexes(columns, indexes)
	o.read = time.Now()
	if p != nil && sameColumns(p.columns, columns) && slices.Equal(p.ids, ids) && p.traits == traits {
		return false, nil
	}
	number := uint32(1)
	if p != nil {
		number = p.number + 1
	}
	o.plan.Store(newOwnPlan(number, o.table, columns, ids, traits))
	return true, nil
}

func sameColumns(a, b []ownColumn) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Name != y.Name || x.Kind != y.Kind || x.Type != y.Type || x.Cast != y.Cast || x.Default != y.Default || !x.Source.Equal(y.Source) {
			return false
		}
	}
	return true
}

// writeOwn is write for a table of the user's own.
func (s *Stream) writeOwn(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	if _, err := s.own.refresh(ctx, conn, false); err != nil {
		return message.Outcome{}, explain("prepare "+s.own.table.String(), err)
	}
	out, err := s.tryOwn(ctx, conn, cur, b)
	if err == nil || classify(err) != setup {
		return out, err
	}
	// The table may have changed under the plan.
	changed, failed := s.own.refresh(ctx, conn, true)
	switch {
	case failed != nil:
		return message.Outcome{}, explain("prepare "+s.own.table.String(), failed)
	case changed:
		return s.tryOwn(ctx, conn, cur, b)
	}
	return out, err
}

func (s *Stream) tryOwn(ctx context.Context, conn *pgxpool.Conn, cur message.Cursor, b *message.Batch) (message.Outcome, error) {
	w := &ownWrite{careful: &careful{Stream: s, conn: conn, cur: cur, streak: s.streak}, plan: s.own.plan.Load()}
	if err := w.load(b); err != nil {
		return message.Outcome{}, err
	}
	out, err := w.all(ctx, b)
	if err == nil || !w.plan.rowsFail(err) {
		return out, err
	}
	w.careful = &careful{Stream: s, conn: conn, cur: cur, streak: s.streak}
	return w.piecemeal(ctx, b)
}

// ownWrite is one batch on its way into a table of the user's own.
type ownWrite struct {
	*careful
	plan     *ownPlan
	rows     []byte          // the batch's records, all of this plan
	refused  map[int]refusal // by place in the batch
	repeated map[int]int64   // by place: its id has a row that says the same, of this sequence or 0
	deletes  bool            // some messages are
	shapes   []*ownShape     // only what COPY can take as it is
	staged   bool            // it cannot
}

// all stores the batch at once, but for the messages that are refused already.
func (w *ownWrite) all(ctx context.Context, b *message.Batch) (message.Outcome, error) {
	if err := w.begin(ctx, w.conn, w.cur); err != nil {
		return message.Outcome{}, err
	}
	if err := w.put(ctx, b); err != nil {
		return message.Outcome{}, w.abort(ctx, w.conn, "store into "+w.plan.table.Sanitize(), err)
	}
	return w.settleOwn(ctx, b)
}

func (w *ownWrite) put(ctx context.Context, b *message.Batch) error {
	// What a trigger discards is looked for in the stage.
	few := len(b.Messages) <= ownFew && !w.plan.traits.Trigger
	switch {
	case few && (w.staged || len(w.shapes) > 1):
		return w.putArrays(ctx, b)
	case w.staged:
		return w.putStaged(ctx, b)
	}
	for _, s := range w.shapes {
		if len(s.columns) == 0 {
			return w.putStaged(ctx, b) // COPY needs a column
		}
		tag, err := w.conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(s.lines), w.plan.copyInto(s.columns))
		if err != nil {
			return err
		}
		if err := w.checkDiscarded(ctx, b, s.rows, tag.RowsAffected()); err != nil {
			return err
		}
	}
	return nil
}

func (w *ownWrite) putStaged(ctx context.Context, b *message.Batch) error {
	staged, err := w.stage(ctx, b)
	if err != nil {
		return err
	}
	tag, err := w.conn.Exec(ctx, w.plan.store(fromStage("0", fmt.Sprint(len(b.Messages))), w.deletes))
	if err != nil {
		return err
	}
	return w.checkDiscarded(ctx, b, staged, tag.RowsAffected())
}

// settleOwn makes dead letters of the refused messages, unless so many fail
// alike that it must be the set-up, and commits.
func (w *ownWrite) settleOwn(ctx context.Context, b *message.Batch) (message.Outcome, error) {
	var bad []aside
	var repeats []duplicate
	for i := range b.Messages {
		r, refused := w.refused[i]
		if of, ok := w.repeated[i]; ok {
			seq := int64(b.Messages[i].Seq)
			if of >= seq { // the row's number is not of this incarnation of the stream
				of = 0
			}
			repeats = append(repeats, duplicate{seq, of})
			continue
		}
		if !refused {
			w.out.Rows++
			w.streak.good()
			continue
		}
		if err := w.blame(&b.Messages[i], r); err != nil {
			return message.Outcome{}, w.abort(ctx, w.conn, "", err)
		}
		bad = append(bad, aside{&b.Messages[i], r.code, r.reason})
	}
	err := w.noteDuplicates(ctx, repeats)
	if err == nil {
		err = w.setAsideAll(ctx, bad)
	}
	if err != nil {
		return message.Outcome{}, w.abort(ctx, w.conn, "set messages aside", err)
	}
	last := &b.Messages[len(b.Messages)-1]
	times := make([]int64, len(b.Messages))
	for i := range b.Messages {
		times[i] = b.Messages[i].Time.UnixNano()
	}
	with := &pgx.Batch{}
	with.Queue(`INSERT INTO landfall.batches (stream_id, last_seq, times) VALUES ($1, $2, $3)`, w.cur.StreamID, int64(last.Seq), times)
	w.out.Cursor = message.Cursor{StreamID: w.cur.StreamID, Incarnation: w.cur.Incarnation, Seq: last.Seq, Last: last.Fingerprint()}
	if err := w.commitWith(ctx, w.conn, w.out.Cursor, with); err != nil {
		return message.Outcome{}, err
	}
	w.Stream.streak = w.streak
	return w.out, nil
}

// blame counts a message as bad, unless so many before it failed alike.
func (w *ownWrite) blame(m *message.Message, r refusal) error {
	if w.tooMany(m, r.failure) {
		return w.alike(m, "look at the columns in cluster.yaml, and at the table's constraints, triggers and partitions", errors.New(r.reason))
	}
	return nil
}
