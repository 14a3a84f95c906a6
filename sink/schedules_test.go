package sink

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"landfall/message"
)

// step is one thing that happens in a schedule, and how long until the next.
type step struct {
	kind  kind
	n     int // what it means depends on the kind
	sleep time.Duration
}

type kind string

const (
	publishing kind = "publish"  // n messages
	outages    kind = "outage"   // Postgres goes, or comes back
	meeting    kind = "fault"    // a transaction meets fault n
	slowing    kind = "slow"     // commits take n ms
	saving     kind = "backup"   // a backup is made
	restoring  kind = "restore"  // backup n is restored
	leading    kind = "lead"     // the nodes of bit set n believe that they lead
	isolating  kind = "isolate"  // node n loses its way to Postgres, or finds it again
	breaking   kind = "break"    // the pulls end
	stalling   kind = "stall"    // the consumer delivers nothing more
	stealing   kind = "steal"    // closed pulls take n more messages
	losing     kind = "lose"     // n messages at the end vanish from every replica
	forgetting kind = "forget"   // n messages at the end vanish from node 0's replica
	cutting    kind = "cut"      // the stream's last n messages are lost
	recreating kind = "recreate" // the stream is made anew
	staling    kind = "stale"    // the leader tells old news, or stops to
)

func (s step) String() string { return fmt.Sprintf("%s %d, %v", s.kind, s.n, s.sleep) }

// schedules generates steps: half of them ordinary life, the others faults.
func schedules() *rapid.Generator[[]step] {
	calm := rapid.SampledFrom([]kind{publishing, publishing, publishing, saving, slowing, leading})
	bad := rapid.SampledFrom([]kind{
		outages, outages, meeting, meeting, meeting, meeting, restoring, restoring, leading, isolating, breaking,
		stalling, stealing, losing, forgetting, cutting, cutting, recreating, staling,
	})
	one := rapid.Custom(func(t *rapid.T) step {
		k := rapid.OneOf(calm, bad).Draw(t, "kind")
		return step{
			kind:  k,
			n:     rapid.IntRange(0, 40).Draw(t, "n"),
			sleep: time.Duration(rapid.SampledFrom([]int{0, 1, 5, 30, 110, 500, 2100, 12_000}).Draw(t, "ms")) * time.Millisecond,
		}
	})
	return rapid.SliceOfN(one, 5, 40)
}

// TestSchedules lets anything happen at any time, and looks afterwards
// whether every message is where it belongs.
func TestSchedules(t *testing.T) {
	for _, o := range []options{
		{nodes: 1, rows: 5, replayWindow: 4 * time.Second},
		{nodes: 2, rows: 8, maxBytes: 12_000},
		{nodes: 3, rows: 4096, maxBytes: 30_000, replayWindow: 20 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d nodes", o.nodes), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				steps := schedules().Draw(rt, "steps")
				var problems []string
				synctest.Test(t, func(*testing.T) { problems = play(o, steps) })
				if len(problems) > 0 {
					rt.Fatalf("%s", strings.Join(problems, "\n"))
				}
			})
		})
	}
}

// play runs a schedule, heals the world, and returns what is wrong then.
func play(o options, steps []step) []string {
	w := newWorld(o)
	defer w.stop()
	w.start()
	var backups [][]*row
	for _, s := range steps {
		if s.kind == saving {
			backups = append(backups, w.snapshot())
		} else {
			w.happen(s, backups)
		}
		w.pass(s.sleep)
	}
	w.heal()
	w.publish(3)
	ok := w.reaches(10*time.Minute, w.caughtUp)
	w.stop()
	problems := w.check()
	if !ok {
		problems = append(problems, fmt.Sprintf("not caught up after ten minutes; the log's end: %v", w.log[max(0, len(w.log)-10):]))
	}
	return problems
}

// happen makes a step come true.
func (w *world) happen(s step, backups [][]*row) {
	back := func(state message.Stream) uint64 { return state.Last - min(state.Last, uint64(s.n)) }
	var state message.Stream
	w.do(func() { state = w.stream.state() })
	switch s.kind {
	case publishing:
		w.publishSized(s.n, 100)
	case outages:
		w.outage(s.n%2 == 0)
	case meeting:
		w.meet(fault(s.n % (int(setup) + 1)))
	case slowing:
		w.do(func() { w.pg.slow = time.Duration(s.n) * 5 * time.Millisecond })
	case restoring:
		if len(backups) > 0 {
			w.restore(backups[s.n%len(backups)])
		}
	case leading:
		var numbers []int
		for i := range w.nodes {
			if s.n&(1<<i) != 0 {
				numbers = append(numbers, i)
			}
		}
		w.lead(numbers...)
	case isolating:
		w.nodes[s.n%len(w.nodes)].isolate(s.n%2 == 0)
	case breaking:
		w.do(w.breakPulls)
	case stalling:
		w.do(func() { w.stream.stalled = true })
	case stealing:
		w.do(func() { w.stream.thieves = s.n })
	case losing:
		for seq := back(state) + 1; seq <= state.Last; seq++ {
			w.lose(seq)
		}
	case forgetting:
		if len(w.nodes) > 1 {
			w.nodes[0].forget(between(back(state)+1, state.Last)...)
		}
	case cutting:
		w.cut(back(state))
	case recreating:
		w.elect()
		w.recreate()
		w.elected()
	case staling:
		w.do(func() {
			if w.stream.old = nil; s.n%3 == 0 {
				w.stream.old = &state
			}
		})
	}
}

// heal ends every fault; node 0 leads.
func (w *world) heal() {
	w.outage(false)
	for _, n := range w.nodes {
		n.isolate(false)
	}
	w.lead(0)
	w.do(func() {
		w.pg.fault, w.pg.slow = nil, 0
		w.stream.old, w.stream.stalled, w.stream.thieves = nil, false, 0
	})
}

func between(from, to uint64) (seqs []uint64) {
	for seq := from; seq <= to; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

// The world itself notices what a sink must never do.
func TestWorldNotices(t *testing.T) {
	tests := map[string]func(w *world){
		"a row too many":   func(w *world) { w.pg.rows[0].stored[99] = record{Seq: 99} },
		"a row too few":    func(w *world) { delete(w.pg.rows[0].stored, 3) },
		"another message":  func(w *world) { w.pg.rows[0].stored[3] = w.pg.rows[0].stored[2] },
		"a gap over a row": func(w *world) { w.pg.rows[0].gaps = []span{{3, 4}} },
		"a gap twice": func(w *world) {
			delete(w.pg.rows[0].stored, 3)
			w.pg.rows[0].gaps = []span{{3, 3}, {3, 3}}
		},
		"a cursor too far":           func(w *world) { w.pg.rows[0].cursor.Seq++ },
		"a cursor not far enough":    func(w *world) { w.pg.rows[0].cursor.Seq-- },
		"an incarnation without end": func(w *world) { w.stream.reborn++ },
		"stored in two incarnations": func(w *world) {
			again := copyRows(w.pg.rows)[0]
			w.pg.rows = append(w.pg.rows, again)
		},
		"a purge of what is not stored": func(w *world) {
			w.pg.stored = map[string]bool{}
			w.pg.rows[0].stored = map[uint64]record{}
			_ = source{w.nodes[0]}.Purge(w.ctx, 5)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(options{})
				defer w.stop()
				w.start()
				w.publish(10)
				w.stores(t)
				if problems := w.check(); len(problems) > 0 {
					t.Fatalf("all is well, but: %v", problems)
				}
				spoil(w)
				if len(w.check()) == 0 {
					t.Error("not noticed")
				}
			})
		})
	}
}
