package message

import (
	"errors"
	"fmt"
)

// Batch is a run of messages with contiguous sequences, and their rows in the
// store's own encoding, made while an earlier batch was being committed.
type Batch struct {
	Messages []Message
	Rows     []byte // what Encode of the store appended, message by message
	Size     int    // sum of the messages' sizes, bytes
}

// Reset empties the batch and keeps its memory, without holding on to the
// messages' contents.
func (b *Batch) Reset() {
	clear(b.Messages)
	b.Messages, b.Rows, b.Size = b.Messages[:0], b.Rows[:0], 0
}

// Outcome is what became of a committed batch.
type Outcome struct {
	Cursor      Cursor // where Postgres stands now
	Rows        int
	DeadLetters int
	Duplicates  int
	Careful     bool // COPY refused it, or would have: it was merged, or stored piece by piece
}

// ErrMoved says that Postgres is not where the batch starts: another sink
// wrote, or Postgres was restored. Nothing was stored; read the cursor again.
var ErrMoved = errors.New("the cursor in Postgres is not where this batch starts")

// ErrTooSlow says that Postgres cancelled the statement (SQLSTATE 57014), or
// that the time for a batch with many bad rows ran out. Read the cursor again;
// a smaller batch may pass.
var ErrTooSlow = errors.New("the batch took too long")

// SetupError is a fault that no message can be blamed for and that waiting
// does not heal: a missing table, right or column, a wrong password. The
// stream's sink pauses until somebody has mended it.
type SetupError struct {
	Reason string // what is wrong
	Advice string // what to change
	Err    error  // what Postgres said, or nil
	Alike  bool   // so many messages fail alike that they are not blamed; a word from a person lets them become dead letters
}

func (e *SetupError) Error() string {
	s := e.Reason
	if e.Err != nil {
		s = fmt.Sprintf("%s: %v", s, e.Err)
	}
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

func (e *SetupError) Unwrap() error { return e.Err }
