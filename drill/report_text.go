package drill

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// machine is what a figure has to be read with.
func machine() string {
	text := fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if gib := memoryGiB(); gib > 0 {
		text += fmt.Sprintf(", %d GiB", gib)
	}
	return text + ", " + runtime.Version()
}

// Print writes the report for people. Its last line is the proof.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\nseed %d · %s · %s · %s · %s of faults, %.0f messages/s offered\n\n",
		r.Seed, r.Version, r.Machine, r.Began.Format(time.DateOnly), r.Lasted.Round(time.Second), r.Rate)
	r.printKinds(w)
	for _, line := range leftOutLines(r.LeftOut) {
		fmt.Fprintln(w, line)
	}
	for _, k := range r.Kinds {
		if k.NotHad > 0 {
			fmt.Fprintf(w, "could not be had: %s, %d of %d times, last: %s\n", k.Name, k.NotHad, k.Times, k.lastNot)
		}
	}
	for _, e := range r.Ended {
		fmt.Fprintf(w, "ended by itself and was started again: %s after %s: %s\n", e.Node, e.After.Round(time.Second), e.How)
		for _, line := range e.Last {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(r.Rested)) {
		fmt.Fprintf(w, "%s at rest: %s, then %s\n", node, r.Fresh[node], r.Rested[node])
	}
	found := slices.Clone(r.Verdict.Findings)
	if r.Changes != nil {
		found = append(found, r.Changes.Findings...)
	}
	for _, found := range append(found, r.Found...) {
		fmt.Fprintf(w, "found: %s\n", found)
	}
	if r.Evidence != "" {
		fmt.Fprintf(w, "ledger, logs and cluster.yaml are in %s\n", r.Evidence)
	}
	v, all := r.Verdict, r.recoveries()
	unknown := 0.0
	if v.Offered > 0 {
		unknown = 100 * float64(v.Unknown) / float64(v.Offered)
	}
	fmt.Fprintf(w, "\n%d faults in %d rounds · recovered after p50 %s, p99 %s, max %s · unknown %d of %d (%.3f %%)\n",
		r.Faults, r.Rounds, seconds(all.P50), seconds(all.P99), seconds(all.Max), v.Unknown, v.Offered, unknown)
	if r.Changes != nil {
		fmt.Fprintln(w, r.Changes.Proof())
	}
	proof := v.Proof()
	if n := len(r.Found); n > 0 {
		proof += fmt.Sprintf(" · other findings %d", n)
	}
	fmt.Fprintln(w, proof)
}

func (r *Report) printKinds(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "fault\ttimes\talone\tno ack p50\tmax\tno row p50\tmax\trecovered p50\tp99\tmax")
	var none []string
	for _, k := range r.Kinds {
		if k.Times == 0 {
			none = append(none, k.Name)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%d", k.Name, k.Times, k.Alone)
		for _, d := range []time.Duration{k.NoAck.P50, k.NoAck.Max, k.NoRow.P50, k.NoRow.Max} {
			fmt.Fprintf(t, "\t%s", orDash(d, k.Alone))
		}
		for _, d := range []time.Duration{k.Recovery.P50, k.Recovery.P99, k.Recovery.Max} {
			fmt.Fprintf(t, "\t%s", seconds(d))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // as with any print for people
	fmt.Fprintln(w)
	if len(none) > 0 {
		fmt.Fprintf(w, "there was no time for: %s\n", strings.Join(none, ", "))
	}
}

// leftOutLines tell what was left out, in a line for each reason.
func leftOutLines(list []LeftOut) []string {
	var whys []string
	faults := make(map[string][]string)
	for _, out := range list {
		if faults[out.Why] == nil {
			whys = append(whys, out.Why)
		}
		faults[out.Why] = append(faults[out.Why], out.Fault)
	}
	lines := make([]string, 0, len(whys))
	for _, why := range whys {
		lines = append(lines, fmt.Sprintf("left out, since %s: %s", why, strings.Join(faults[why], ", ")))
	}
	return lines
}

func orDash(d time.Duration, n int) string {
	if n == 0 {
		return "-"
	}
	return seconds(d)
}
