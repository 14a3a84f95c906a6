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

	Stored      int `json:"stored"`      // distinct messages of this run that have a row, with their own body
	Lost        int `json:"lost"`        // acked and without a row of their own; a dead letter counts as lost
	Duplicated  int `json:"duplicated"`  // rows beyond the first of a message
	Unexplained int `json:"unexplained"` // rows that nobody sent, were refused, or whose subject or body is not their message's
	DeadLetters int `json:"dead_letters"`
	Gaps        int `json:"gaps"`    // holes that Landfall itself recorded
	Repeats     int `json:"repeats"` // repeats that Landfall recorded instead of storing them

	LongestGap time.Duration `json:"longest_publish_gap_ns"`

	Findings []string `json:"findings,omitempty"` // the first few, in words
}

// Holds tells whether every promise was kept. A run in which nothing was
// promised proves nothing, and does not hold.
func (v Verdict) Holds() bool {
	return v.Acked > 0 && v.Lost == 0 && v.Duplicated == 0 && v.Unexplained == 0 && v.Gaps == 0
}

// Proof is the verdict in one line.
func (v Verdict) Proof() string {
	var b strings.Builder
	fmt.Fprintf(&b, "acked %d · stored %d · lost %d · duplicated %d", v.Acked, v.Stored, v.Lost, v.Duplicated)
	for _, more := range []struct {
		n    int
		what string
	}{{v.Unexplained, "unexplained"}, {v.Gaps, "gaps"}} {
		if more.n > 0 {
			fmt.Fprintf(&b, " · %s %d", more.what, more.n)
		}
	}
	fmt.Fprintf(&b, " · longest publish gap %.1fs", v.LongestGap.Seconds())
	return b.String()
}

// maxFindings bounds what a verdict says in words: the counts say the rest.
const maxFindings = 10

func (v *Verdict) find(format string, args ...any) {
	if len(v.Findings) < maxFindings {
		v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
	}
}
