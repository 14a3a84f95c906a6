package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall/cluster"
	"landfall/message"
)

// hop is how long a call to the stream's leader or to Postgres takes.
const hop = time.Millisecond

// world is all that sinks deal with: one stream with its consumer, the nodes
// on which sinks run, and one Postgres. It behaves as the contracts in
// seams.go say the real ones do, it can be broken in every way that the real
// ones break in, and it knows what was published, so that it can tell
// afterwards whether the promise was kept (world_check_test.go). It lives in
// fake time.
type world struct {
	mu     sync.Mutex
	stream stream
	pg     postgres
	nodes  []*node
	log    []line
	wrong  []string // what was seen to go wrong when it happened

	sinks   sync.WaitGroup
	stopped bool
	end     context.CancelFunc
	ctx     context.Context
	ghosts  sync.WaitGroup // transactions whose client has gone
}

// node is one process with a sink for the stream.
type node struct {
	*world
	number   int
	sink     *Sink
	leads    bool            // believes to lead the consumer; several nodes may at once
	isolated bool            // does not reach Postgres
	reached  time.Time       // since when it does, or does not
	told     int             // batches reported as committed
	steps    []time.Time     // when it asked to hand over
	missing  map[uint64]bool // sequences its replica has lost
}

// options of a world.
type options struct {
	nodes        int
	replayWindow time.Duration
	maxBytes     int64
	rows         int // limit of a batch; 0: the usual one
}

// line is one record of the log.
type line struct {
	level   slog.Level
	message string
}

// inWorld runs f in a world of its own, in fake time, with node 0 leading,
// then stops the sinks and checks that the promise was kept.
func inWorld(t *testing.T, o options, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(o)
		defer w.stop()
		w.start()
		f(t, w)
		w.stop()
		for _, problem := range w.check() {
			t.Error(problem)
		}
	})
}

func newWorld(o options) *world {
	w := &world{}
	w.stream.maxBytes = o.maxBytes
	if w.stream.maxBytes == 0 {
		w.stream.maxBytes = 1 << 40
	}
	w.stream.ledger = map[string]message.Message{}
	w.stream.let = map[string]bool{}
	w.stream.purged = map[string]bool{}
	w.pg.stored, w.pg.unique = map[string]bool{}, newRow()
	w.recreate()
	w.ctx, w.end = context.WithCancel(context.Background())
	window := o.replayWindow
	if window == 0 {
		window = 72 * time.Hour
	}
	for i := range max(o.nodes, 1) {
		n := &node{world: w, number: i, leads: i == 0, reached: time.Now(), missing: map[uint64]bool{}}
		opts := Options{
			Stream:    cluster.Stream{Name: "MESSAGES", ReplayWindow: window},
			Source:    source{n},
			Store:     store{n},
			Log:       slog.New(recorder{w}),
			Postgres:  n.postgres,
			Committed: func(message.Outcome) { w.do(func() { n.told++ }) },
		}
		if o.nodes > 1 {
			opts.Elsewhere = n.elsewhere
		}
		n.sink = New(opts)
		if o.rows > 0 {
			n.sink.limit = limit{now: o.rows, max: o.rows}
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

// start runs the sinks of all nodes until stop.
func (w *world) start() {
	for _, n := range w.nodes {
		w.sinks.Go(func() { _ = n.sink.Run(w.ctx) })
	}
}

// stop ends the sinks and waits for them, and for what they left in Postgres.
func (w *world) stop() {
	if w.stopped {
		return
	}
	w.stopped = true
	w.end()
	w.sinks.Wait()
	w.ghosts.Wait()
}

// do runs f while nothing else happens.
func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// pass lets fake time go by, or less if ctx ends.
func pass(ctx context.Context, d time.Duration) error {
	wait(ctx, d)
	return ctx.Err()
}

// pass lets fake time go by for everybody.
func (w *world) pass(d time.Duration) { wait(context.Background(), d) }

// reaches waits, in fake time, until cond holds.
func (w *world) reaches(d time.Duration, cond func() bool) bool {
	for end := time.Now().Add(d); ; {
		synctest.Wait()
		ok := false
		w.do(func() { ok = cond() })
		if ok || time.Now().After(end) {
			return ok
		}
		w.pass(10 * time.Millisecond)
	}
}

// until is reaches, for what has to come true within a minute.
func (w *world) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !w.reaches(time.Minute, cond) {
		w.do(func() {
			t.Fatalf("within a minute: no %s\nlast in the log: %v\n%s", what, w.log[max(0, len(w.log)-8):], w.describe())
		})
	}
}

// stores waits until Postgres has all of the stream.
func (w *world) stores(t *testing.T) {
	t.Helper()
	w.until(t, "cursor at the stream's end", w.caughtUp)
}

// caughtUp tells whether Postgres has all of the stream, and knows that it is
// this stream; in do.
func (w *world) caughtUp() bool {
	row := w.pg.row(w.stream.incarnation)
	if row == nil || row.cursor.Seq != w.stream.last {
		return false
	}
	at := w.stream.held[w.stream.index(w.stream.last):]
	return len(at) == 0 || row.cursor.Last.Equal(at[0].Fingerprint())
}

// lead has exactly these nodes believe that they lead the consumer.
func (w *world) lead(numbers ...int) {
	w.do(func() {
		for _, n := range w.nodes {
			n.leads = false
		}
		for _, i := range numbers {
			w.nodes[i].leads = true
		}
	})
}

// postgres is what the node knows of its way to Postgres.
func (n *node) postgres() (bool, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.isolated && !n.pg.away, n.reached
}

func (n *node) elsewhere() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.nodes {
		if other != n && !other.isolated && !n.pg.away {
			return true
		}
	}
	return false
}

// isolate takes the node's way to Postgres away, or gives it back.
func (n *node) isolate(isolated bool) {
	n.do(func() { n.isolated, n.reached = isolated, time.Now() })
}

// said counts the log's lines that read so.
func (w *world) said(message string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for _, l := range w.log {
		if l.message == message {
			count++
		}
	}
	return count
}

// loud counts the log's lines that an operator would be woken by.
func (w *world) loud() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	for _, l := range w.log {
		if l.level >= slog.LevelWarn {
			count++
		}
	}
	return count
}

func (w *world) describe() string {
	s := fmt.Sprintf("stream %s: %d..%d\n", w.stream.incarnation, w.stream.first(), w.stream.last)
	for _, r := range w.pg.rows {
		s += fmt.Sprintf("row %d %s: start %d, cursor %d, %d stored, gaps %v\n",
			r.cursor.StreamID, r.cursor.Incarnation, r.start, r.cursor.Seq, len(r.stored), r.gaps)
	}
	return s
}

// recorder keeps the log in the world.
type recorder struct{ w *world }

func (r recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r recorder) WithGroup(string) slog.Handler            { return r }
func (r recorder) Handle(_ context.Context, l slog.Record) error {
	text := l.Message
	l.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && errors.Is(err, errImpossible) {
			r.w.do(func() { r.w.wrong = append(r.w.wrong, err.Error()) })
		}
		return true
	})
	r.w.do(func() { r.w.log = append(r.w.log, line{l.Level, text}) })
	return nil
}

// errImpossible is what the world answers to calls that must never be made.
var errImpossible = errors.New("impossible")
