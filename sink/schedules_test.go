package sink

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// enough schedules come to every decision (world_decisions_test.go).
const enough = 15_000

// recovery is how long Postgres may take to catch up once every fault is over.
const recovery = 2 * time.Minute

// TestSchedules lets anything happen at any time, and looks afterwards
// whether every message is where it belongs. The usual run is a short one;
//
//	go test ./sink -run '^TestSchedules$' -rapid.checks 7000
//
// plays 7,000 schedules on each of one, two and three nodes. A failure tells
// the seed with which it is played again, and shows the shortest schedule of
// its kind that was found.
func TestSchedules(t *testing.T) {
	all := newTally()
	t.Cleanup(func() { all.report(t, enough) })
	for nodes := 1; nodes <= 3; nodes++ {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			t.Parallel()
			stories := stories(nodes)
			var failed atomic.Bool
			rapid.Check(t, func(rt *rapid.T) {
				s := stories.Draw(rt, "story")
				tries := 1
				if failed.Load() || replaying() {
					tries = 3 // two goroutines may still have met in another order
				}
				var problems []string
				for ; tries > 0 && len(problems) == 0; tries-- {
					synctest.Test(t, func(*testing.T) { problems = s.play(all) })
				}
				if len(problems) > 0 {
					failed.Store(true)
					rt.Log(strings.Join(problems, "\n"))
					rt.Fatal("the promise was not kept")
				}
			})
		})
	}
}

// replaying tells whether one schedule is asked for, not some.
func replaying() bool {
	f := flag.Lookup("rapid.failfile")
	return f != nil && f.Value.String() != ""
}

// A schedule takes the same course each time it is played, or a seed would
// not show a failure again.
func TestSchedulesTakeTheSameCourse(t *testing.T) {
	const most = 0.01
	t.Parallel()
	all := newTally()
	var played, differ int
	for nodes := 1; nodes <= 3; nodes++ {
		stories := stories(nodes)
		rapid.Check(t, func(rt *rapid.T) {
			s := stories.Draw(rt, "story")
			var courses [2]string
			for i := range courses {
				synctest.Test(t, func(*testing.T) {
					s.tell = func(w *world) {
						courses[i] = fmt.Sprint(w.course.Load(), w.taken) + w.describe()
					}
					s.play(all)
				})
			}
			if played++; courses[0] != courses[1] {
				differ++
			}
		})
	}
	t.Logf("%d of %d schedules took another course the second time", differ, played)
	if float64(differ) > most*float64(played) {
		t.Errorf("%d of %d schedules took another course the second time", differ, played)
	}
}

// play plays a story, heals the world, and returns what is wrong then.
func (s story) play(all *tally) []string {
	w := newWorld(s.options)
	defer w.stop()
	defer all.add(w)
	w.start()
	var backups [][]*row
	for _, one := range s.steps {
		if one.kind == saving {
			backups = append(backups, w.snapshot())
		} else {
			w.happen(one, backups)
		}
		w.pass(one.sleep)
		synctest.Wait() // what happens next is not to race with the sinks
	}
	w.heal(s.cutOff)
	problems := w.recovers()
	w.stop()
	problems = append(problems, w.check()...)
	if s.tell != nil {
		s.tell(w)
	}
	return problems
}

// recovers returns what does not come right by itself when all faults are
// over: Postgres catches up without any message that would show a sink where
// it stands, there is room again, the stream keeps no more than the replay
// window.
func (w *world) recovers() (problems []string) {
	began := time.Now()
	if !w.reaches(recovery, w.caughtUp) {
		w.do(func() {
			problems = append(problems, fmt.Sprintf("not caught up after %v; the log's end: %v", time.Since(began), w.log[max(0, len(w.log)-10):]))
		})
		return problems
	}
	if !w.reaches(recovery, func() bool { return !crowded(w.stream.state()) || len(w.stream.held) < 3 }) {
		problems = append(problems, fmt.Sprintf("the stream stays crowded: %+v", w.stream.state()))
	}
	if taken := w.publish(3); taken < 3 {
		problems = append(problems, "a stream that Postgres has all of refuses messages")
	}
	if !w.reaches(recovery, w.caughtUp) {
		problems = append(problems, "the last messages are not stored")
	}
	if window := w.options.replayWindow; window <= 5*time.Second {
		if !w.reaches(recovery, func() bool { return len(w.stream.held) <= 1 }) {
			problems = append(problems, fmt.Sprintf("messages stay beyond the replay window: %+v", w.stream.state()))
		}
	}
	return problems
}
