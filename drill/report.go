package drill

import (
	"slices"
	"sync"
	"time"
)

// Report is what a drill found. It marshals to JSON for `--json`.
type Report struct {
	Seed     uint64            `json:"seed"`
	Version  string            `json:"version"`
	Machine  string            `json:"machine"`
	Began    time.Time         `json:"began"`
	Lasted   time.Duration     `json:"lasted_ns"` // of the faults, without setting up and judging
	Rate     float64           `json:"offered_per_second"`
	Rounds   int               `json:"rounds"`
	Faults   int               `json:"faults"`
	Kinds    []*KindReport     `json:"kinds"`
	LeftOut  []LeftOut         `json:"left_out"` // faults asked for that cannot be had on this machine
	Ended    []Ended           `json:"ended"`    // nodes that ended by themselves, and were started again
	Fresh    map[string]Vitals `json:"fresh"`    // what the nodes took at rest, before any load
	Rested   map[string]Vitals `json:"rested"`   // and in the end
	Verdict  Verdict           `json:"verdict"`
	Changes  *ChangesVerdict   `json:"changes,omitempty"` // of the stream that fills a table of the drill's own; nil before it is judged
	Kept     bool              `json:"holds"`             // every promise, see Holds
	Found    []string          `json:"found"`             // breaches beside the verdict's own, in words
	Evidence string            `json:"evidence,omitempty"`

	mu sync.Mutex
}

// KindReport is what one kind of fault did.
type KindReport struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	About string `json:"about"`

	Times   int `json:"times"`
	Alone   int `json:"alone"`   // of them, without another fault at the time
	NotHad  int `json:"not_had"` // of them, those that the drill could not make happen
	lastNot string

	// Of all rounds with it: from the last fault's end until every node
	// acknowledges and Postgres has what was published before.
	Recovery Spread `json:"recovery"`
	// Of rounds with it alone: the longest time in which nothing was
	// acknowledged, and in which no new row came.
	NoAck Spread `json:"no_acknowledgement"`
	NoRow Spread `json:"no_row"`

	recovery, noAck, noRow []time.Duration
}

// Spread is how a few durations lie.
type Spread struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// LeftOut is a fault that cannot be had, and why.
type LeftOut struct {
	Fault string `json:"fault"`
	Why   string `json:"why"`
}

func newReport(o SoakOptions) *Report {
	return &Report{
		Seed: o.Seed, Version: o.Version, Machine: machine(), Began: time.Now().Round(time.Second), Rate: o.Rate,
		Kinds: []*KindReport{}, LeftOut: []LeftOut{}, Ended: []Ended{}, Found: []string{},
	}
}

// Holds tells whether every promise was kept.
func (r *Report) Holds() bool {
	return r.Verdict.Holds() && (r.Changes == nil || r.Changes.Holds()) && len(r.Found) == 0
}

func (r *Report) kind(name string) *KindReport {
	return r.Kinds[slices.IndexFunc(r.Kinds, func(k *KindReport) bool { return k.Name == name })]
}

// happens enters a fault as it begins.
func (r *Report) happens(a Act) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Faults++
	r.kind(a.Fault.Name).Times++
}

// failed enters a fault that the drill could not have.
func (r *Report) failed(a Act, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kind(a.Fault.Name)
	k.NotHad++
	k.lastNot = err.Error()
}

func (r *Report) ended(e Ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Ended = append(r.Ended, e)
}

// enter adds what a round took.
func (r *Report) enter(round Round, recovery, noAck, noRow time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Rounds++
	for _, a := range round.Acts {
		k := r.kind(a.Fault.Name)
		k.recovery = append(k.recovery, recovery)
		k.Recovery = spreadOf(k.recovery)
		if len(round.Acts) > 1 {
			continue
		}
		k.Alone++
		k.noAck, k.noRow = append(k.noAck, noAck), append(k.noRow, noRow)
		k.NoAck, k.NoRow = spreadOf(k.noAck), spreadOf(k.noRow)
	}
}

// count is how many faults there were so far.
func (r *Report) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Faults
}

// recoveries is how long it took over all rounds.
func (r *Report) recoveries() Spread {
	var all []time.Duration
	for _, k := range r.Kinds {
		all = append(all, k.recovery...)
	}
	return spreadOf(all)
}

// spreadOf sorts a copy. A percentile is the smallest value that so many do
// not exceed, so that with few values the 99th is the greatest.
func spreadOf(list []time.Duration) Spread {
	if len(list) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(list))
	at := func(percent int) time.Duration { return sorted[(len(sorted)*percent+99)/100-1] }
	return Spread{P50: at(50), P99: at(99), Max: sorted[len(sorted)-1]}
}
