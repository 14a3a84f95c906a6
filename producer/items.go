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

// size is what the message takes of the room.
func (m *incoming) size() int { return headerSize(m.header) + len(m.data) }
