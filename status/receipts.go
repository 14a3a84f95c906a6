package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"landfall/message"
)

// Ledger is Postgres, asked what has become of messages. Its calls bring their
// own deadlines and may run beside each other.
type Ledger interface {
	// Receipts returns one receipt for each of the sequences, in their order.
	// ID is the message id of what the sequence ended as.
	Receipts(ctx context.Context, stream string, seqs []uint64) ([]message.Receipt, error)

	// Unstored calls each for the sequences from first to last that are dead
	// letters, or repeat one, or begin a gap, in order.
	Unstored(ctx context.Context, stream string, first, last uint64, each func(message.Receipt)) error
}

// ReceiptsOptions are what Receipts needs to know.
type ReceiptsOptions struct {
	Cluster string     // its name, a single token of a subject
	Streams []string   // all streams; announcements of others are ignored
	Conn    *nats.Conn // to the cluster
	Ledger  Ledger
	Log     *slog.Logger
}

// Receipts know what has become of acknowledged messages, on every node: the
// node that stores a stream announces each commit, and who waits for a message
// is answered by that, mostly without a question to Postgres. An announcement
// counts only for what was sent after the one before it was heard; for the
// rest, for what is no row, and where announcements stay out, Postgres has the
// word, and only about a message of the same id: another incarnation of the
// stream may have a row under the same number.
type Receipts struct {
	o      ReceiptsOptions
	tracks map[string]*track // by stream; the map never changes
}

// NewReceipts makes receipts that have heard nothing yet.
func NewReceipts(o ReceiptsOptions) (*Receipts, error) {
	if o.Conn == nil || o.Ledger == nil {
		return nil, errors.New("receipts: a connection and a ledger are needed")
	}
	for _, name := range append([]string{o.Cluster}, o.Streams...) {
		if name == "" || strings.ContainsAny(name, ".*> \t\r\n") {
			return nil, fmt.Errorf("receipts: %q cannot be a token of a subject", name)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Receipts{o: o, tracks: make(map[string]*track, len(o.Streams))}
	for _, name := range o.Streams {
		r.tracks[name] = newTrack()
	}
	return r, nil
}

// Run listens to announcements, and asks Postgres about what they leave open,
// until the context ends; then it returns nil.
func (r *Receipts) Run(ctx context.Context) error {
	sub, err := r.listen()
	if err != nil {
		return fmt.Errorf("listen to announcements of commits: %w", err)
	}
	// It fails only if the connection is closed, and then it is gone too.
	defer func() { _ = sub.Unsubscribe() }()
	var all errgroup.Group
	for name, t := range r.tracks {
		a := &asker{track: t, stream: name, ledger: r.o.Ledger, log: r.o.Log.With("stream", name)}
		all.Go(func() error { return a.run(ctx) })
	}
	return all.Wait()
}

// track of a stream, if it is one of the cluster's.
func (r *Receipts) track(stream string) (*track, error) {
	t, ok := r.tracks[stream]
	if !ok {
		return nil, fmt.Errorf("stream %q is not in cluster.yaml", stream)
	}
	return t, nil
}

// Cursor is how far Postgres is known to have the stream, as far as was heard;
// 0 if nothing was, or if there is no such stream. No I/O.
func (r *Receipts) Cursor(stream string) uint64 {
	t, err := r.track(stream)
	if err != nil {
		return 0
	}
	return t.at()
}

// Await waits until the message at seq is no longer pending. id is its message
// id. floor is what Cursor said before the message was sent, or MaxUint64 if it
// is not known when that was: news of a sequence at or below it may be of
// another message, so that Postgres is asked. The error is ctx's.
func (r *Receipts) Await(ctx context.Context, stream string, seq uint64, id string, floor uint64) (message.Receipt, error) {
	t, err := r.track(stream)
	if err != nil {
		return message.Receipt{}, err
	}
	w := &waiter{seq: seq, id: id, floor: floor, answer: make(chan message.Receipt, 1)}
	t.join(w)
	select {
	case got := <-w.answer:
		return got, nil
	case <-ctx.Done():
	}
	t.leave(w)
	select {
	case got := <-w.answer: // it was there in time, or is by now
		return got, nil
	default:
		return message.Receipt{}, fmt.Errorf("wait for message %d of %s to be stored: %w", seq, stream, ctx.Err())
	}
}

// Receipt asks Postgres about one sequence.
func (r *Receipts) Receipt(ctx context.Context, stream string, seq uint64) (message.Receipt, error) {
	if _, err := r.track(stream); err != nil {
		return message.Receipt{}, err
	}
	got, err := r.o.Ledger.Receipts(ctx, stream, []uint64{seq})
	if err != nil {
		return message.Receipt{}, err
	}
	if len(got) != 1 {
		return message.Receipt{}, fmt.Errorf("%d receipts for one sequence", len(got))
	}
	return got[0], nil
}

// Unstored asks Postgres for the sequences from first to last that are dead
// letters, or repeat one, or begin a gap, in order.
func (r *Receipts) Unstored(ctx context.Context, stream string, first, last uint64, each func(message.Receipt)) error {
	if _, err := r.track(stream); err != nil {
		return err
	}
	return r.o.Ledger.Unstored(ctx, stream, first, last, each)
}
