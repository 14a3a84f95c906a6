package sink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"landfall/message"
)

// postgres is a database with what Landfall keeps of the stream.
type postgres struct {
	rows   []*row // of landfall.streams
	unique *row   // locked by whoever enters a row: a second one waits to see
	nextID int64
	away   bool
	slow   time.Duration // that a transaction takes beyond a hop
	most   int           // rows in a batch that the statement timeout allows; 0: any
	fault  []fault       // what the next transactions meet
	wrong  error         // what Prepare says: the set-up
	epoch  int           // restores
	stored map[string]bool
}

// row is a row of landfall.streams with everything that hangs on it.
type row struct {
	cursor message.Cursor
	start  uint64
	stored map[uint64]record
	gaps   []span
	marks  []mark
	lock   chan struct{} // held by whoever has it FOR UPDATE
}

type record struct {
	Seq     uint64
	Subject string
	ID      string
	Body    []byte
	Time    time.Time // microseconds
}

type span struct{ from, to uint64 }

type mark struct {
	seq uint64
	at  time.Time
}

// deadline is when a transaction without an answer is given up.
const deadline = 10 * time.Second

// fault is what befalls a transaction.
type fault int

const (
	fine    fault = iota
	refused       // the connection dies: nothing stored
	lost          // the answer to COMMIT is lost: stored
	ghost         // the connection dies, and the server commits two seconds later
	hangs         // no answer until the store gives up: nothing stored
	setup         // a right is missing
)

var (
	errAway = errors.New("connection refused")
	errLost = errors.New("the connection died")
)

func (p *postgres) row(incarnation string) *row {
	for _, r := range p.rows {
		if r.cursor.Incarnation == incarnation {
			return r
		}
	}
	return nil
}

// has tells whether the message has a row.
func (p *postgres) has(m message.Message) bool {
	return slices.ContainsFunc(p.rows, func(r *row) bool { return string(r.stored[m.Seq].Body) == string(m.Data) })
}

// snapshot is a backup.
func (w *world) snapshot() []*row {
	w.mu.Lock()
	defer w.mu.Unlock()
	return copyRows(w.pg.rows)
}

// restore puts a backup in the database's place. Transactions of before die.
func (w *world) restore(backup []*row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pg.rows, w.pg.unique = copyRows(backup), newRow()
	w.pg.epoch++
	for body := range w.stream.purged {
		if !w.pg.has(w.stream.ledger[body]) {
			w.stream.let[body] = true // older than the replay window held
		}
	}
}

func newRow() *row { return &row{stored: map[uint64]record{}, lock: make(chan struct{}, 1)} }

func copyRows(rows []*row) []*row {
	copies := make([]*row, len(rows))
	for i, r := range rows {
		c := *r
		c.stored, c.gaps, c.marks = maps.Clone(r.stored), slices.Clone(r.gaps), slices.Clone(r.marks)
		c.lock = make(chan struct{}, 1)
		copies[i] = &c
	}
	return copies
}

// outage takes Postgres away, or brings it back.
func (w *world) outage(away bool) {
	w.do(func() {
		w.pg.away = away
		for _, n := range w.nodes {
			n.reached = time.Now()
		}
	})
}

// meet lists what the next transactions meet.
func (w *world) meet(faults ...fault) {
	w.do(func() { w.pg.fault = append(w.pg.fault, faults...) })
}

// reach goes to Postgres.
func (s store) reach(ctx context.Context) error {
	if err := pass(ctx, hop); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pg.away || s.isolated {
		return errAway
	}
	return nil
}

// acquire locks the row until the returned function is called.
func (s store) acquire(ctx context.Context, r *row) (release func(), err error) {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	select {
	case r.lock <- struct{}{}:
		return func() { <-r.lock }, nil
	case <-timeout.C:
		return nil, errors.New("lock timeout")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// transact commits apply behind the row's lock, if check allows it, with
// whatever faults are due.
func (s store) transact(ctx context.Context, r *row, check func() error, apply func()) error {
	epoch := 0
	s.do(func() { epoch = s.pg.epoch })
	release, err := s.acquire(ctx, r)
	if err != nil {
		return err
	}
	var due fault
	var took time.Duration
	s.do(func() {
		took = s.pg.slow
		if len(s.pg.fault) > 0 {
			due, s.pg.fault = s.pg.fault[0], s.pg.fault[1:]
		}
	})
	commit := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pg.away && due != lost || s.pg.epoch != epoch {
			return errLost
		}
		if err := check(); err != nil {
			return err
		}
		apply()
		return nil
	}
	if due == ghost {
		s.ghosts.Go(func() {
			defer release()
			wait(context.Background(), 2*time.Second)
			_ = commit()
		})
		return errLost
	}
	defer release()
	if due == hangs {
		took = deadline
	}
	if err := pass(ctx, hop+took); err != nil {
		return err
	}
	switch due {
	case refused, hangs:
		return errLost
	case setup:
		return &message.SetupError{Reason: "copy into messages", Advice: "grant INSERT", Err: errors.New("permission denied")}
	case lost:
		if err := commit(); err != nil {
			return err
		}
		return errLost
	}
	return commit()
}
