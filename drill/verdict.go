package drill

import (
	"fmt"
	"strings"
	"time"
)

// Verdict is what the checker found. It marshals to JSON for `--json`.
type Verdict struct {
	Offered int `json:"offered"`
	Acked   int `json:"acked"`   // promised to a publisher
	Refused int `json:"refused"` // definitely turned away
	Unknown int `json:"unknown"` // never told; stored once or not at all

	Stored      int `json:"stored"`       // distinct messages of this run that have a row, with their own body
	SetAside    int `json:"set_aside"`    // messages made so that Postgres refuses them that are a dead letter, as they should
	Removed     int `json:"removed"`      // acked, and taken from the stream by the drill itself before Postgres had them
	DeadLetters int `json:"dead_letters"` // that nobody has resolved
	Repeats     int `json:"repeats"`      // repeats that Landfall recorded instead of storing them

	// What breaks a promise.
	Lost        int `json:"lost"`        // acked and without a row of their own; a dead letter counts as lost, unless it is the one that was meant
	Duplicated  int `json:"duplicated"`  // rows or dead letters beyond the first of a message
	Unexplained int `json:"unexplained"` // rows and dead letters that nobody sent, were refused, or whose subject or body is not their message's; good messages that are dead letters
	Gaps        int `json:"gaps"`        // holes that Landfall recorded, beyond what the drill removed itself
	Disordered  int `json:"disordered"`  // messages that come before one that was acknowledged before they were sent, by the same publisher
	Misplaced   int `json:"misplaced"`   // messages that are not where their acknowledgement says
	Unaccounted int `json:"unaccounted"` // sequences that are not exactly one of row, dead letter, duplicate and gap, or beyond the cursor; duplicates of nothing

	LongestGap time.Duration `json:"longest_publish_gap_ns"`

	Findings []string `json:"findings,omitempty"` // the first few of each kind, in words

	found [kinds]int
}

// kind is a kind of finding.
type kind int

const (
	kindLost kind = iota
	kindDuplicated
	kindUnexplained
	kindGap
	kindDisordered
	kindMisplaced
	kindUnaccounted
	kinds
)

// Holds tells whether every promise was kept. A run in which nothing was
// promised proves nothing, and does not hold.
func (v Verdict) Holds() bool {
	return v.Acked > 0 && v.Lost == 0 && v.Duplicated == 0 && v.Unexplained == 0 && v.Gaps == 0 &&
		v.Disordered == 0 && v.Misplaced == 0 && v.Unaccounted == 0
}

// Proof is the verdict in one line. What is not in every run is named only
// where it is.
func (v Verdict) Proof() string {
	var b strings.Builder
	fmt.Fprintf(&b, "acked %d · stored %d", v.Acked, v.Stored)
	named := func(n int, what string) {
		if n > 0 {
			fmt.Fprintf(&b, " · %s %d", what, n)
		}
	}
	named(v.SetAside, "set aside")
	named(v.Removed, "removed by the drill")
	fmt.Fprintf(&b, " · lost %d · duplicated %d", v.Lost, v.Duplicated)
	named(v.Unexplained, "unexplained")
	named(v.Gaps, "gaps")
	named(v.Disordered, "disordered")
	named(v.Misplaced, "misplaced")
	named(v.Unaccounted, "unaccounted")
	fmt.Fprintf(&b, " · longest publish gap %.1fs", v.LongestGap.Seconds())
	return b.String()
}

// maxFindings bounds what a verdict says in words of each kind: the counts say
// the rest.
const maxFindings = 5

// room tells whether a finding of a kind would be kept.
func (v *Verdict) room(k kind) bool { return v.found[k] < maxFindings }

func (v *Verdict) find(k kind, format string, args ...any) {
	if v.room(k) {
		v.found[k]++
		v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
	}
}
