// Package message holds the words that the stream's side and the database's
// side of Landfall share: a message of a stream, where a stream stands, how
// far Postgres has it, and what became of a batch. It knows neither NATS nor
// SQL, and nothing of ours, so that sink, node and store can speak with each
// other without importing each other.
package message

import (
	"time"
)

// IDHeader is the header that carries a message's id, by which JetStream
// (inside its duplicate window) and Postgres (as long as the row is kept)
// recognise a repeat.
const IDHeader = "Nats-Msg-Id"

// OpHeader is the header of a message that does something else to the row of
// its key than writing it, in a table of the user's own under mode upsert: with
// OpDelete it deletes it.
const (
	OpHeader = "Landfall-Op"
	OpDelete = "delete"
)

// Message is one stored message of a stream.
type Message struct {
	Seq     uint64              // position in the stream, from 1
	Subject string              // as published; any bytes a NATS client may send
	Header  map[string][]string // as published; nil if none
	Data    []byte              // the body; nil and empty are the same
	Time    time.Time           // when the stream's leader stored it, ns
}

// ID is the message id its producer gave it, or "".
func (m *Message) ID() string {
	if v := m.Header[IDHeader]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Fingerprint tells one message from another at the same sequence: a stream
// that was cut and grew again has other fingerprints at old numbers.
type Fingerprint struct {
	Time time.Time // JetStream's timestamp, ns
	ID   string    // message id or ""
}

// Equal compares the instants, not their locations.
func (f Fingerprint) Equal(g Fingerprint) bool {
	return f.Time.Equal(g.Time) && f.ID == g.ID
}

// Trace is what Postgres keeps of a message, by which it can be told from
// another one at its place.
type Trace struct {
	Time  time.Time     // JetStream's timestamp, cut to Unit
	Unit  time.Duration // 1 ns or 1 µs
	ID    string        // message id or ""
	Named bool          // ID is known
}

// Of tells whether the trace is the message's.
func (t Trace) Of(m *Message) bool {
	return (!t.Named || t.ID == m.ID()) && m.Time.Truncate(t.Unit).Equal(t.Time)
}

// Fingerprint of the message.
func (m *Message) Fingerprint() Fingerprint {
	return Fingerprint{Time: m.Time, ID: m.ID()}
}

// Size is about the memory the message holds, in bytes.
func (m *Message) Size() int {
	n := len(m.Subject) + len(m.Data) + 64
	for k, vs := range m.Header {
		n += len(k)
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}

// Stream is where a stream of the cluster stands, as its leader told it.
type Stream struct {
	Name        string
	Incarnation string // UUID in the stream's metadata, set at creation
	First       uint64 // sequence of the first message held; Last+1 if empty
	Last        uint64 // sequence of the last message ever stored
	Messages    uint64 // messages held
	Bytes       uint64 // bytes held
	MaxBytes    int64  // limit; new messages are refused beyond it
}

// Cursor is how far Postgres has a stream's incarnation.
type Cursor struct {
	StreamID    int64 // landfall.streams.id
	Incarnation string
	Seq         uint64      // last sequence that Postgres has; 0: none
	Last        Fingerprint // of that message; zero Time if it is not known
}
