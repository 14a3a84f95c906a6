package cli

import (
	"math"
	"time"

	"landfall/cluster"
)

// A message of the outage budget: its body, and about what the stream's file
// adds to it (subject, id header, checksum, lengths).
const (
	budgetBody     = 1 << 10
	budgetOverhead = 128
)

// trimAbove is the part of max_bytes above which the sink trims what Postgres
// has. It cannot trim without Postgres: when an outage begins, as much as this
// may be taken by messages kept for the replay window.
const trimAbove = 0.8

// budgetRates are the rates, in messages a second, that the budget is shown for.
func budgetRates() []int { return []int{100, 1_000, 10_000} }

// streamBudget is how long a stream can take messages that Postgres does not.
type streamBudget struct {
	Stream   string   `json:"stream"`
	MaxBytes int64    `json:"max_bytes"`
	Outages  []outage `json:"outage_budget"`
}

type outage struct {
	Rate    int     `json:"messages_per_second"`
	Seconds float64 `json:"seconds"`
	lasts   time.Duration
}

// budgets works the outage budget of every stream out.
func budgets(cfg *cluster.Config) []streamBudget {
	var list []streamBudget
	for _, s := range cfg.Streams {
		b := streamBudget{Stream: s.Name, MaxBytes: s.MaxBytes}
		for _, rate := range budgetRates() {
			lasts := outageBudget(s, rate)
			b.Outages = append(b.Outages, outage{rate, math.Round(lasts.Seconds()), lasts})
		}
		list = append(list, b)
	}
	return list
}

// outageBudget is how long a stream takes messages at a steady rate from the
// moment Postgres goes away: what is left of max_bytes beside the replay
// window as it stands at that rate.
func outageBudget(s cluster.Stream, rate int) time.Duration {
	perSecond := float64(rate) * (budgetBody + budgetOverhead)
	limit := float64(s.MaxBytes)
	kept := min(perSecond*s.ReplayWindow.Seconds(), trimAbove*limit)
	seconds := (limit - kept) / perSecond
	if seconds > math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(seconds * float64(time.Second))
}
