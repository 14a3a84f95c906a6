// Package producer is the HTTP door to the streams. A request names a subject
// and carries one message, or a batch of them; the door publishes each under
// one id, and answers 200 only after the stream's quorum has it. While a leader
// is being elected it holds the request and repeats the message under the same
// id, so that a repeat can never become a second message; when time is up and
// the outcome is not known it says so with a 503, never with a 2xx. Every
// refusal is a problem document of RFC 9457 that says what to do.
//
// The way of a request: ServeHTTP (http.go) asks for the token (auth.go),
// request.go reads what it wants, and there is room for it, or not (limits.go).
// Of a single message body.go and encoding.go read the body, and publish.go has
// it acknowledged.
//
// A batch is taken by batch.go. Its body comes at the client's pace
// (paced_body.go) and is cut into items (items.go) by lines.go or
// event_batch.go. send.go sends them while they come, many at a time: those in
// flight have their places in window.go, lane.go carries them to the stream and
// brings the answers back, resend.go goes back when answers fail to come, and
// compare.go holds what was known already against what is stored. tally.go
// counts, and summary.go words the answer.
//
// stored.go waits until Postgres has what was acknowledged; receipts.go tells
// it later, and letters.go what it could not hold. problem.go words what went wrong, and log.go tells the operator.
// cloudevents.go makes messages of events, and openapi.go describes all of it
// to programs.
package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
)

// Publisher sends a message to its stream and waits for the acknowledgement.
// An error says nothing about the outcome unless it is a refusal: the message
// may be stored although the call failed. jetstream.JetStream is one.
type Publisher interface {
	PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error)
}

// Options are what the door must know before anything runs behind it. Zero
// values mean the defaults named beside them.
type Options struct {
	Streams []cluster.Stream // which subjects are taken, and by which stream
	Token   string           // bearer token; "": nobody is asked
	Probes  http.Handler     // answers /healthz and /readyz without a token; nil: unknown paths
	Metrics http.Handler     // answers /metrics; nil: an unknown path
	Page    Page             // the status page; nil: unknown paths
	Ready   func() error     // why the node is not ready: the detail of a 503 before Open; may be nil

	// Status is what the node knows of the cluster, as JSON; nil: an unknown path.
	Status func() (any, error)

	// AdminApart keeps what is for operators (page, metrics, status, dead
	// letters) off this handler: Admin answers it.
	AdminApart bool

	// Hosts are the names under which clients know the nodes. Requests for
	// other names are refused, unless by address: they come from a browser
	// whose page has had its own name lead here. nil: nobody is asked.
	Hosts []string

	// Published, if set, is told of every request to publish: the name of its
	// refusal, or "". took is how long a single message took until it was
	// acknowledged; 0 for others. It must not wait.
	Published func(refusal string, took time.Duration)

	MaxPayload       int           // bytes of a message, headers included, that the servers take (1 MiB)
	MaxInFlight      int           // messages accepted and not yet answered (4096)
	MaxInFlightBytes int64         // bytes of them, headers included (48 MiB)
	MaxBatches       int           // batches on their way at once (64)
	MaxBatchBytes    int64         // bytes of one batch, decompressed (16 GiB)
	Deadline         time.Duration // how long a message is held for an acknowledgement (10 s)
	BodyTimeout      time.Duration // how long a client may take to send its body (20 s)

	Log *slog.Logger // nil: silent
}

// Page is what is shown to people.
type Page interface {
	http.Handler

	// Shows tells whether a path is the page's.
	Shows(path string) bool
}

// Backend is the running node behind the door.
type Backend struct {
	Publisher Publisher

	// Stored reads a message back from the stream's leader, for comparison
	// when a key was seen before. found is false only if the leader itself
	// answered that it no longer holds that sequence.
	Stored func(ctx context.Context, stream string, seq uint64) (m message.Message, found bool, err error)

	// Range reads the messages from first to last, both included, from any
	// replica: those it holds, in order. It is for comparing many repeats at
	// once; what it does not return is asked of Stored.
	Range func(ctx context.Context, stream string, first, last uint64) ([]message.Message, error)

	// Receipts know what Postgres has made of the messages.
	Receipts Receipts

	// Letters are what Postgres could not hold.
	Letters DeadLetters

	// Conn carries batches, and hears the announcements of new stream
	// leaders. nil: no batches are taken, no leaders are heard of, and held
	// messages are repeated by the clock alone.
	Conn *nats.Conn
}

// Receipts tell what has become of acknowledged messages in Postgres.
type Receipts interface {
	// Cursor is how far Postgres is known to have the stream. No I/O.
	Cursor(stream string) uint64

	// Await waits until the message at seq is no longer pending. id is its
	// message id. floor is what Cursor said before the message was sent; a
	// message that JetStream knew from an earlier request passes
	// math.MaxUint64. The error is ctx's: until then Postgres is asked again
	// and again.
	Await(ctx context.Context, stream string, seq uint64, id string, floor uint64) (message.Receipt, error)

	// Receipt asks Postgres about one sequence.
	Receipt(ctx context.Context, stream string, seq uint64) (message.Receipt, error)

	// Unstored asks Postgres for the sequences from first to last that are
	// dead letters, or repeat one, or begin a gap, in order.
	Unstored(ctx context.Context, stream string, first, last uint64, each func(message.Receipt)) error
}

// Door is the endpoint's http.Handler. It can listen before there is a node
// behind it: until Open, and after Close, publishing is answered with 503.
type Door struct {
	o      Options
	gate   *gate
	bells  map[string]*bell // by stream; the map never changes
	logged logged           // what the log was told of refusals

	origins  http.CrossOriginProtection
	decoders decoders
	leaving  leaving
	waiting  atomic.Int64    // requests that wait for Postgres
	draining context.Context // ends when batches are to be read no further, and Postgres is no longer waited for
	drained  context.CancelFunc

	backend atomic.Pointer[Backend]

	mu  sync.Mutex // guards sub, and orders Open and Close
	sub *nats.Subscription
}

// New makes a closed door.
func New(o Options) *Door {
	o.MaxPayload = positive(o.MaxPayload, 1<<20)
	o.MaxInFlight = positive(o.MaxInFlight, 4096)
	o.MaxInFlightBytes = positive(o.MaxInFlightBytes, 48<<20)
	o.MaxBatches = positive(o.MaxBatches, 64)
	o.MaxBatchBytes = positive(o.MaxBatchBytes, 16<<30)
	o.Deadline = positive(o.Deadline, 10*time.Second)
	o.BodyTimeout = positive(o.BodyTimeout, 20*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{
		o:     o,
		gate:  &gate{maxMessages: o.MaxInFlight, maxBytes: o.MaxInFlightBytes, maxBatches: o.MaxBatches},
		bells: make(map[string]*bell, len(o.Streams)),

		decoders: newDecoders(),
	}
	if o.Published == nil {
		d.o.Published = func(string, time.Duration) {}
	}
	d.draining, d.drained = context.WithCancel(context.Background())
	for _, s := range o.Streams {
		d.bells[s.Name] = newBell()
	}
	return d
}

// positive returns v, or the default if v is not above zero.
func positive[T int | int64 | time.Duration](v, byDefault T) T {
	if v > 0 {
		return v
	}
	return byDefault
}

// Open lets messages through to the node.
func (d *Door) Open(b Backend) error {
	if b.Publisher == nil || b.Stored == nil {
		return errors.New("open door: a publisher and a way to read stored messages are needed")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.backend.Load() != nil {
		return errors.New("open door: it is open already")
	}
	if b.Conn != nil {
		sub, err := listen(b.Conn, d.bells)
		if err != nil {
			return fmt.Errorf("open door: listen for new leaders: %w", err)
		}
		d.sub = sub
	}
	d.backend.Store(&b)
	return nil
}

// drainTime is how long a batch may still be read, and a request wait for
// Postgres, when the node is stopping: nearly all have come to their end by then.
const drainTime = 2 * time.Second

// Drain has batches read no further after a moment: what has come of them is
// acknowledged, and their answers say from where to go on at another node. Who
// waits for Postgres still is told that it is not known. It returns at once. Call it when http.Server.Shutdown is, which would wait for
// the end of every batch otherwise (RegisterOnShutdown).
func (d *Door) Drain() { time.AfterFunc(drainTime, d.drained) }

// Close refuses new messages; those already held go on to their end. Call it
// after http.Server.Shutdown and before the node's connection closes.
func (d *Door) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drained()
	d.backend.Store(nil)
	if d.sub != nil {
		// It fails only if the connection is closed, and then it is gone too.
		_ = d.sub.Unsubscribe()
		d.sub = nil
	}
}
