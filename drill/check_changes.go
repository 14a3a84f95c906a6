package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ChangesVerdict is what the checker found of the stream of changes and its
// table. What a Verdict says of messages it says of changes here, with these
// differences. A change has no row that stays, so Stored are those that are
// their key's row in the end, and Lost are the acknowledged ones that should
// be, or have become dead letters. A sequence without an entry may have been
// covered by a later one, so Unaccounted are only those that are two things at
// once, or beyond the cursor.
type ChangesVerdict struct {
	Verdict
	Keys int `json:"keys"` // that have a row

	// Late are keys whose row is an earlier change than the last one: a copy of
	// it was stored in the stream behind that one, after JetStream had forgotten
	// its id. In the order of the stream it is the last, so that it has to win.
	Late int `json:"late"`
}

// Proof is the verdict in one line.
func (v ChangesVerdict) Proof() string {
	text := fmt.Sprintf("changes: keys %d · ", v.Keys)
	if v.Late > 0 {
		text += fmt.Sprintf("late copies %d · ", v.Late)
	}
	return text + v.Verdict.Proof()
}

// CheckChanges holds the table of changes and what Landfall has on record of
// their stream against the ledger of changes. Check does so with the messages,
// and each leaves the other's alone.
//
// What upsert promises of a key is the acknowledged change with the highest
// sequence, in the latest incarnation of the stream. As a key's changes are
// sent one after the other, that is the last one acknowledged; one of unknown
// outcome may have come behind it. It holds through all that a drill does:
// when Postgres is an older copy, the sink starts at that copy's cursor, and
// what the nodes still have comes again in its order. When the stream's tail is
// cut, or all of it is gone, the faults have seen to it that Postgres had
// everything; the rows stay, and what comes then, from a low sequence on,
// overwrites them.
func CheckChanges(ctx context.Context, databaseURL string, ledger *Ledger) (ChangesVerdict, error) {
	a := &changesAudit{audit: audit{ledger: ledger, streams: "= '" + ChangesStream + "'"}, keys: make(map[string]*keyState)}
	a.each = a.enter
	err := a.read(ctx, databaseURL, []auditStep{
		{"read the ledger", a.readLedger},
		{"read the streams", a.readStreams},
		{"read changes", a.readChanges},
		{"read dead letters", a.readDeadLetters},
		{"read duplicates", a.readDuplicates},
		{"read gaps", a.readGaps},
		{"look where the rows are", a.judgeSequences},
	})
	if err != nil {
		return ChangesVerdict{}, err
	}
	a.judgeChanges()
	a.judgeOrder()
	return ChangesVerdict{Verdict: a.v, Keys: a.rows, Late: a.late}, nil
}

// changesAudit is one check of changes under way.
type changesAudit struct {
	audit
	keys       map[string]*keyState
	seqs       []int64 // of the rows
	rows, late int
}

// keyState is what is due of a key.
type keyState struct {
	version       int       // of the last good change that was acknowledged; 0: none was
	promise       int       // its place in the list of promises
	offered, told time.Time // of that
	there         bool      // the key has a row
}

// enter takes in one entry of the ledger.
func (a *changesAudit) enter(i int, e *Entry) {
	key, version, ok := changeOf(e.ID)
	if !ok || e.Bad || e.Outcome != Acked {
		return
	}
	k := a.keys[key]
	if k == nil {
		k = &keyState{}
		a.keys[key] = k
	}
	if version > k.version {
		k.version, k.promise, k.offered, k.told = version, i, e.Offered, e.Told
	}
}

// readChanges goes through the rows of the table.
func (a *changesAudit) readChanges(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT id, version, doc::text, msg_id, seq, published FROM `+changesTable)
	if err != nil {
		return err
	}
	var r changedRow
	_, err = pgx.ForEachRow(rows, []any{&r.key, &r.version, &r.doc, &r.id, &r.seq, &r.published}, func() error {
		a.rows++
		a.seqs = append(a.seqs, r.seq)
		a.changed(&r)
		return nil
	})
	return err
}

// changedRow is a row of the table.
type changedRow struct {
	key, doc, id string
	version, seq int64
	published    time.Time
}

// changed judges one row: it is a change that was sent, and none that was
// acknowledged is newer.
func (a *changesAudit) changed(r *changedRow) {
	i, known := a.promises.find([]byte(r.id))
	key, version, _ := changeOf(r.id)
	unexplained := func(format string, args ...any) {
		a.v.Unexplained++
		a.v.find(kindUnexplained, "row %q, version %d, sequence %d: %s", r.key, r.version, r.seq, fmt.Sprintf(format, args...))
	}
	if !known {
		unexplained("nobody sent a change with id %q", r.id)
		return
	}
	p := &a.promises.list[i]
	switch {
	case key != r.key || int64(version) != r.version:
		unexplained("its message was %s", r.id)
	case p.body != HashOf([]byte(r.doc)):
		unexplained("its document is another than was sent: %.100s", r.doc)
	case p.bad:
		unexplained("it was made so that it cannot be stored")
	case p.outcome == Refused:
		unexplained("it was refused")
	default:
		a.v.Stored++
		p.rows++
		if k := a.keys[key]; k != nil {
			k.there = true
			a.newest(k, p, r)
		}
	}
}

// newest judges whether a key's row is the change that it should be. An older
// one is right where it is a late copy: then it was published after the newer
// one had been sent, while its first copy, as that of any earlier change, was
// published before.
func (a *changesAudit) newest(k *keyState, p *promise, r *changedRow) {
	switch due := &a.promises.list[k.promise]; {
	case int(r.version) > k.version: // its outcome is unknown, and it is there
	case int(r.version) < k.version && r.published.Before(k.offered):
		a.v.Lost++
		a.v.find(kindLost, "key %s has version %d (sequence %d), and version %d was acknowledged (sequence %d)", r.key, r.version, r.seq, k.version, due.seq)
	case int(r.version) < k.version:
		a.late++
	case uint64(r.seq) == p.seq || p.duplicate || p.seq == 0:
	case r.published.After(k.told): // a copy of the same, behind it
	default:
		a.v.Misplaced++
		a.v.find(kindMisplaced, "key %s, version %d was acknowledged with sequence %d, and its row has %d", r.key, r.version, p.seq, r.seq)
	}
}

// judgeSequences looks whether each row's sequence is one that became a row,
// in one of the incarnations.
func (a *changesAudit) judgeSequences(context.Context, pgx.Tx) error {
	for _, seq := range a.seqs {
		ok := false
		for _, s := range a.accounts.list {
			ok = ok || seq >= s.start && seq <= s.cursor && !s.taken.has(seq-s.start)
		}
		if !ok {
			a.v.Unaccounted++
			a.v.find(kindUnaccounted, "a row of %s has sequence %d, which is beyond the cursor or something else", changesTable, seq)
		}
	}
	return nil
}

// judgeChanges counts the changes, once everything in Postgres is known.
func (a *changesAudit) judgeChanges() {
	for i := range a.promises.list {
		p := &a.promises.list[i]
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
			case p.bad && p.letters > 0:
				a.judgePlace(i, nil)
			case p.bad, p.letters > 0:
				a.lost(i)
			}
		}
	}
	for key, k := range a.keys {
		if !k.there {
			a.v.Lost++
			a.v.find(kindLost, "key %s has no row, and version %d was acknowledged (sequence %d)", key, k.version, a.promises.list[k.promise].seq)
		}
	}
}
