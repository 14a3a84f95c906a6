package sink

import (
	"errors"
	"maps"
	"slices"
	"time"

	"landfall/message"
)

// postgres is a database with what Landfall keeps of the stream.
type postgres struct {
	rows    []*row // of landfall.streams
	unique  *row   // stands for the unique index, where there is no row to lock
	nextID  int64
	away    bool
	slow    time.Duration     // that a transaction takes beyond a hop
	most    int               // rows in a batch that the statement timeout allows; 0: any
	fault   []fault           // what the next transactions meet
	wrong   error             // what Prepare says: the set-up
	strict  bool              // a constraint refuses bad messages
	broken  bool              // every message is refused alike, as where a partition is missing
	epoch   int               // restores
	stored  map[key]time.Time // when it first had each message it ever had
	excused map[key]bool      // good messages that are dead letters because it was broken
	reached map[string]uint64 // the furthest it ever had each incarnation
}

// row is a row of landfall.streams with everything that hangs on it.
type row struct {
	cursor message.Cursor
	start  uint64
	stored map[uint64]record
	ids    map[string]uint64 // sequences of rows by message id
	gaps   []span
	marks  []mark
	lock   chan struct{} // held by whoever has it FOR UPDATE
	holder *node         // who that is
}

// record is what became of a message that Postgres has.
type record struct {
	place             place
	of                uint64 // of a duplicate: the row
	Seq               uint64
	Subject, ID, Body string
	Time              time.Time // microseconds
}

// place is the table that a message ended in.
type place string

const (
	asRow        place = "row"
	asDeadLetter place = "dead letter"
	asDuplicate  place = "duplicate"
)

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
	late          // the connection dies, and what was sent in one piece, COMMIT and all, comes to the server three seconds later
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

// has tells whether Postgres has the message, as whatever.
func (p *postgres) has(m message.Message) bool {
	return slices.ContainsFunc(p.rows, func(r *row) bool {
		rec, ok := r.stored[m.Seq]
		return ok && keyOf(rec.Time) == keyOf(m.Time)
	})
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
	for k := range w.stream.purged {
		if !w.pg.has(w.stream.ledger[k].Message) {
			w.stream.let[k] = true // older than the replay window held
		}
	}
}

func newRow() *row {
	return &row{stored: map[uint64]record{}, ids: map[string]uint64{}, lock: make(chan struct{}, 1)}
}

func copyRows(rows []*row) []*row {
	copies := make([]*row, len(rows))
	for i, r := range rows {
		c := *r
		c.stored, c.ids, c.gaps, c.marks = maps.Clone(r.stored), maps.Clone(r.ids), slices.Clone(r.gaps), slices.Clone(r.marks)
		c.lock, c.holder = make(chan struct{}, 1), nil
		copies[i] = &c
	}
	return copies
}

// outage takes Postgres away, or brings it back.
func (w *world) outage(away bool) {
	w.do(func() {
		if w.pg.away == away {
			return
		}
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
