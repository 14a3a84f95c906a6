package sink

import (
	"context"
	"time"

	"landfall/message"
)

// Source is one stream and its consumer, as the node's embedded server offers
// them. Every call may fail while leaders are being elected; the sink backs
// off and asks again, so implementations need no long retry loops of their own.
type Source interface {
	// Leads tells whether the server in this process leads the stream's
	// consumer, so that the sink here is the one to write. No I/O, cheap
	// enough to poll. On a single node it is always true.
	Leads() bool

	// State asks the stream's leader where the stream stands. A leader that
	// was paused and has not noticed its successor may answer with old news.
	State(ctx context.Context) (message.Stream, error)

	// ConfirmedState is State, asked behind a call that only a leader with a
	// quorum can answer. Slower; used before anything drastic is concluded.
	ConfirmedState(ctx context.Context) (message.Stream, error)

	// Open resets the consumer so that it delivers from sequence from on
	// (at least 1), and starts pulling. One pull is open at a time; what an
	// older one still delivers may be lost to it, never to the stream.
	Open(ctx context.Context, from uint64) (Pull, error)

	// Nearest returns the stored message with the lowest sequence at or after
	// seq, as far as any replica that answers holds it: the stream's leader
	// is asked first, and where it has a hole at seq, the other replicas too.
	// found is false if the leader answers that it holds nothing from seq on.
	Nearest(ctx context.Context, seq uint64) (m message.Message, found bool, err error)

	// Purge removes the messages below seq. It refuses seq < 2: JetStream
	// takes a purge up to 0 or 1 to mean the whole stream.
	Purge(ctx context.Context, seq uint64) error

	// Reincarnate replaces the incarnation in the stream's metadata, if it is
	// still old, and returns the one that is there afterwards.
	Reincarnate(ctx context.Context, old string) (string, error)

	// Behind is how many of the stream's messages the replica in this process
	// lacks, from which the consumer delivers here.
	Behind(ctx context.Context) (uint64, error)

	// StepDown asks that the consumer's leadership move to another node.
	StepDown(ctx context.Context) error
}

// Pull delivers the messages of an opened consumer.
type Pull interface {
	// Recv waits for at least one message and returns all that are at hand,
	// in the order they came. The slice belongs to the caller until the next
	// Recv; the messages' contents belong to it for good. An error ends the
	// pull: the consumer went away, or heartbeats stayed out.
	Recv(ctx context.Context) ([]message.Message, error)

	// Close stops pulling. It does not wait for what is on its way.
	Close()
}

// Store is what Postgres has of one stream. Errors of its calls are
// message.ErrMoved (nothing happened; read the cursor again),
// *message.SetupError (a person has to act), message.ErrTooSlow (a smaller
// batch may pass), or anything else: an outage, after which the outcome of a
// Write is unknown until Find has been asked.
type Store interface {
	// Prepare sees to it that the tables are there. Cheap once they are.
	Prepare(ctx context.Context) error

	// Find reads the cursor of an incarnation, and waits for a transaction
	// that is still moving it.
	Find(ctx context.Context, incarnation string) (cur message.Cursor, found bool, err error)

	// Begin enters a new incarnation that starts at start and stands at last;
	// messages from start to last, if any, are recorded as a gap. newest is what
	// Newest said before start and last were found out: if that is no longer
	// so, neither are they, and the error is message.ErrMoved.
	Begin(ctx context.Context, newest message.Cursor, incarnation string, start uint64, last message.Cursor) (message.Cursor, error)

	// Encode appends the message's row to dst in the form Write wants. It
	// may run beside a Write, after Find or Begin.
	Encode(dst []byte, m *message.Message) []byte

	// Write stores the batch, which starts at cur.Seq+1, and moves the
	// cursor, both or neither.
	Write(ctx context.Context, cur message.Cursor, b *message.Batch) (message.Outcome, error)

	// RecordGap notes that the messages behind cur up to to are gone, and
	// moves the cursor past them.
	RecordGap(ctx context.Context, cur message.Cursor, to uint64) (message.Cursor, error)

	// Read returns where the cursor stands, without waiting for anybody.
	Read(ctx context.Context, cur message.Cursor) (uint64, error)

	// Newest is the cursor of the stream's latest incarnation that Postgres
	// knows, whichever the stream has by now; the zero cursor if it knows none.
	// It is without the fingerprint.
	Newest(ctx context.Context) (message.Cursor, error)

	// RowAtOrBelow returns the last message at or below seq that Postgres
	// has, in the incarnation that has the last word on it.
	RowAtOrBelow(ctx context.Context, seq uint64) (at uint64, row message.Trace, found bool, err error)

	// Accepted is up to where a person has said that bad messages are the
	// data, however many of them fail alike; 0: nowhere.
	Accepted(ctx context.Context) (uint64, error)

	// Expire deletes rows that have been stored for too long, of messages that
	// the stream, which holds those from held on, has let go: most rows at a
	// time. more tells that there may be others. It may run beside the others.
	Expire(ctx context.Context, held uint64, most int) (rows int, more bool, err error)

	// Trim calls trim with the cursor and the highest sequence stored for
	// longer than window, while the cursor cannot go back.
	Trim(ctx context.Context, cur message.Cursor, window time.Duration, trim func(ctx context.Context, cursor, expired uint64) error) error
}
