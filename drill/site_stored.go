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
// it publishes a message of its own, enters it into the ledger, and waits for
// its row, which comes after all before it. An error means that it did not
// come while ctx lasted.
func (s *Site) StoredAll(ctx context.Context) error { return s.storedThrough(ctx, s.nodeNames()...) }

// storedThrough is StoredAll with a message that comes through the HTTP door
// of one of the nodes named: so it tells as well that they acknowledge.
func (s *Site) storedThrough(ctx context.Context, nodes ...string) error {
	door := s.Cluster.HTTPDoor(1, nodes...)
	defer door.Close()
	book, err := s.borrowBook("probe")
	if err != nil {
		return err
	}
	defer book.Close() //nolint:errcheck // the ledger keeps it
	m := probe()
	ref := book.Offer(m, time.Now())
	told := Deliver(ctx, door, m, probePatience)
	book.Tell(ref, told)
	if told.Outcome != Acked {
		return fmt.Errorf("publish a probe through %s: %s: %w", listed(nodes), told.Outcome, context.Cause(ctx))
	}
	if err := s.awaitRow(ctx, m.ID); err != nil {
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
func (s *Site) awaitRow(ctx context.Context, id string) error {
	var last error
	err := poll(ctx, storedPoll, func(ctx context.Context) (there bool, _ error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		// Through the index, which begins with the stream.
		last = s.SQL.QueryRow(ctx, `SELECT EXISTS (SELECT FROM landfall.streams s JOIN public.messages m
			ON m.stream_id = s.id AND m.msg_id = $1 WHERE s.name = $2)`, id, Stream).Scan(&there)
		return there, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// borrowBook opens a book of the ledger that nobody else has open: those who
// publish now and then take turns at a few, in the order of their numbers.
func (s *Site) borrowBook(name string) (*Book, error) {
	for n := 0; ; n++ {
		book, err := s.Ledger.Book(fmt.Sprintf("%s-%d", name, n))
		if !errors.Is(err, errBookOpen) {
			return book, err
		}
	}
}
