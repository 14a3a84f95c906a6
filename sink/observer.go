package sink

import (
	"time"

	"landfall/message"
)

// Observer is told what happens to a stream's sink on this node. It must not
// wait for anybody: what it is told of goes on behind it. Calls come from
// several goroutines.
type Observer interface {
	// Passive: another node stores the stream, or nobody does. It is told
	// again and again while that is so.
	Passive()

	// Active: a session has begun behind the cursor.
	Active(message.Cursor)

	// Committed: the batch is in Postgres. took is how long that was in hand.
	// The batch is the sink's again when the call returns.
	Committed(b *message.Batch, out message.Outcome, took time.Duration)

	// Fine: Postgres did what it was asked to; whatever trouble there was is
	// over. It is told again and again.
	Fine()

	// Failed: Postgres or the stream cannot be reached, and it is tried again.
	Failed(error)

	// Paused: a person has to mend the set-up.
	Paused(*message.SetupError)

	// HandingOver: this node is not fit to store, and another one shall.
	HandingOver(reason string)

	// Gap: the messages from from to to are gone, and recorded so.
	Gap(from, to uint64)

	// Expired: so many rows were deleted because they were older than keep.
	Expired(rows int)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Passive()                                                 {}
func (nobody) Active(message.Cursor)                                    {}
func (nobody) Committed(*message.Batch, message.Outcome, time.Duration) {}
func (nobody) Fine()                                                    {}
func (nobody) Failed(error)                                             {}
func (nobody) Paused(*message.SetupError)                               {}
func (nobody) HandingOver(string)                                       {}
func (nobody) Gap(uint64, uint64)                                       {}
func (nobody) Expired(int)                                              {}
