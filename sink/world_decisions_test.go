package sink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// decision is something that a sink decides, or something that happens to it
// so that it must decide. Schedules that never came to one have tried nothing.
type decision string

const (
	activated decision = "activation: a pull is opened behind the cursor"

	lower  decision = "sequence: lower than due"
	higher decision = "sequence: higher than due"
	looked decision = "sequence: one is missing, look again"

	fenced           decision = "fence: a batch is refused"
	gapFenced        decision = "fence: a gap is refused"
	rowGone          decision = "fence: the cursor's row is gone"
	waited           decision = "two at once: one waits for the other's transaction"
	lateBatch        decision = "two at once: a batch of a node that lost the lead"
	cameLate         decision = "two at once: a batch comes when its client has given up, and is stored"
	cameTooLate      decision = "two at once: a batch comes when its client has given up, and is refused"
	entryFenced      decision = "two at once: an entry meets the fence"
	enteredAlready   decision = "two at once: another node entered the incarnation first"
	movedIdle        decision = "restored: noticed while idle"
	restoredUnderWay decision = "restored: during a transaction"

	unknownBatchYes decision = "unknown: batch, committed"
	unknownBatchNo  decision = "unknown: batch, not committed"
	unknownGapYes   decision = "unknown: gap, committed"
	unknownGapNo    decision = "unknown: gap, not committed"
	unknownEntryYes decision = "unknown: entry, committed"
	unknownEntryNo  decision = "unknown: entry, not committed"

	deadLetter   decision = "careful: dead letter"
	reusedID     decision = "careful: dead letter, its id names another message"
	duplicate    decision = "careful: duplicate"
	pausedAlike  decision = "careful: twenty in a row fail alike"
	paused       decision = "pause: said loudly"
	outageBegan  decision = "outage: said once"
	storingAgain decision = "outage: over"
	halved       decision = "batch too slow: halved"

	enteredFirst  decision = "incarnation: the first"
	enteredNew    decision = "incarnation: nothing in common with those before"
	enteredBehind decision = "incarnation: behind the last common message"
	tailLostSeen  decision = "incarnation: a lost tail gets a new one"
	overruled     decision = "incarnation: old news overruled by a quorum"

	gapEntry decision = "gap: at entry"
	gapFirst decision = "gap: the stream begins behind the cursor"
	gapAmid  decision = "gap: between two messages"
	gapEnd   decision = "gap: at the stream's end"
	fetched  decision = "hole: fetched from another replica"
	reopened decision = "stall: the pull is opened again"

	trimWindow  decision = "trim: the replay window is over"
	trimRoom    decision = "trim: the stream is crowded"
	trimStopped decision = "trim: stopped, the stream was made anew"
	refusedFull decision = "trim: the stream is full of what Postgres does not have"

	handUnreachable decision = "hand-over: Postgres is out of reach here only"
	handStandstill  decision = "hand-over: nothing moves here"
)

func decisions() []decision {
	return []decision{
		activated, lower, higher, looked,
		fenced, gapFenced, rowGone, waited, lateBatch, cameLate, cameTooLate, entryFenced, enteredAlready, movedIdle, restoredUnderWay,
		unknownBatchYes, unknownBatchNo, unknownGapYes, unknownGapNo, unknownEntryYes, unknownEntryNo,
		deadLetter, reusedID, duplicate, pausedAlike, paused, outageBegan, storingAgain, halved,
		enteredFirst, enteredNew, enteredBehind, tailLostSeen, overruled,
		gapEntry, gapFirst, gapAmid, gapEnd, fetched, reopened,
		trimWindow, trimRoom, trimStopped, refusedFull,
		handUnreachable, handStandstill,
	}
}

// decided counts a decision; in do.
func (w *world) decided(d decision) {
	if w.taken == nil {
		w.taken = map[decision]int{}
	}
	w.taken[d]++
}

// decidedAsLogged counts what only the log tells; in do.
func (w *world) decidedAsLogged(text string, err error) {
	switch text {
	case "a sequence is missing; looking again":
		w.decided(looked)
	case "the batch took too long; trying a smaller one":
		w.decided(halved)
	case "the stream is paused until the set-up is mended; messages are kept":
		w.decided(paused)
	case "not storing now; messages are kept in the stream":
		w.decided(outageBegan)
	case "storing again":
		w.decided(storingAgain)
	case "a message that was not delivered here is fetched on its own":
		w.decided(fetched)
	}
	if errors.Is(err, errStalled) {
		w.decided(reopened)
	}
}

// decidedEntry counts a new row of landfall.streams; in do.
func (w *world) decidedEntry(start, stands uint64) {
	switch {
	case len(w.pg.rows) == 0:
		w.decided(enteredFirst)
	case start > 1:
		w.decided(enteredBehind)
	default:
		w.decided(enteredNew)
	}
	if stands >= start {
		w.decided(gapEntry)
	}
}

// decidedGap counts a gap that is recorded; in do.
func (w *world) decidedGap(from, to uint64) {
	switch _, found := w.nearest(to + 1); {
	case !found:
		w.decided(gapEnd)
	case from < w.stream.first():
		w.decided(gapFirst)
	default:
		w.decided(gapAmid)
	}
}

// tally adds up what many worlds decided.
type tally struct {
	mu        sync.Mutex
	schedules int
	nodes     map[int]bool // of worlds
	took      map[decision]int
	worlds    map[decision]int // in which it was taken
}

func newTally() *tally {
	return &tally{nodes: map[int]bool{}, took: map[decision]int{}, worlds: map[decision]int{}}
}

func (t *tally) add(w *world) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.schedules++
	t.nodes[w.options.nodes] = true
	for d, n := range w.taken {
		t.took[d] += n
		t.worlds[d]++
	}
}

// report shows the tally, and fails the test if there were schedules enough
// for every decision, on one node and on several, but one was never taken.
func (t *tally) report(tb testing.TB, enough int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines strings.Builder
	var never []decision
	for _, d := range decisions() {
		fmt.Fprintf(&lines, "%9d  in %6d  %s\n", t.took[d], t.worlds[d], d)
		if t.took[d] == 0 {
			never = append(never, d)
		}
	}
	tb.Logf("decisions in %d schedules:\n%s", t.schedules, &lines)
	if t.schedules >= enough && len(t.nodes) == 3 && len(never) > 0 && !tb.Failed() {
		tb.Errorf("never decided in %d schedules: %q", t.schedules, never)
	}
	for d := range t.took {
		if !slices.Contains(decisions(), d) {
			tb.Errorf("%q is counted, but not listed", d)
		}
	}
}
