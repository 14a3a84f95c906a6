package process

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
	"landfall/store"
)

// Letters deals with dead letters, for the command line and over HTTP.
type Letters struct {
	store   *store.Store
	streams map[string]*store.Stream
	upsert  map[string]bool // streams whose letters are published again
	js      func() (jetstream.JetStream, error)
}

// NewLetters needs a store, and a way to publish, which is asked for when it is
// first needed.
func NewLetters(config *cluster.Config, db *store.Store, js func() (jetstream.JetStream, error)) *Letters {
	l := &Letters{store: db, streams: map[string]*store.Stream{}, upsert: map[string]bool{}, js: js}
	for _, s := range config.Streams {
		l.streams[s.Name] = db.Stream(s.Name)
		l.upsert[s.Name] = s.Table != nil && s.Table.Mode == cluster.Upsert && !keyIsID(s.Table)
	}
	return l
}

// keyIsID tells whether the message's id is of the key: published again under
// another id a message would be another row.
func keyIsID(t *cluster.Table) bool {
	return slices.ContainsFunc(t.Columns, func(c cluster.Column) bool { return c.Source.FromID() && slices.Contains(t.Key, c.Name) })
}

// Retried is what became of a dead letter.
type Retried struct {
	Resolution string          `json:"resolution"`
	As         uint64          `json:"as_seq,omitempty"` // sequence of the message that it was published again as
	Row        json.RawMessage `json:"row,omitempty"`    // of its key, before that
}

// ErrUnknownStream says that a letter's stream is not in cluster.yaml.
var ErrUnknownStream = errors.New("the stream is not in cluster.yaml")

// Retry stores a dead letter in its own place, once. Under upsert it is
// published again instead, as a new message: the row of its key may have newer
// values by now. body is taken instead of its own if it is not nil. Errors:
// ErrUnknownStream, store.ErrResolved, *store.StillRefused, or an outage.
func (l *Letters) Retry(ctx context.Context, d *message.DeadLetter, body []byte) (Retried, error) {
	s := l.streams[d.Stream]
	switch {
	case s == nil:
		return Retried{}, fmt.Errorf("%w: %s", ErrUnknownStream, d.Stream)
	case l.upsert[d.Stream]:
		return l.Publish(ctx, d, body)
	}
	return Retried{Resolution: store.ResolutionStored}, s.Retry(ctx, d.StreamID, d.Message.Seq, body)
}

// Publish publishes a dead letter again, as a new message of its stream: with
// body instead of its own if it is not nil. It gets an id of the letter's and
// the body's own: should this process die before that is noted, and somebody
// repeat it inside the duplicate window, it is one message all the same. Errors
// as of Retry.
func (l *Letters) Publish(ctx context.Context, d *message.DeadLetter, body []byte) (Retried, error) {
	s := l.streams[d.Stream]
	if s == nil {
		return Retried{}, fmt.Errorf("%w: %s", ErrUnknownStream, d.Stream)
	}
	js, err := l.js()
	if err != nil {
		return Retried{}, err
	}
	var done Retried
	err = l.store.Resolve(ctx, d.StreamID, d.Message.Seq, func(ctx context.Context, m *message.Message) (string, error) {
		if body != nil {
			m.Data = body
		}
		if done.Row, err = s.Current(ctx, m); err != nil {
			return "", err
		}
		again := &nats.Msg{Subject: m.Subject, Header: nats.Header{}, Data: m.Data}
		for k, vs := range m.Header {
			if !strings.HasPrefix(k, "Nats-") { // those are for JetStream, which has obeyed them
				again.Header[k] = vs
			}
		}
		again.Header.Set(message.IDHeader, fmt.Sprintf("dead-letter/%d/%d/%x", d.StreamID, m.Seq, sha256.Sum256(m.Data))[:64])
		ack, err := js.PublishMsg(ctx, again, jetstream.WithExpectStream(d.Stream))
		if err != nil {
			return "", fmt.Errorf("publish again: %w", err)
		}
		done.As, done.Resolution = ack.Sequence, fmt.Sprintf("published again as %s/%d", ack.Stream, ack.Sequence)
		return done.Resolution, nil
	})
	return done, err
}

// Current is the row that a letter's key has now, as JSON; nil if its stream has
// no keys, or there is none.
func (l *Letters) Current(ctx context.Context, d *message.DeadLetter) (json.RawMessage, error) {
	s := l.streams[d.Stream]
	if s == nil {
		return nil, nil
	}
	return s.Current(ctx, &d.Message)
}

// Discard gives a dead letter up: it stays, marked so.
func (l *Letters) Discard(ctx context.Context, d *message.DeadLetter) error {
	return l.store.Resolve(ctx, d.StreamID, d.Message.Seq, func(context.Context, *message.Message) (string, error) {
		return "discarded", nil
	})
}

// Find is the dead letter at a place of a stream that waits there, in its
// latest incarnation that has one; nil if there is none.
func (l *Letters) Find(ctx context.Context, stream string, seq uint64, resolved bool) (found *message.DeadLetter, err error) {
	err = l.store.DeadLetters(ctx, store.DeadLetterFilter{Stream: stream, Seqs: []uint64{seq}, Resolved: resolved}, func(d *message.DeadLetter) error {
		found = d
		return nil
	})
	return found, err
}

// pageOf is how many letters are in memory at once.
const pageOf = 200

// Each calls do for the dead letters that a filter chooses, a page of them in
// memory at a time: do may deal with them.
func (l *Letters) Each(ctx context.Context, f store.DeadLetterFilter, do func(*message.DeadLetter) error) error {
	left := f.Limit
	for {
		f.Limit = pageOf
		if left > 0 {
			f.Limit = min(left, pageOf)
		}
		var page []*message.DeadLetter
		err := l.store.DeadLetters(ctx, f, func(d *message.DeadLetter) error {
			page = append(page, d)
			return nil
		})
		if err != nil {
			return err
		}
		for _, d := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(d); err != nil {
				return err
			}
			f.After = store.Letter{StreamID: d.StreamID, Seq: d.Message.Seq}
		}
		if len(page) < f.Limit || left == len(page) {
			return nil
		}
		left = max(0, left-len(page))
	}
}
