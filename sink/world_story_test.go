package sink

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"landfall/message"
)

// story is a schedule, and the world that it is played in.
type story struct {
	options options
	steps   []step
	cutOff  bool           // in the end the leader still does not reach Postgres, others do
	tell    func(w *world) // called at the end, if set
}

func (s story) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v, in the end cut off: %v", s.options, s.cutOff)
	for _, one := range s.steps {
		fmt.Fprintf(&b, "\n\t%v", one)
	}
	return b.String()
}

// GoString is how rapid shows it.
func (s story) GoString() string { return s.String() }

// step is one thing that happens in a schedule, and how long until the next.
type step struct {
	kind  kind
	n     int // what it means depends on the kind
	sleep time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s %d, %v", s.kind, s.n, s.sleep) }

type kind string

const (
	publishing kind = "publish"  // n messages
	repeating  kind = "repeat"   // n/8 messages of before once more, under their ids, among others
	reusing    kind = "reuse"    // n/8 other messages under ids of before
	spoiling   kind = "spoil"    // n messages that a constraint refuses, or n/8 that nothing can mend
	mending    kind = "mend"     // that constraint goes, or comes
	dropping   kind = "drop"     // a partition goes, so that Postgres refuses everything, or comes back
	outages    kind = "outage"   // Postgres goes, or comes back
	meeting    kind = "fault"    // a transaction meets fault n
	slowing    kind = "slow"     // commits take n times 5 ms
	limiting   kind = "limit"    // batches of more than n rows take too long
	saving     kind = "backup"   // a backup is made
	restoring  kind = "restore"  // backup n is restored
	leading    kind = "lead"     // the nodes of bit set n believe that they lead
	isolating  kind = "isolate"  // node n loses its way to Postgres, or finds it again
	restarting kind = "restart"  // node n's process ends, of itself or not, and begins again
	breaking   kind = "break"    // the pulls end
	stalling   kind = "stall"    // the consumer delivers nothing more
	stealing   kind = "steal"    // closed pulls take n more messages
	losing     kind = "lose"     // the last n messages vanish from every replica, or some of them
	forgetting kind = "forget"   // n messages at the end vanish from node 0's replica
	ruining    kind = "ruin"     // of n messages that Postgres cannot take just then some vanish, and the next transaction meets a fault
	purging    kind = "purge"    // somebody purges up to n/4 messages beyond the cursor
	cutting    kind = "cut"      // the stream's last n messages are lost; publishers go on, or wait
	riddling   kind = "riddle"   // the last n are lost of a stream that has repeats, and holes in front of them
	recreating kind = "recreate" // the stream is made anew; publishers go on, or wait
	staling    kind = "stale"    // the leader tells old news, or stops to
)

// stories generates schedules of a few dozen steps, half of them ordinary
// life, the others faults, for worlds of so many nodes.
func stories(nodes int) *rapid.Generator[story] {
	calm := rapid.SampledFrom([]kind{
		publishing, publishing, publishing, publishing, publishing, repeating, reusing, saving, saving, slowing, leading,
	})
	ill := rapid.SampledFrom([]kind{
		outages, outages, meeting, meeting, meeting, meeting, meeting, restoring, restoring, leading, isolating, isolating,
		restarting, restarting, breaking, stalling, stealing, losing, losing, forgetting, ruining, ruining, purging, cutting, cutting, riddling,
		recreating, staling, spoiling, spoiling, mending, dropping, limiting,
	})
	one := rapid.Custom(func(t *rapid.T) step {
		return step{
			kind: rapid.OneOf(calm, ill).Draw(t, "kind"),
			n:    rapid.IntRange(0, 40).Draw(t, "n"),
			sleep: time.Duration(rapid.SampledFrom([]int{
				0, 1, 1, 5, 5, 30, 30, 110, 110, 500, 500, 2100, 2100, 5300, 12_000,
			}).Draw(t, "ms")) * time.Millisecond,
		}
	})
	return rapid.Custom(func(t *rapid.T) story {
		return story{
			options: options{
				nodes:        nodes,
				rows:         rapid.SampledFrom([]int{5, 8, 64, 4096}).Draw(t, "rows"),
				replayWindow: rapid.SampledFrom([]time.Duration{72 * time.Hour, 4 * time.Second, 20 * time.Second}).Draw(t, "window"),
				maxBytes:     rapid.SampledFrom([]int64{1 << 40, 12_000, 30_000}).Draw(t, "max bytes"),
				// So many draws also set the worlds of one seed apart.
				seeds:     rapid.SliceOfN(rapid.Uint64(), nodes, nodes).Draw(t, "seeds"),
				handsOver: true,
			},
			cutOff: nodes > 1 && rapid.IntRange(0, 3).Draw(t, "cut off") == 3,
			steps:  rapid.SliceOfN(one, 5, 40).Draw(t, "steps"),
		}
	})
}

// happen makes a step come true.
func (w *world) happen(s step, backups [][]*row) {
	if w.happenToStream(s) {
		return
	}
	n := w.nodes[s.n%len(w.nodes)]
	switch s.kind {
	case mending:
		w.do(func() { w.pg.strict = s.n%2 == 0 })
	case dropping:
		w.do(func() { w.pg.broken = s.n%3 == 0 })
	case outages:
		w.outage(s.n%2 == 0)
	case meeting:
		w.meet(fault(s.n % (int(setup) + 1)))
	case slowing:
		w.do(func() { w.pg.slow = time.Duration(s.n) * 5 * time.Millisecond })
	case limiting:
		w.do(func() { w.pg.most = s.n })
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
		n.isolate(s.n%4 != 0)
	case restarting:
		n.restart(s.n%8 > 3)
	case ruining:
		w.ruin(s.n)
	}
}

// tarry, if so, has Postgres take its time, so that what happens next finds a
// trim under way.
func (w *world) tarry(so bool) {
	if so {
		w.do(func() { w.pg.slow = 200 * time.Millisecond })
		w.pass(1500 * time.Millisecond)
	}
}

// repeat publishes repeats among other messages.
func (w *world) repeat(n int) {
	for i := range 1 + n/8 {
		w.publishSort(repeat, 1+n%2, n+3*i)
		w.publishSized(n%3, 100)
	}
}

// streamEnd is the stream's last sequence.
func (w *world) streamEnd() (seq uint64) {
	w.do(func() { seq = w.stream.last })
	return seq
}

// ruin loses some of n messages before Postgres can have them, in front, in
// the middle or at the end, and lets one node or all of them find out.
func (w *world) ruin(n int) {
	w.outage(true)
	w.publishSized(n, 100)
	last := w.streamEnd()
	from := last - min(last, uint64(n%10)*uint64(n)/10)
	w.lose(between(from+1, min(last, from+1+uint64(n%4)))...)
	if n%2 == 0 {
		w.leadAll()
	}
	w.meet(fine, fault(n%int(setup)))
	w.outage(false)
}

// happenToStream makes a step come true that is the stream's, and tells
// whether this one is.
func (w *world) happenToStream(s step) bool {
	back := func(state message.Stream) uint64 { return state.Last - min(state.Last, uint64(s.n)) }
	var state message.Stream
	w.do(func() { state = w.stream.state() })
	switch s.kind {
	case publishing:
		w.publishSized(s.n, 100)
	case repeating:
		w.repeat(s.n)
	case reusing:
		w.publishSort(reuse, 1+s.n/8, s.n)
	case spoiling:
		if s.n%3 == 0 {
			w.publishSort(garbled, 1+s.n/8, 0)
		} else {
			w.publishSort(bad, s.n, 0)
		}
	case breaking:
		w.do(w.breakPulls)
	case stalling:
		w.do(func() { w.stream.stalled = true })
	case stealing:
		w.do(func() { w.stream.thieves = s.n })
	case losing:
		for seq := back(state) + 1; seq <= state.Last; seq += 1 + uint64(s.n%3) {
			w.lose(seq)
		}
	case forgetting:
		if len(w.nodes) > 1 {
			w.nodes[0].forget(between(back(state)+1, state.Last)...)
		}
	case purging:
		w.purge(min(w.cursor()+uint64(s.n/4), state.Last) + 1)
	case cutting:
		w.tarry(s.n%4 == 3)
		w.cut(back(state))
		w.publishSized(s.n*(s.n%3), 100)
	case riddling:
		w.repeat(40)
		w.pass(500 * time.Millisecond)
		w.lose(w.beforeRepeats()...)
		w.cut(w.streamEnd() - min(w.streamEnd(), uint64(s.n)))
	case recreating:
		w.tarry(s.n%4 == 3)
		w.elect()
		w.recreate()
		w.elected()
		w.publishSized(s.n*(s.n%3), 100)
	case staling:
		w.do(func() {
			if w.stream.old = nil; s.n%3 == 0 {
				w.stream.old = &state
			}
		})
	default:
		return false
	}
	return true
}

// cursor is how far Postgres has the stream that there is.
func (w *world) cursor() (seq uint64) {
	w.do(func() {
		if r := w.pg.row(w.stream.incarnation); r != nil {
			seq = r.cursor.Seq
		}
	})
	return seq
}

// heal ends every fault but one that a sink can live with, that large batches
// take too long; node 0 leads, and if it is cut off is the only one that does
// not reach Postgres.
func (w *world) heal(cutOff bool) {
	w.outage(false)
	for i, n := range w.nodes {
		n.isolate(cutOff && i == 0)
	}
	w.lead(0)
	w.do(func() {
		w.pg.fault, w.pg.slow, w.pg.strict, w.pg.broken = nil, 0, false, false
		w.stream.old, w.stream.stalled, w.stream.thieves = nil, false, 0
	})
}

func between(from, to uint64) (seqs []uint64) {
	for seq := from; seq <= to; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}
