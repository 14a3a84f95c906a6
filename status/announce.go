package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/nats-io/nats.go"

	"landfall/message"
)

// announcement is what the node that stores a stream tells all of them after
// each commit, over core NATS: it may be lost, and is never stored.
type announcement struct {
	Stream      string `json:"stream"`
	Incarnation string `json:"incarnation"`
	From        uint64 `json:"from"`  // first sequence of the batch
	To          uint64 `json:"to"`    // last one, where the cursor is now
	Clean       bool   `json:"clean"` // every one of them is a row
}

// storedSubject is where a stream's announcements go; see Peers.subject for
// the `$`.
func (r *Receipts) storedSubject(stream string) string {
	return "$LANDFALL." + r.o.Cluster + ".stored." + stream
}

// Announce tells every node, this one too, of a batch that is in Postgres. It
// waits for nobody, and who does not hear of it asks Postgres.
func (r *Receipts) Announce(stream string, out message.Outcome) {
	count := out.Rows + out.DeadLetters + out.Duplicates
	if count == 0 {
		return
	}
	data, err := json.Marshal(announcement{
		Stream: stream, Incarnation: out.Cursor.Incarnation,
		From: out.Cursor.Seq - uint64(count) + 1, To: out.Cursor.Seq, Clean: count == out.Rows,
	})
	if err == nil {
		err = r.o.Conn.Publish(r.storedSubject(stream), data)
	}
	if err != nil {
		r.o.Log.Debug("the nodes are not told of a commit", "stream", stream, "error", err)
	}
}

// listen hears the announcements of all streams, one after the other.
func (r *Receipts) listen() (*nats.Subscription, error) {
	return r.o.Conn.Subscribe(r.storedSubject("*"), func(m *nats.Msg) {
		if err := r.hear(m.Data); err != nil {
			r.o.Log.Debug("announcement of a commit ignored", "subject", m.Subject, "error", err)
		}
	})
}

// hear takes note of an announcement. Unknown members are ignored: the nodes
// of a cluster are updated one by one.
func (r *Receipts) hear(data []byte) error {
	var a announcement
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("decode announcement: %w", err)
	}
	t, err := r.track(a.Stream)
	if err != nil {
		return err
	}
	if a.Incarnation == "" || a.From < 1 || a.To < a.From || a.To > math.MaxInt64 {
		return errors.New("an announcement of nothing")
	}
	t.hear(a)
	return nil
}
