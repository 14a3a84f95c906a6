package sink

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const goneForGood = "messages are gone from every replica: recorded as a gap"

// An older pull takes messages from the new one: they are still in the
// stream, so there is no gap.
func TestHoleByAnOldPull(t *testing.T) {
	inWorld(t, options{rows: 4}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.do(func() {
			w.pg.fault = append(w.pg.fault, refused)
			w.stream.thieves = 3
		})
		w.publish(20)
		w.stores(t)
		if w.stream.thieves != 0 {
			t.Fatal("nothing was stolen")
		}
		if w.said("a sequence is missing; looking again") == 0 || w.said(goneForGood) > 0 {
			t.Errorf("log: %v", w.log)
		}
	})
}

func TestHoleFoundOnAnotherReplica(t *testing.T) {
	inWorld(t, options{nodes: 3}, func(t *testing.T, w *world) {
		w.stores(t)
		w.nodes[0].forget(1, 5, 6, 20)
		w.publish(20)
		w.stores(t)
		if gaps := w.pg.row("incarnation 1").gaps; len(gaps) > 0 {
			t.Errorf("gaps %v, though other replicas have the messages", gaps)
		}
	})
}

func TestGapIsRecordedOnce(t *testing.T) {
	tests := map[string]struct {
		gone []uint64
		want []span
	}{
		"first":         {[]uint64{1}, []span{{1, 1}}},
		"in the middle": {[]uint64{4, 5, 6}, []span{{4, 6}}},
		"several":       {[]uint64{2, 4, 8, 9, 10}, []span{{2, 2}, {4, 4}, {8, 10}}},
		"at the end":    {[]uint64{19, 20}, []span{{19, 20}}},
		"all":           {every(20), []span{{1, 20}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
				w.lead()
				w.publish(20)
				w.lose(tt.gone...)
				w.lead(0)
				w.stores(t)
				w.publish(5)
				w.stores(t)
				w.lead(1)
				w.publish(5)
				w.stores(t)
				if got := w.pg.row("incarnation 1").gaps; !slices.Equal(got, tt.want) {
					t.Errorf("gaps %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Only an idle look can find a gap at the stream's end: no later message
// shows it.
func TestTrailingGap(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.do(func() { w.stream.stalled = true })
		w.publish(5)
		w.lose(13, 14, 15)
		w.stores(t)
		if got := w.pg.row("incarnation 1").gaps; !slices.Equal(got, []span{{13, 15}}) {
			t.Errorf("gaps %v, want one of 13 to 15", got)
		}
		if w.said(goneForGood) != 1 {
			t.Errorf("the gap was said %d times", w.said(goneForGood))
		}
	})
}

// The last messages are missing only here: no later message shows the hole,
// and the consumer will never deliver them.
func TestTrailingHoleFoundOnAnotherReplica(t *testing.T) {
	inWorld(t, options{nodes: 3}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.nodes[0].forget(14, 15)
		w.publish(5)
		w.stores(t)
	})
}

// The node has lost many at the end: they do not come one every few seconds.
func TestLongTrailingHoleFoundOnAnotherReplica(t *testing.T) {
	inWorld(t, options{nodes: 3}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.nodes[0].forget(every(510)[10:]...)
		w.publish(500)
		w.stores(t) // within a minute
	})
}

// While another node has what this one's replica lacks, that one is to store: a
// trickle of messages fetched one by one is no reason to stay.
func TestReplicaThatIsBehindHandsOver(t *testing.T) {
	inWorld(t, options{nodes: 2}, func(t *testing.T, w *world) {
		w.publish(10)
		w.stores(t)
		w.nodes[0].forget(every(3000)[10:]...)
		began := time.Now()
		w.publish(2000)
		w.stores(t)
		steps := w.nodes[0].steps
		if len(steps) == 0 {
			t.Fatal("it keeps the lead")
		}
		if d := steps[0].Sub(began); d < standstill || d > standstill+3*watchPoll {
			t.Errorf("handed over after %v", d)
		}
	})
}

// Where the consumer has merely stalled in front of many, they come through it.
func TestStalledConsumerIsNoHole(t *testing.T) {
	inWorld(t, options{}, func(t *testing.T, w *world) {
		for range 3 {
			w.publish(10)
			w.stores(t)
			w.do(func() { w.stream.stalled = true })
			w.publish(500)
			w.stores(t)
		}
		if n := w.said("a message that was not delivered here is fetched on its own"); n > 3 {
			t.Errorf("%d messages were fetched one by one", n)
		}
	})
}

// Somebody purged messages that Postgres did not have.
func TestCursorBelowTheStreamsFirst(t *testing.T) {
	for _, behind := range []int{0, 5} {
		t.Run(fmt.Sprintf("%d behind the purge", behind), func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.publish(10)
				w.stores(t)
				w.outage(true)
				w.publish(20 + behind)
				w.lose(every(30)...)
				w.pass(time.Second)
				w.outage(false)
				w.stores(t)
				if got := w.pg.row("incarnation 1").gaps; !slices.Equal(got, []span{{11, 30}}) {
					t.Errorf("gaps %v, want one of 11 to 30", got)
				}
			})
		})
	}
}

// A gap whose transaction fails is recorded once all the same.
func TestGapMeetsTrouble(t *testing.T) {
	for name, bad := range map[string]fault{"refused": refused, "answer lost": lost, "ghost": ghost} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options{}, func(t *testing.T, w *world) {
				w.stores(t)
				w.do(func() { w.stream.stalled = true })
				w.publish(10)
				w.lose(1, 2, 9, 10)
				w.meet(bad, bad, fine, bad)
				w.stores(t)
				if got := w.pg.row("incarnation 1").gaps; !slices.Equal(got, []span{{1, 2}, {9, 10}}) {
					t.Errorf("gaps %v", got)
				}
			})
		})
	}
}

// every lists the sequences up to last.
func every(last uint64) (seqs []uint64) {
	for seq := uint64(1); seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}
