package drill

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Outcome is what a publisher was told about a message, in the end.
type Outcome uint8

// The outcomes. Only Acked is a promise; Unknown may be stored once or not at
// all; Refused means that every attempt was definitely turned away.
const (
	Unknown Outcome = iota
	Acked
	Refused
)

func (o Outcome) String() string {
	switch o {
	case Acked:
		return "acked"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

// Hash stands for a body in the ledger: enough of a SHA-256 that two bodies
// are never taken for one, and small enough for a million entries.
type Hash [16]byte

// HashOf is the hash of a body.
func HashOf(body []byte) Hash {
	sum := sha256.Sum256(body)
	return Hash(sum[:16])
}

// Entry is one message of a run: what was offered, and what was told.
type Entry struct {
	ID      string
	Subject string
	Body    Hash
	Offered time.Time // when it was due by the schedule, not when a publisher was free

	Outcome   Outcome
	Told      time.Time // when the outcome was known; zero while it is not
	Stream    string    // of the acknowledgement
	Seq       uint64    // of the acknowledgement
	Duplicate bool      // the acknowledgement said that it was a repeat
}

// Told is what a publisher reports about an entry.
type Told struct {
	Outcome   Outcome
	At        time.Time
	Stream    string
	Seq       uint64
	Duplicate bool
}

// Ref names an entry of the ledger it came from.
type Ref int

// Ledger remembers a run: every message from the moment it is offered, so that
// a publisher that dies or gives up leaves an entry with an unknown outcome.
// It is safe for many publishers at once.
type Ledger struct {
	mu      sync.Mutex
	entries []Entry
	acked   int
	settled int
	lastSeq uint64
}

// NewLedger makes a ledger with room for about n messages.
func NewLedger(n int) *Ledger {
	return &Ledger{entries: make([]Entry, 0, n)}
}

// Offer enters a message before it is sent for the first time.
func (l *Ledger) Offer(m Message, due time.Time) Ref {
	e := Entry{ID: m.ID, Subject: m.Subject, Body: HashOf(m.Body), Offered: due}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	return Ref(len(l.entries) - 1)
}

// Tell enters what became of it. The first acknowledgement stands: a promise
// is not taken back by what a later attempt is told.
func (l *Ledger) Tell(r Ref, t Told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.entries[r]
	if e.Outcome == Acked {
		return
	}
	if e.Told.IsZero() {
		l.settled++
	}
	e.Outcome, e.Told = t.Outcome, t.At
	if t.Outcome == Acked {
		e.Stream, e.Seq, e.Duplicate = t.Stream, t.Seq, t.Duplicate
		l.acked++
		l.lastSeq = max(l.lastSeq, t.Seq)
	}
}

// Tally is how far a run is.
type Tally struct {
	Offered int
	Settled int    // an outcome is known, or the publisher gave up
	Acked   int    // of those, promised
	LastSeq uint64 // highest sequence acknowledged
}

// Tally counts, at any moment of the run.
func (l *Ledger) Tally() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Tally{Offered: len(l.entries), Settled: l.settled, Acked: l.acked, LastSeq: l.lastSeq}
}

// Entries returns a copy of all entries, in the order they were offered.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.entries...)
}
