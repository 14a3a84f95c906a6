package producer

import (
	"context"
	"fmt"
	"net/http"

	"landfall/message"
)

// messageReceipt is a receipt of Postgres; receipt is the one that a client
// reads.
type messageReceipt = message.Receipt

// wait bounds a wait for Postgres. If too many requests wait already the
// returned context has ended: a Postgres that is away must not fill this
// process with them, and what is acknowledged can be asked for later. Nor does
// a node that stops wait for it much longer.
func (d *Door) wait(ctx context.Context, q *request) (context.Context, context.CancelFunc) {
	timeout := q.timeout
	if timeout == 0 {
		timeout = min(d.o.Deadline, longestWait)
	}
	if d.waiting.Add(1) > int64(d.o.MaxInFlight) {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	going := context.AfterFunc(d.draining, cancel)
	return ctx, func() {
		d.waiting.Add(-1)
		going()
		cancel()
	}
}

// serveStored answers an acknowledged message when Postgres has it, or when
// time is up: then the answer is 202, and the message is on its way.
func (d *Door) serveStored(w http.ResponseWriter, r *http.Request, b *Backend, q *request, done receipt, floor uint64) {
	got, err := d.await(r.Context(), b, q, done, floor)
	allowAnswer(w)
	if err != nil {
		respond(w, http.StatusAccepted, "application/json", storedReceipt{receipt: done})
		return
	}
	if err := undone(done.Stream, got); err != nil {
		d.refuseStored(w, r, q, done, got, err)
		return
	}
	done.Duplicate = done.Duplicate || got.State == message.Duplicate
	respond(w, http.StatusOK, "application/json", storedReceipt{receipt: done, Stored: true, DuplicateOf: got.Of})
}

// storedReceipt is the answer to an acknowledged message with ack=stored.
type storedReceipt struct {
	receipt
	Stored      bool   `json:"stored"`
	DuplicateOf uint64 `json:"duplicate_of,omitempty"` // sequence of the row it repeats
}

// await asks for the message's receipt, for as long as the request has time.
func (d *Door) await(ctx context.Context, b *Backend, q *request, done receipt, floor uint64) (messageReceipt, error) {
	ctx, cancel := d.wait(ctx, q)
	defer cancel()
	return b.Receipts.Await(ctx, done.Stream, done.Seq, done.MsgID, floor)
}

// undone says why an acknowledged message will never be a row.
func undone(stream string, r messageReceipt) error {
	if r.Rejected() {
		return deadLetter(stream, r)
	}
	return gone(stream, r)
}

func gone(stream string, r messageReceipt) error {
	if r.State != message.Gap {
		return nil
	}
	return fmt.Errorf("%w: message %d of stream %s is gone from every node", errGap, r.Seq, stream)
}

func deadLetter(stream string, r messageReceipt) error {
	why := r.Reason
	if r.SQLState != "" {
		why = fmt.Sprintf("%s (SQLSTATE %s)", why, r.SQLState)
	}
	if r.State == message.Duplicate {
		return fmt.Errorf("%w: message %d of stream %s repeats message %d: %s", errDeadLetter, r.Seq, stream, r.Of, why)
	}
	return fmt.Errorf("%w: message %d of stream %s: %s", errDeadLetter, r.Seq, stream, why)
}

// storedProblem is the body of a refusal of an acknowledged message.
type storedProblem struct {
	problem
	Stream      string `json:"stream"`
	Seq         uint64 `json:"seq"`
	DuplicateOf uint64 `json:"duplicate_of,omitempty"`
	Reason      string `json:"reason,omitempty"`
	SQLState    string `json:"sqlstate,omitempty"`
}

func (d *Door) refuseStored(w http.ResponseWriter, r *http.Request, q *request, done receipt, got messageReceipt, err error) {
	like := refusalOf(err)
	p := storedProblem{
		problem: like.problem(err), Stream: done.Stream, Seq: done.Seq,
		DuplicateOf: got.Of, Reason: got.Reason, SQLState: got.SQLState,
	}
	p.MsgID = done.MsgID
	d.log(r, &incoming{subject: q.like.subject, id: done.MsgID}, like, err)
	like.respond(w, p)
}
