package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Check holds the tables of a database against the ledger of the run that
// filled it. The run must have had the database to itself: every row in it is
// one of the ledger's, or unexplained. Changes are CheckChanges' matter.
//
// Bodies are read through and not kept. It holds about 100 bytes for each
// message that was offered, 50 for each repeat that Postgres has on record, and
// three bits for each sequence of each incarnation: for four million messages
// 400 MB, and 800 MB resident with what Go has not collected yet, in 40 s on
// two cores. Its SQL is its own and simple: it reads everything, and asks
// Postgres for no judgement.
func Check(ctx context.Context, databaseURL string, ledger *Ledger) (Verdict, error) {
	a := &audit{ledger: ledger, streams: "<> '" + ChangesStream + "'"}
	err := a.read(ctx, databaseURL, []auditStep{
		{"read the ledger", a.readLedger},
		{"read the streams", a.readStreams},
		{"read messages", a.readMessages},
		{"read dead letters", a.readDeadLetters},
		{"read duplicates", a.readDuplicates},
		{"read gaps", a.readGaps},
	})
	if err != nil {
		return Verdict{}, err
	}
	a.judgeAccounts()
	a.judgePromises()
	a.judgeOrder()
	return a.v, nil
}

// auditStep is a part of what a check reads.
type auditStep struct {
	what string
	do   func(context.Context, pgx.Tx) error
}

// read takes the steps in one snapshot, so that a row on its way from one table
// to another is not missed in both.
func (a *audit) read(ctx context.Context, databaseURL string, steps []auditStep) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("check: connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("check: begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	for _, step := range steps {
		if err := step.do(ctx, tx); err != nil {
			return fmt.Errorf("check: %s: %w", step.what, err)
		}
	}
	return nil
}

// audit is one check under way.
type audit struct {
	ledger   *Ledger
	streams  string                // a condition on the names of those that are looked at
	each     func(i int, e *Entry) // told of every entry, by its place in the list; nil: nobody
	promises promises
	accounts accounts
	v        Verdict
}

// readLedger takes in what was offered and what was told.
func (a *audit) readLedger(context.Context, pgx.Tx) error {
	a.promises = newPromises(a.ledger)
	s := silence{events: make([]gapEvent, 0, 2*cap(a.promises.list))}
	for e, err := range a.ledger.Entries() {
		if err != nil {
			return err
		}
		if !a.promises.add(&e) {
			a.v.Unexplained++
			a.v.find(kindUnexplained, "message id %q was offered twice: that is the drill's own mistake", e.ID)
		}
		s.add(&e)
		if a.each != nil {
			a.each(len(a.promises.list)-1, &e)
		}
	}
	a.v.Offered = len(a.promises.list)
	a.v.LongestGap = s.longest(time.Now())
	return nil
}

// judgePromises counts the messages, once everything in Postgres is known. What
// is missing at a sequence that the drill itself removed is its own doing.
// Since a sequence may be given again after a stream's tail was lost, each of
// those, in each incarnation, stands for one message.
func (a *audit) judgePromises() {
	removed := a.accounts.removedGaps()
	var nameless []int // acknowledged without a sequence, and missing
	for i := range a.promises.list {
		p := &a.promises.list[i]
		if p.rows > 0 {
			a.v.Stored++
		}
		if p.bad && p.letters > 0 && p.rows == 0 {
			a.v.SetAside++
		}
		switch p.outcome {
		case Refused:
			a.v.Refused++
		case Unknown:
			a.v.Unknown++
		case Acked:
			a.v.Acked++
			switch {
			case p.rows > 0 || p.bad && p.letters > 0:
				a.judgePlace(i, removed)
			case removed[p.seq] > 0:
				removed[p.seq]--
				a.v.Removed++
			case p.seq == 0 && p.letters == 0:
				nameless = append(nameless, i)
			default:
				a.lost(i)
			}
		}
	}
	// A batch's answer does not say which line became which sequence: those
	// lines may be what was removed that nobody else misses.
	left := 0
	for _, n := range removed {
		left += n
	}
	for n, i := range nameless {
		if n < left {
			a.v.Removed++
		} else {
			a.lost(i)
		}
	}
}

func (a *audit) lost(i int) {
	a.v.Lost++
	if !a.v.room(kindLost) {
		return
	}
	e := a.promises.entry(i)
	if a.promises.list[i].letters > 0 {
		a.v.find(kindLost, "message %s (%s/%d) was acknowledged, and is a dead letter: %s", e.ID, e.Stream, e.Seq, a.promises.reasons[i])
		return
	}
	a.v.find(kindLost, "message %s (%s/%d) was acknowledged, and is not there", e.ID, e.Stream, e.Seq)
}

// judgePlace holds the place of a message against its acknowledgement. The
// sequences agree; or the message was stored before, under an earlier one, and
// Postgres has the acknowledged one on record as a duplicate of that; or the
// drill removed that copy. The answer to a repeat names the place of some
// earlier copy and is held to its stream alone, and so is a batch's, which
// names none.
func (a *audit) judgePlace(i int, removed map[uint64]int) {
	p := &a.promises.list[i]
	if p.place == 0 {
		return // in a stream that is not there: that has been said
	}
	account, seq := a.accounts.at(p.place)
	if account.name == a.promises.names[p.stream] {
		switch {
		case p.duplicate, p.seq == 0, seq == p.seq, a.accounts.repeats[placeOf(p.place.account(), p.seq)] == seq:
			return
		case removed[p.seq] > 0:
			removed[p.seq]--
			return
		}
	}
	a.v.Misplaced++
	if a.v.room(kindMisplaced) {
		e := a.promises.entry(i)
		a.v.find(kindMisplaced, "message %s was acknowledged as %s/%d, and is at %s", e.ID, e.Stream, e.Seq, a.accounts.describe(p.place))
	}
}
