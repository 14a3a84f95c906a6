package producer

// items are the messages of one batch, in the order they were sent, all to
// one subject and so to one stream. They are read one by one, because a batch
// may be larger than memory.
type items interface {
	// next returns the next item. io.EOF itself is the proper end; any other
	// error, also one that wraps it, ends the batch there, and what was read
	// before it stands. It is called by one goroutine, which is not always
	// the same as the batch's.
	next() (item, error)
}

// room is what a batch may hold in memory at a time.
type room interface {
	// take makes room for one more message of n bytes; false: not now. The
	// first message always has room.
	take(n int) bool

	// give returns the room of one message.
	give(n int)
}

// item is one place of a batch: a message, or why there is none.
type item struct {
	n   uint64    // its number in the batch: a line's, an event's, from 1
	m   *incoming // nil if it is refused
	err error     // why this one alone is refused, as problem.go has it
}

// tally is what has become of a batch, as far as it is known.
type tally struct {
	acked      uint64 // messages that are in the stream, repeats included
	duplicates uint64 // of those: known to JetStream from before this request
	first      uint64 // lowest sequence among them; 0: none
	last       uint64 // highest sequence among them
	lastID     string // message id at last
	lastOld    bool   // JetStream knew that one when it was acknowledged; also if the first copy may be this request's

	// through is the number up to which every item is acknowledged or
	// refused for good: a client may go on behind it.
	through uint64

	refused  uint64        // items refused for good, each with its own reason
	problems []refusedItem // the first maxProblems of them
}

// refusedItem is one item that is not in the stream, and why.
type refusedItem struct {
	n   uint64
	err error
}

// maxProblems is how many refused items an answer lists.
const maxProblems = 100
