package producer

import (
	"context"
	"io"
	"math"
	"net/http"
	"time"
)

// serveBatch publishes the messages of a batch while they come in.
//
// What it answers is decided at the end; a client reads nothing before it has
// sent everything, unless the batch ends early.
func (d *Door) serveBatch(w http.ResponseWriter, r *http.Request, b *Backend, q *request) {
	// A batch lasts as long as it comes in fast enough.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	s := &summary{Stream: q.like.stream, Key: q.like.id}
	var floor uint64
	if q.stored {
		floor = b.Receipts.Cursor(q.like.stream)
	}
	in, err := d.sendBatch(w, r, b, q, s)
	if in == nil {
		allowAnswer(w)
		d.refusePublish(w, r, nil, err)
		return
	}
	switch {
	case err == nil && s.acked+s.refused == 0 && q.form == batchOfLines: // no events are a batch, too
		err = errEmptyBatch
	case err == nil && q.stored && s.acked > 0:
		if s.lastOld {
			floor = math.MaxUint64
		}
		err = d.storedBatch(r.Context(), b, q, in, s, floor)
	}
	allowAnswer(w)
	d.sum(w, r, q, s, err)
}

// sendBatch sends the batch, in a room that is free again when it returns: a
// batch that waits for Postgres, or for its answer to be read, takes none. The
// returned items are nil if nothing of them was looked at.
func (d *Door) sendBatch(w http.ResponseWriter, r *http.Request, b *Backend, q *request, s *summary) (items, error) {
	wire, ctx, leave := newPacedBody(w, r, d.o.BodyTimeout)
	defer leave()
	room, err := d.gate.enterBatch()
	if err != nil {
		return nil, err
	}
	defer room.leave()
	defer context.AfterFunc(d.draining, func() { wire.stop(errStopping) })()
	body, err := openBatch(wire, q.encoding, d.o.MaxBatchBytes, room.reserve)
	if err != nil {
		return nil, err
	}
	defer body.close()
	in, err := d.itemsOf(q, body, room.hold)
	if err != nil {
		return nil, err
	}
	s.tally, err = d.send(ctx, b, q.like.stream, room, in, func() { wire.stop(context.Canceled) })
	s.through = max(s.through, q.before())
	return in, err
}

// itemsOf cuts a body into the messages of its form.
func (d *Door) itemsOf(q *request, body io.Reader, hold func(bytes int)) (items, error) {
	if q.form == batchOfLines {
		return d.newLines(body, &q.like, q.before()+1, hold)
	}
	events := d.newEvents(body, &q.like, hold)
	if q.stored {
		return remember(events), nil
	}
	return events, nil
}

// before is the number in front of the batch's first item.
func (q *request) before() uint64 { return max(q.first, 1) - 1 }

// storedBatch waits until Postgres has the whole batch, and adds its dead
// letters to what was refused.
func (d *Door) storedBatch(ctx context.Context, b *Backend, q *request, in items, s *summary, floor uint64) error {
	ctx, cancel := d.wait(ctx, q)
	defer cancel()
	s.Stored = new(bool)
	last, err := b.Receipts.Await(ctx, s.Stream, s.last, s.lastID, floor)
	if err != nil {
		return nil //nolint:nilerr // not by the deadline: that is no failure, and the answer says so
	}
	if err := gone(s.Stream, last); err != nil {
		return err
	}
	*s.Stored, err = d.unstored(ctx, b, s, in.(recognising))
	return err
}

// unstored adds the batch's dead letters to what was refused, the first of
// them with their reasons; a gap among the batch's sequences is an error. It
// asks until it is told, or the context ends: then told is false.
func (d *Door) unstored(ctx context.Context, b *Backend, s *summary, in recognising) (told bool, err error) {
	var pause backoff
	for {
		var count uint64
		var dead []refusedItem
		var lost error
		err := b.Receipts.Unstored(ctx, s.Stream, s.first, s.last, func(r messageReceipt) {
			if lost == nil {
				lost = gone(s.Stream, r) // of whose batch it was nobody knows
			}
			n, ok := in.number(r.ID)
			if !ok {
				return
			}
			if count++; count <= maxProblems {
				dead = append(dead, refusedItem{n: n, err: deadLetter(s.Stream, r)})
			}
		})
		if err == nil {
			s.bury(count, dead)
			return true, lost
		}
		if !pause.wait(ctx, context.Background()) {
			return false, nil
		}
	}
}
