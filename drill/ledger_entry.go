package drill

import (
	"crypto/sha256"
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
// are never taken for one, and small enough for millions of entries.
type Hash [16]byte

// HashOf is the hash of a body.
func HashOf(body []byte) Hash {
	sum := sha256.Sum256(body)
	return Hash(sum[:16])
}

// Entry is one message of a run: what was offered, and what was told.
type Entry struct {
	Publisher string
	Place     int // in the publisher's order, from 0
	Turn      int // which of its turns it is of, from 0: see ToldIn

	ID      string
	Subject string
	Body    Hash
	Bad     bool      // as in Message
	Offered time.Time // when it was due by the schedule, not when a publisher was free

	Outcome   Outcome
	Told      time.Time // when the outcome was known; zero while it is not
	Stream    string    // of the acknowledgement
	Seq       uint64    // of the acknowledgement; 0 if it named none
	Duplicate bool      // the acknowledgement said that it was a repeat

	// ToldIn is the turn in which the outcome was known. A turn begins with an
	// offer after something was told; usually it is one message, or one batch.
	// Whatever is of a later turn than ToldIn was sent after that.
	ToldIn int
}

// Told is what a publisher reports about an entry.
type Told struct {
	Outcome   Outcome
	At        time.Time
	Stream    string
	Seq       uint64 // 0: a batch's answer does not tell each line's
	Duplicate bool
}

// tell enters an outcome, unless there is a promise already.
func (e *Entry) tell(t Told, turn int) {
	if e.Outcome == Acked {
		return
	}
	e.Outcome, e.Told, e.ToldIn = t.Outcome, t.At, turn
	e.Stream, e.Seq, e.Duplicate = t.Stream, t.Seq, t.Duplicate
}
