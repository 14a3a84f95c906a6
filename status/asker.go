package status

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// quiet is for how long announcements may stay out before Postgres is
	// asked for those who wait, and how often it is asked then.
	quiet = 250 * time.Millisecond

	// maxRest is how long Postgres is left alone at most while it does not
	// answer.
	maxRest = time.Second

	// askAtOnce is how many sequences one question is about at most.
	askAtOnce = 1000
)

// asker asks Postgres for those who wait on one stream, one question at a time.
type asker struct {
	*track
	stream string
	ledger Ledger
	log    *slog.Logger

	rest  time.Duration // after the last failure; 0: there was none
	until time.Time     // and when it is over
}

// run asks until the context ends. A question that nobody has any more is not
// asked, so it sleeps while announcements answer everybody in time.
func (a *asker) run(ctx context.Context) error {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		seqs, next := a.due(time.Now(), a.until)
		if len(seqs) > 0 {
			a.ask(ctx, seqs)
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		var alarm <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			alarm = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-alarm:
		}
	}
}

// due returns the sequences that Postgres is to be asked about now, if any:
// the urgent ones, or all, once the first of them has waited long enough.
// Otherwise next is when there will be some; zero while nobody waits.
func (t *track) due(now, until time.Time) (seqs []uint64, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	urgent := false
	for _, ws := range t.waiters {
		for _, w := range ws {
			if at := w.since.Add(quiet); next.IsZero() || at.Before(next) {
				next = at
			}
			urgent = urgent || w.urgent
		}
	}
	if until.After(now) {
		if !next.IsZero() && (urgent || next.Before(until)) {
			next = until
		}
		return nil, next
	}
	all := !next.After(now)
	if !all && !urgent {
		return nil, next
	}
	for seq, ws := range t.waiters {
		if all || slices.ContainsFunc(ws, func(w *waiter) bool { return w.urgent }) {
			seqs = append(seqs, seq)
			for _, w := range ws {
				w.urgent, w.since = false, now
			}
		}
	}
	return seqs, next
}

// ask puts the question, in parts, and hands the answers out. After a failure
// it rests, longer each time.
func (a *asker) ask(ctx context.Context, seqs []uint64) {
	for part := range slices.Chunk(seqs, askAtOnce) {
		receipts, err := a.ledger.Receipts(ctx, a.stream, part)
		switch {
		case err == nil:
			a.settle(receipts)
		case ctx.Err() != nil:
			return
		default:
			if a.rest == 0 {
				a.log.Warn("Postgres does not tell what has become of messages; those who wait for it go on waiting", "error", err)
			}
			a.rest = min(max(2*a.rest, quiet), maxRest)
			a.until = time.Now().Add(a.rest)
			return
		}
	}
	if a.rest > 0 {
		a.log.Info("Postgres tells again what has become of messages")
	}
	a.rest = 0
}
