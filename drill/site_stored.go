package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// storedPoll is how often it is looked whether a row is there.
const storedPoll = 50 * time.Millisecond

// StoredAll waits until Postgres has everything that was published before:
// it publishes a message of its own to each stream, enters it into the ledger,
// and waits for its row, which comes after all before it. An error means that it did not
// come while ctx lasted.
func (s *Site) StoredAll(ctx context.Context) error { return s.storedThrough(ctx, s.nodeNames()...) }

// storedThrough is StoredAll with a message that comes through the HTTP door
// of one of the nodes named: so it tells as well that they acknowledge.
func (s *Site) storedThrough(ctx context.Context, nodes ...string) error {
	// Through the index, which begins with the stream.
	err := s.probe(ctx, s.Ledger, probe(), `SELECT EXISTS (SELECT FROM landfall.streams s JOIN public.messages m
		ON m.stream_id = s.id AND m.msg_id = $1 WHERE s.name = '`+Stream+`')`, nodes...)
	if err != nil || s.Changes == nil {
		return err
	}
	return s.probe(ctx, s.Changes, probeChange(), `SELECT EXISTS (SELECT FROM `+changesTable+` WHERE id || '.1' = $1 AND id = left($1, -2))`, nodes...)
}

// probe publishes a message and waits for its row, for which there asks.
func (s *Site) probe(ctx context.Context, ledger *Ledger, m Message, there string, nodes ...string) error {
	door := s.Cluster.HTTPDoor(1, nodes...)
	defer door.Close()
	book, err := borrowBook(ledger, "probe")
	if err != nil {
		return err
	}
	defer book.Close() //nolint:errcheck // the ledger keeps it
	ref := book.Offer(m, time.Now())
	told := Deliver(ctx, door, m, probePatience)
	book.Tell(ref, told)
	if told.Outcome != Acked {
		return fmt.Errorf("publish a probe through %s: %s: %w", listed(nodes), told.Outcome, context.Cause(ctx))
	}
	if err := s.awaitRow(ctx, m.ID, there); err != nil {
		return fmt.Errorf("wait for the row of a probe, %d of %s: %w", told.Seq, told.Stream, err)
	}
	return nil
}

// probePatience is longer than anybody waits for one: their contexts end first.
const probePatience = time.Hour

func probe() Message {
	id := "probe-" + rand.Text()
	return Message{ID: id, Subject: "messages.probe", Body: []byte(id)}
}

// awaitRow waits until a message has its row, whatever becomes of Postgres
// meanwhile.
func (s *Site) awaitRow(ctx context.Context, id, ask string) error {
	var last error
	err := poll(ctx, storedPoll, func(ctx context.Context) (there bool, _ error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		last = s.SQL.QueryRow(ctx, ask, id).Scan(&there)
		return there, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// borrowBook opens a book of the ledger that nobody else has open: those who
// publish now and then take turns at a few, in the order of their numbers.
func (s *Site) borrowBook(name string) (*Book, error) { return borrowBook(s.Ledger, name) }

func borrowBook(ledger *Ledger, name string) (*Book, error) {
	for n := 0; ; n++ {
		book, err := ledger.Book(fmt.Sprintf("%s-%d", name, n))
		if !errors.Is(err, errBookOpen) {
			return book, err
		}
	}
}
