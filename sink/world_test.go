package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
	options options
	mu      sync.Mutex
	stream  stream
	pg      postgres
	nodes   []*node
	log     []line
	wrong   []string // what was seen to go wrong when it happened

	sinks   sync.WaitGroup
	stopped bool
	end     context.CancelFunc
	ctx     context.Context
	ghosts  sync.WaitGroup // transactions whose client has gone

	taken  map[decision]int // decisions that were seen to be taken
	course atomic.Uint64    // sum over everything that happened, and when
}

// options of a world.
type options struct {
	nodes        int
	replayWindow time.Duration
	maxBytes     int64
	rows         int      // limit of a batch; 0: the usual one
	seeds        []uint64 // of the nodes' latencies; nil: a hop each way there, none back
	handsOver    bool     // stepping down moves the lead to the next node
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
	if o.nodes == 0 {
		o.nodes = 1
	}
	if o.replayWindow == 0 {
		o.replayWindow = 72 * time.Hour
	}
	if o.maxBytes == 0 {
		o.maxBytes = 1 << 40
	}
	w := &world{options: o}
	w.stream.maxBytes, w.stream.ledger = o.maxBytes, map[key]published{}
	w.stream.let = map[key]bool{}
	w.stream.purged = map[key]bool{}
	w.pg.stored, w.pg.excused, w.pg.reached = map[key]time.Time{}, map[key]bool{}, map[string]uint64{}
	w.pg.unique, w.pg.strict = newRow(), true
	w.recreate()
	w.ctx, w.end = context.WithCancel(context.Background())
	for i := range o.nodes {
		w.nodes = append(w.nodes, w.newNode(i))
	}
	return w
}

// start runs the sinks of all nodes until stop.
func (w *world) start() {
	for _, n := range w.nodes {
		n.begin()
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

// pass lets fake time go by for everybody; a trifle more, so that what happens
// next does not meet a timer that was set when the last thing happened.
func (w *world) pass(d time.Duration) { wait(context.Background(), d+1013*time.Nanosecond) }

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
		for i, n := range w.nodes {
			n.turn(slices.Contains(numbers, i))
		}
	})
}

// leadAll has all of them believe it.
func (w *world) leadAll() {
	w.do(func() {
		for _, n := range w.nodes {
			n.turn(true)
		}
	})
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
	var failed error
	l.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			failed = err
		}
		return true
	})
	r.w.do(func() {
		if errors.Is(failed, errImpossible) {
			r.w.wrong = append(r.w.wrong, failed.Error())
		}
		r.w.decidedAsLogged(l.Message, failed)
		r.w.log = append(r.w.log, line{l.Level, l.Message})
	})
	return nil
}

// errImpossible is what the world answers to calls that must never be made.
var errImpossible = errors.New("impossible")
