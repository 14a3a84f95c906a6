package message

// State is what has become of a sequence of a stream in Postgres.
type State string

// Every sequence up to the cursor is exactly one of these but Pending.
const (
	Pending      State = "pending"       // Postgres does not have it yet
	Stored       State = "stored"        // a row
	DeadLettered State = "dead-lettered" // Postgres cannot hold it as a row
	Duplicate    State = "duplicate"     // sent again under its id: the row, or dead letter, is Of
	Gap          State = "gap"           // gone from every node before Postgres had it
)

// Receipt is what has become of one sequence.
type Receipt struct {
	Seq   uint64
	State State
	Of    uint64 // of a duplicate: the sequence it repeats
	ID    string // message id of the row or dead letter that it ended as; "" if none

	// Of a dead letter, and of a duplicate of one: why it is none of the rows.
	SQLState, Reason string
}

// Rejected tells that the message is a dead letter, or repeats one.
func (r Receipt) Rejected() bool {
	return r.State == DeadLettered || r.State == Duplicate && r.Reason != ""
}
